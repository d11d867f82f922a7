//! Stop texts: what may become one is held back until it is known.

use crate::TokenId;
use crate::tokenizer::TextStream;

/// Turns tokens into text that surely stands before any stop text.
#[derive(Debug)]
pub(crate) struct StopText<'a> {
    stream: TextStream<'a>,
    stops: &'a [String],
    held: String,
    stopped: bool,
}

impl<'a> StopText<'a> {
    pub(crate) fn new(stream: TextStream<'a>, stops: &'a [String]) -> Self {
        Self { stream, stops, held: String::new(), stopped: false }
    }

    /// The text that is certain after this token, and whether a stop text was completed.
    pub(crate) fn push(&mut self, id: TokenId) -> (String, bool) {
        self.held.push_str(&self.stream.push(id));
        self.release()
    }

    fn release(&mut self) -> (String, bool) {
        let stops = self.stops.iter().filter(|stop| !stop.is_empty());
        if let Some(at) = stops.filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            self.stopped = true;
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back at the end; nothing after a stop text.
    pub(crate) fn finish(mut self) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(&self.stream.finish());
        self.held
    }
}

/// Bytes at the end of `text` that are a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = stop.len().saturating_sub(1).min(text.len());
    (1..=longest).rev().find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn overlap_is_the_longest_end_that_begins_the_stop_text() {
        for (text, stop, expected) in
            [("abc", "cde", 1), ("abab", "ababc", 4), ("abc", "xyz", 0), ("", "x", 0), ("xx", "x", 0), ("aé", "éb", 2)]
        {
            assert_eq!(overlap(text, stop), expected, "{text} {stop}");
        }
    }
}
