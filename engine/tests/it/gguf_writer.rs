//! A writer of GGUF files that can also write what no sound program would.

/// Appends little-endian values; nothing is checked.
#[derive(Clone, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn text(self, text: &[u8]) -> Self {
        self.u64(text.len() as u64).raw(text)
    }

    /// Magic, version, and the two counts.
    pub(crate) fn head(version: u32, tensors: u64, keys: u64) -> Self {
        Self::default().raw(b"GGUF").u32(version).u64(tensors).u64(keys)
    }

    pub(crate) fn key_text(self, key: &str, value: &str) -> Self {
        self.text(key.as_bytes()).u32(8).text(value.as_bytes())
    }

    pub(crate) fn key_u32(self, key: &str, value: u32) -> Self {
        self.text(key.as_bytes()).u32(4).u32(value)
    }

    pub(crate) fn key_flag(self, key: &str, value: bool) -> Self {
        self.text(key.as_bytes()).u32(7).u8(u8::from(value))
    }

    pub(crate) fn key_texts(self, key: &str, values: &[&[u8]]) -> Self {
        let start = self.text(key.as_bytes()).u32(9).u32(8).u64(values.len() as u64);
        values.iter().fold(start, |writer, value| writer.text(value))
    }

    pub(crate) fn key_i32s(self, key: &str, values: &[i32]) -> Self {
        let start = self.text(key.as_bytes()).u32(9).u32(5).u64(values.len() as u64);
        values.iter().fold(start, |writer, &value| writer.raw(&value.to_le_bytes()))
    }

    pub(crate) fn key_f32s(self, key: &str, values: &[f32]) -> Self {
        let start = self.text(key.as_bytes()).u32(9).u32(6).u64(values.len() as u64);
        values.iter().fold(start, |writer, &value| writer.raw(&value.to_le_bytes()))
    }

    pub(crate) fn tensor(self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let start = self.text(name.as_bytes()).u32(dims.len() as u32);
        dims.iter().fold(start, |writer, &dim| writer.u64(dim)).u32(kind).u64(offset)
    }

    /// Fills up to the alignment and appends the tensor data.
    pub(crate) fn data(mut self, alignment: usize, bytes: usize) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let start = self.bytes.len();
        self.bytes.extend((0..bytes).map(|at| (at * 31 + start) as u8));
        self
    }
}
