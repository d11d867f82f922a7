//! A GGUF file taken apart, so that any part of it can be changed and the rest written as it was.

/// A setting: its name, the number of its kind, and the bytes of its value.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub kind: u32,
    pub value: Vec<u8>,
}

/// A tensor: its name, dimensions, the number of its type, and its bytes.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
}

/// The settings and tensors of a file.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub keys: Vec<Key>,
    pub tensors: Vec<Tensor>,
}

/// Number of the kind of a 32-bit number, a float, a flag, a text and a list.
pub const NUMBER: u32 = 4;
pub const FLOAT: u32 = 6;
pub const FLAG: u32 = 7;
pub const TEXT: u32 = 8;
pub const LIST: u32 = 9;

/// Reads sound files; those of our own making are.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        head
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => drop(self.take(1)),
            2 | 3 => drop(self.take(2)),
            4..=6 => drop(self.take(4)),
            10..=12 => drop(self.take(8)),
            8 => {
                let length = self.u64() as usize;
                self.take(length);
            }
            _ => {
                let (inner, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip_value(inner));
            }
        }
    }
}

impl Parts {
    /// The parts of a sound file of version 3.
    pub fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader(&bytes[8..]);
        let (tensor_count, key_count) = (reader.u64(), reader.u64());
        let mut parts = Self::default();
        for _ in 0..key_count {
            let (name, kind) = (reader.text(), reader.u32());
            let before = reader.0;
            reader.skip_value(kind);
            let value = before[..before.len() - reader.0.len()].to_vec();
            parts.keys.push(Key { name, kind, value });
        }
        let mut offsets = Vec::new();
        for _ in 0..tensor_count {
            let name = reader.text();
            let dims = (0..reader.u32()).map(|_| reader.u64()).collect();
            parts.tensors.push(Tensor { name, dims, kind: reader.u32(), data: Vec::new() });
            offsets.push(reader.u64() as usize);
        }
        let start = (bytes.len() - reader.0.len()).next_multiple_of(32);
        for (tensor, offset) in parts.tensors.iter_mut().zip(offsets) {
            let length = bytes_of(&tensor.dims, tensor.kind, u32::MAX.into()).expect("a type that is known");
            tensor.data = bytes[start + offset..][..length].to_vec();
        }
        parts
    }

    /// The file, with the tensors one after another.
    pub fn write(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.keys.len() as u64).to_le_bytes());
        for key in &self.keys {
            text(&mut file, &key.name);
            file.extend(key.kind.to_le_bytes());
            file.extend(&key.value);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            text(&mut file, &tensor.name);
            file.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(offset.to_le_bytes());
            offset += tensor.data.len().next_multiple_of(32) as u64;
        }
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(32), 0);
            file.extend(&tensor.data);
        }
        file
    }

    /// Adds a setting.
    pub fn key(&mut self, name: &str, kind: u32, value: impl Into<Vec<u8>>) {
        self.keys.push(Key { name: name.to_owned(), kind, value: value.into() });
    }

    /// Adds a setting that is a text.
    pub fn key_text(&mut self, name: &str, value: &str) {
        self.key(name, TEXT, text_value(value));
    }
}

/// A text as the value of a setting.
pub fn text_value(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    text(&mut bytes, value);
    bytes
}

/// A list as the value of a setting, from the number of its items' kind and their bytes.
pub fn list_value(kind: u32, count: usize, items: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), (count as u64).to_le_bytes().as_slice(), items].concat()
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value.as_bytes());
}

/// Bytes of a tensor beyond which none is made larger.
pub const BYTES_MAX: u64 = 1 << 20;

/// How many bytes a tensor takes; none where its type is not known or the number is beyond `most`.
pub fn bytes_of(dims: &[u64], kind: u32, most: u64) -> Option<usize> {
    let kind = cloister_engine::quant::WeightType::from_ggml(kind)?;
    let values =
        dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim).filter(|&values| values <= most))?;
    let bytes = values / kind.block_values() as u64 * kind.block_bytes() as u64;
    (bytes <= most).then_some(bytes as usize)
}
