//! Places where a text that is merged as a whole may be cut without changing the result.
//!
//! SentencePiece models do not cut text into words beforehand. But no merge can reach over the place between a
//! character and a space mark if no token holds the two side by side; cut there, a long text becomes words, of which
//! each is merged on its own and repeated ones only once.

use std::collections::HashSet;

/// The character that stands for a space (U+2581).
pub(super) const SPACE_MARK: &str = "\u{2581}";
const MARK: char = '\u{2581}';

/// Between which characters and a space mark after them a text must not be cut.
#[derive(Debug, Default)]
pub(super) struct Seams {
    before_mark: HashSet<char>,
}

impl Seams {
    /// The seams of those token texts. A text that is no UTF-8 can take part in no merge.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut before_mark = HashSet::new();
        for text in texts.filter_map(|text| std::str::from_utf8(text).ok()) {
            let before = text.match_indices(MARK).filter_map(|(at, _)| text[..at].chars().next_back());
            before_mark.extend(before);
        }
        Self { before_mark }
    }

    /// Calls `emit` with the pieces of a text, in order; together they are the text.
    pub(super) fn pieces<'t>(&self, text: &'t str, emit: &mut dyn FnMut(&'t str)) {
        let mut start = 0;
        let mut from = 0;
        while let Some(found) = text[from..].find(MARK) {
            let at = from + found;
            from = at + SPACE_MARK.len();
            let before = text[start..at].chars().next_back();
            if before.is_some_and(|c| !self.before_mark.contains(&c)) {
                emit(&text[start..at]);
                start = at;
            }
        }
        if start < text.len() {
            emit(&text[start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_only_where_no_token_reaches_over() {
        let tokens = ["a", "▁a", "▁▁", ".▁", "b"];
        let seams = Seams::of(tokens.iter().map(|text| text.as_bytes()));
        let rows: &[(&str, &[&str])] =
            &[("", &[]), ("▁a▁b", &["▁a", "▁b"]), ("a.▁a▁▁b▁", &["a.▁a", "▁▁b", "▁"]), ("ab", &["ab"])];
        for (text, wanted) in rows {
            let mut pieces = Vec::new();
            seams.pieces(text, &mut |piece| pieces.push(piece));
            assert_eq!(&pieces, wanted, "{text}");
        }
    }
}
