//! Compact forms of what a page holds: words as a byte string, lists as JSON.

use serde::{Deserialize, Serialize};

use crate::{IndexError, PageBlock, PageWord};

/// Words of one page.
pub(crate) const WORDS_MAX: usize = 500_000;
/// Coordinates are kept in hundredths of a point, within this many points.
const POINTS_MAX: f32 = 1_000_000.0;
const STEPS: f32 = 100.0;

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = take(bytes)?;
    Some(((value >> 1) as i64) ^ -((value & 1) as i64))
}

fn steps(points: f32) -> i64 {
    let points = if points.is_finite() { points.clamp(-POINTS_MAX, POINTS_MAX) } else { 0.0 };
    (points * STEPS).round() as i64
}

/// Words as differences to the word before, in variable-length integers.
pub(crate) fn pack_words(words: &[PageWord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(words.len() * 8);
    put(&mut out, words.len() as u64);
    let (mut at, mut left, mut top) = (0_i64, 0_i64, 0_i64);
    for word in words {
        let (x0, y0, x1, y1) = (steps(word.x0), steps(word.y0), steps(word.x1), steps(word.y1));
        put_signed(&mut out, i64::from(word.start) - at);
        put_signed(&mut out, i64::from(word.end) - i64::from(word.start));
        put_signed(&mut out, x0 - left);
        put_signed(&mut out, y0 - top);
        put_signed(&mut out, x1 - x0);
        put_signed(&mut out, y1 - y0);
        (at, left, top) = (i64::from(word.end), x1, y0);
    }
    out
}

/// The words of a page as they were packed.
pub(crate) fn unpack_words(bytes: &[u8]) -> Result<Vec<PageWord>, IndexError> {
    try_unpack(bytes).ok_or_else(|| IndexError::Damaged {
        what: "the words of a page".to_owned(),
        detail: "they do not unpack".to_owned(),
    })
}

fn try_unpack(mut bytes: &[u8]) -> Option<Vec<PageWord>> {
    let count = usize::try_from(take(&mut bytes)?).ok()?;
    if count > WORDS_MAX || count > bytes.len() / 6 {
        return None;
    }
    let mut words = Vec::with_capacity(count);
    let (mut at, mut left, mut top) = (0_i64, 0_i64, 0_i64);
    for _ in 0..count {
        let start = at.checked_add(take_signed(&mut bytes)?)?;
        let end = start.checked_add(take_signed(&mut bytes)?)?;
        let x0 = left.checked_add(take_signed(&mut bytes)?)?;
        let y0 = top.checked_add(take_signed(&mut bytes)?)?;
        let x1 = x0.checked_add(take_signed(&mut bytes)?)?;
        let y1 = y0.checked_add(take_signed(&mut bytes)?)?;
        let points = |steps: i64| steps as f32 / STEPS;
        words.push(PageWord {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
            x0: points(x0),
            y0: points(y0),
            x1: points(x1),
            y1: points(y1),
        });
        (at, left, top) = (end, x1, y0);
    }
    bytes.is_empty().then_some(words)
}

#[derive(Serialize, Deserialize)]
struct Block(String, u8, u32, u32, Option<[f32; 4]>);

/// Blocks as JSON.
pub(crate) fn pack_blocks(blocks: &[PageBlock]) -> String {
    let rows: Vec<Block> =
        blocks.iter().map(|b| Block(b.kind.clone(), b.level, b.start, b.end, b.bounds.map(finite))).collect();
    serde_json::to_string(&rows).expect("strings and finite numbers always have a JSON form")
}

fn finite(bounds: [f32; 4]) -> [f32; 4] {
    bounds.map(|v| if v.is_finite() { v.clamp(-POINTS_MAX, POINTS_MAX) } else { 0.0 })
}

/// The blocks of a page as they were packed.
pub(crate) fn unpack_blocks(text: &str) -> Result<Vec<PageBlock>, IndexError> {
    let rows: Vec<Block> = parse("the blocks of a page", text)?;
    let block = |Block(kind, level, start, end, bounds)| PageBlock { kind, level, start, end, bounds };
    Ok(rows.into_iter().map(block).collect())
}

/// A list of strings as JSON.
pub(crate) fn pack_strings(strings: &[String]) -> String {
    serde_json::to_string(strings).expect("strings always have a JSON form")
}

/// The strings as they were packed.
pub(crate) fn unpack_strings(text: &str) -> Result<Vec<String>, IndexError> {
    parse("a list of strings", text)
}

fn parse<T: for<'a> Deserialize<'a>>(what: &str, text: &str) -> Result<T, IndexError> {
    serde_json::from_str(text).map_err(|e| IndexError::Damaged { what: what.to_owned(), detail: e.to_string() })
}

/// CRC-32 of what a row holds, checked when it is read.
pub(crate) fn checksum(bytes: &[u8]) -> i64 {
    i64::from(crc32fast::hash(bytes))
}

/// Refuses a text that is not what was written.
pub(crate) fn checked_text(what: &str, text: String, stored: i64) -> Result<String, IndexError> {
    if checksum(text.as_bytes()) == stored {
        return Ok(text);
    }
    Err(IndexError::Damaged { what: what.to_owned(), detail: "its checksum differs".to_owned() })
}

/// A vector as little-endian 32-bit floats.
pub(crate) fn pack_vector(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The vector as it was packed.
pub(crate) fn unpack_vector(bytes: &[u8], stored: i64) -> Result<Vec<f32>, IndexError> {
    if checksum(bytes) != stored || !bytes.len().is_multiple_of(4) {
        return Err(IndexError::Damaged { what: "a vector".to_owned(), detail: "its checksum differs".to_owned() });
    }
    Ok(bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_come_back(raw in prop::collection::vec(
            (0_u32..100_000, 0_u32..50, -900.0_f32..9_000.0, -900.0_f32..9_000.0, 0.0_f32..500.0, 0.0_f32..50.0), 0..60,
        )) {
            let words: Vec<PageWord> = raw
                .into_iter()
                .map(|(start, len, x0, y0, w, h)| PageWord { start, end: start + len, x0, y0, x1: x0 + w, y1: y0 + h })
                .collect();
            let back = unpack_words(&pack_words(&words)).unwrap();
            prop_assert_eq!(back.len(), words.len());
            for (a, b) in back.iter().zip(&words) {
                prop_assert_eq!((a.start, a.end), (b.start, b.end));
                for (p, q) in [(a.x0, b.x0), (a.y0, b.y0), (a.x1, b.x1), (a.y1, b.y1)] {
                    prop_assert!((p - q).abs() <= 0.006);
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack_words(&bytes);
        }
    }

    #[test]
    fn numbers_that_are_none_become_zero() {
        let word = PageWord { start: 0, end: 1, x0: f32::NAN, y0: f32::INFINITY, x1: -1.0, y1: 2e9 };
        let back = unpack_words(&pack_words(&[word])).unwrap();
        assert_eq!((back[0].x0, back[0].y0, back[0].x1, back[0].y1), (0.0, 0.0, -1.0, POINTS_MAX));
    }
}
