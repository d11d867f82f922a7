//! Takes a generated answer apart: sentences and their marks `[n]`.

use super::sentences::sentences;

/// A sentence of an answer and the passages it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    /// Without marks and without markup.
    pub(crate) text: String,
    /// Numbers in the marks, each once, in order.
    pub(crate) marks: Vec<usize>,
}

/// The sentences of an answer. A mark behind a full stop belongs to the sentence before it.
pub(crate) fn take_apart(answer: &str) -> Vec<Marked> {
    let chars: Vec<char> = plain(answer).chars().collect();
    let mut out: Vec<Marked> = Vec::new();
    for range in sentences(&chars) {
        let (lead, text, marks) = split_marks(&chars[range]);
        if let Some(last) = out.last_mut() {
            add_marks(&mut last.marks, &lead);
        }
        if !text.chars().any(char::is_alphanumeric) {
            if let Some(last) = out.last_mut() {
                add_marks(&mut last.marks, &marks);
            }
            continue;
        }
        let mut own = if out.is_empty() { lead } else { Vec::new() };
        add_marks(&mut own, &marks);
        out.push(Marked { text, marks: own });
    }
    out
}

fn add_marks(into: &mut Vec<usize>, more: &[usize]) {
    for mark in more {
        if !into.contains(mark) {
            into.push(*mark);
        }
    }
}

/// Takes emphasis, code and heading signs out; an answer is plain text, and each of its lines stands alone.
fn plain(answer: &str) -> String {
    let lines: Vec<String> = answer
        .lines()
        .map(|line| line.trim().trim_start_matches(['#', '>', '-', '*', '•', ' ']).replace(['*', '`'], ""))
        .collect();
    lines.join("\n\n")
}

/// Marks before the first word, the text without marks, and the other marks.
fn split_marks(chars: &[char]) -> (Vec<usize>, String, Vec<usize>) {
    let (mut lead, mut marks) = (Vec::new(), Vec::new());
    let mut text = String::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '['
            && let Some((numbers, length)) = read_mark(&chars[at..])
        {
            let seen_word = text.chars().any(char::is_alphanumeric);
            add_marks(if seen_word { &mut marks } else { &mut lead }, &numbers);
            at += length;
            continue;
        }
        text.push(chars[at]);
        at += 1;
    }
    (lead, tidy(&text), marks)
}

/// Reads `[1]`, `[1, 2]` or `[1][2]`'s first part: the numbers and the length in characters.
fn read_mark(chars: &[char]) -> Option<(Vec<usize>, usize)> {
    let close = chars.iter().take(24).position(|c| *c == ']')?;
    let inner: String = chars[1..close].iter().collect();
    let numbers: Option<Vec<usize>> = inner.split([',', ';']).map(|part| part.trim().parse().ok()).collect();
    numbers.map(|numbers| (numbers, close + 1))
}

/// Single spaces, none before punctuation.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() && !word.starts_with(['.', ',', ';', ':', '!', '?']) {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: &[(&str, &[usize])]) {
        let found = take_apart(answer);
        let found: Vec<(&str, &[usize])> =
            found.iter().map(|part| (part.text.as_str(), part.marks.as_slice())).collect();
        assert_eq!(found, expected, "{answer:?}");
    }

    #[test]
    fn marks_go_to_their_sentences() {
        check("It is Delaware [1]. It ends [2][3].", &[("It is Delaware.", &[1]), ("It ends.", &[2, 3])]);
        check("It is Delaware. [1] It ends. [2]", &[("It is Delaware.", &[1]), ("It ends.", &[2])]);
        check("[2] It is so.", &[("It is so.", &[2])]);
        check("So [1, 2] it is [1].", &[("So it is.", &[1, 2])]);
        check("Nothing marked.", &[("Nothing marked.", &[])]);
        check("See [Exhibit A] [4].", &[("See [Exhibit A].", &[4])]);
        check("- **Two** years [1]\n- `Three` [2]", &[("Two years", &[1]), ("Three", &[2])]);
        check("", &[]);
    }
}
