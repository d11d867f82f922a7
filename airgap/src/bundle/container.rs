//! The tar blocks of a bundle: plain ustar headers in which nothing is left to choice, so that a reader can demand every byte.

use std::io::{self, Read, Write};

use crate::{AirgapError, Hash, hash::Hasher};

/// Longest path of a member, the room that a ustar header has.
pub(super) const PATH_BYTES_MAX: usize = 100;
/// Largest member: what eleven octal digits can say.
pub(super) const MEMBER_BYTES_MAX: u64 = 0o777_7777_7777;

const BLOCK: usize = 512;
const COPY_BYTES: usize = 256 * 1024;

/// The one header that a member of this path, size and mode may have. Owner 0, time 0.
fn header(path: &str, size: u64, mode: u32) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Writes a member whose size is known; returns the hash of what was written. A source that is shorter or longer is an error.
pub(super) fn write_member(
    out: &mut dyn Write,
    path: &str,
    size: u64,
    mode: u32,
    from: &mut dyn Read,
) -> io::Result<Hash> {
    out.write_all(&header(path, size, mode))?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = size;
    loop {
        let count = from.read(&mut buffer)?;
        if count as u64 > left || (count == 0 && left > 0) {
            return Err(io::Error::other("its size changed while it was read"));
        }
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    out.write_all(&[0; BLOCK][..padding(size)])?;
    Ok(hasher.finish().0)
}

/// Writes the end of a bundle.
pub(super) fn write_end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// Reads members in the order in which they must stand.
pub(super) struct Container<R> {
    reader: R,
}

impl<R: Read> Container<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader }
    }

    /// Reads a small member whose size only its header tells. `None` when another member, or nothing, stands here.
    pub(super) fn small_member(
        &mut self,
        path: &str,
        mode: u32,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, AirgapError> {
        let block = self.block(path)?;
        let Some(size) = octal(&block[124..135]).filter(|_| block[..=path.len()] == *[path.as_bytes(), b"\0"].concat())
        else {
            return Ok(None);
        };
        if size > bytes_max {
            return Err(AirgapError::refused(path, format!("{size} bytes, at most {bytes_max} are allowed")));
        }
        if block != header(path, size, mode) {
            return Err(AirgapError::refused(path, "its header was changed"));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        self.body(path, size, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some(bytes))
    }

    /// Reads the member that must stand here, giving its bytes to `take` piece by piece; returns their hash.
    pub(super) fn member(
        &mut self,
        path: &str,
        size: u64,
        mode: u32,
        take: &mut dyn FnMut(&[u8]) -> Result<(), AirgapError>,
    ) -> Result<Hash, AirgapError> {
        if self.block(path)? != header(path, size, mode) {
            return Err(AirgapError::refused(path, "its header is missing or was changed"));
        }
        self.body(path, size, take)
    }

    /// Demands the two empty blocks and the end of the file.
    pub(super) fn end(&mut self) -> Result<(), AirgapError> {
        for _ in 0..2 {
            if self.block("bundle")? != [0; BLOCK] {
                return Err(AirgapError::refused("bundle", "something follows the last member"));
            }
        }
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(AirgapError::refused("bundle", "something follows its end")),
            Err(e) => Err(unreadable("bundle", &e)),
        }
    }

    fn block(&mut self, path: &str) -> Result<[u8; BLOCK], AirgapError> {
        let mut block = [0; BLOCK];
        self.reader.read_exact(&mut block).map_err(|e| unreadable(path, &e))?;
        Ok(block)
    }

    fn body(
        &mut self,
        path: &str,
        size: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), AirgapError>,
    ) -> Result<Hash, AirgapError> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; COPY_BYTES.min(size as usize)];
        let mut left = size;
        while left > 0 {
            let count = (buffer.len() as u64).min(left) as usize;
            self.reader.read_exact(&mut buffer[..count]).map_err(|e| unreadable(path, &e))?;
            hasher.update(&buffer[..count]);
            take(&buffer[..count])?;
            left -= count as u64;
        }
        let mut filler = [0; BLOCK];
        let filler = &mut filler[..padding(size)];
        self.reader.read_exact(filler).map_err(|e| unreadable(path, &e))?;
        if filler.iter().any(|byte| *byte != 0) {
            return Err(AirgapError::refused(path, "the empty bytes behind it were changed"));
        }
        Ok(hasher.finish().0)
    }
}

fn unreadable(path: &str, error: &io::Error) -> AirgapError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        AirgapError::refused(path, "the file ends before it does: it was cut or not copied whole")
    } else {
        AirgapError::refused(path, format!("cannot be read: {error}"))
    }
}

fn octal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u64::from(digit - b'0')),
        _ => None,
    })
}
