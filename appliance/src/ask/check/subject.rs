//! What a sentence takes over from the question to say what it is about, apart from what it claims.

use std::ops::Range;

use super::facts::is_generic;
use super::words::{Word, is_stop, normal, words};

/// Words behind which a name says of which thing something is said (`the lease of 14 Quayside Row`).
const LEADS: &[&str] = &["at", "between", "for", "in", "of", "under", "with", "von", "für", "zwischen"];

/// A sentence without the names that it repeats from the question to name its subject.
///
/// "When does the lease of 14 Quayside Row end?" is answered by "The lease of 14 Quayside Row ends on 31 March 2033", while
/// the clause says "ends on 31 March 2033" alone: which lease it is of is said by the document's name or heading. Such a
/// run of capitalised words and numbers is left out where it stands behind a preposition, stands in the question word for
/// word, and all its names stand in `about`, the names and headings of the sources. Everything else remains to be proven.
pub(crate) fn claim(sentence: &str, question: &str, about: &str) -> String {
    let found = words(sentence);
    let asked: Vec<String> = words(question).iter().map(|word| normal(word.text)).collect();
    let known: Vec<String> = words(about).iter().map(|word| normal(word.text)).collect();
    let mut left_out: Vec<Range<usize>> = Vec::new();
    let mut at = 1;
    while at < found.len() {
        let end = at + found[at..].iter().take_while(|word| is_reference(word)).count();
        let run = &found[at..end];
        if LEADS.contains(&normal(found[at - 1].text).as_str()) && repeats(run, &asked, &known) {
            left_out.push(run[0].start..run[run.len() - 1].end);
        }
        at = end.max(at + 1);
    }
    sentence
        .chars()
        .enumerate()
        .filter(|(index, _)| !left_out.iter().any(|run| run.contains(index)))
        .map(|(_, c)| c)
        .collect()
}

fn is_reference(word: &Word<'_>) -> bool {
    word.text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
}

fn repeats(run: &[Word<'_>], asked: &[String], known: &[String]) -> bool {
    let said: Vec<String> = run.iter().map(|word| normal(word.text)).collect();
    let mut names = run
        .iter()
        .zip(&said)
        .filter(|(word, name)| word.text.starts_with(char::is_uppercase) && !is_stop(name) && !is_generic(name))
        .map(|(_, name)| name)
        .peekable();
    names.peek().is_some()
        && names.all(|name| known.contains(name))
        && asked.windows(said.len()).any(|part| part == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row: a sentence and what remains of it.
    fn check(sentence: &str, expected: &str) {
        let question = "When does the lease of 14 Quayside Row with Acme Ltd end after 30 days?";
        assert_eq!(claim(sentence, question, "lease-quayside-row.pdf > 2. Term"), expected);
    }

    #[test]
    fn names_of_the_subject_are_no_claim() {
        check("The lease of 14 Quayside Row ends in 2033.", "The lease of  ends in 2033.");
        check("Quayside Row is let.", "Quayside Row is let.");
        check("The lease of 15 Quayside Row ends.", "The lease of 15 Quayside Row ends.");
        check("The lease with Acme Ltd ends.", "The lease with Acme Ltd ends.");
        check("It ends after 30 days.", "It ends after 30 days.");
        check("", "");
    }
}
