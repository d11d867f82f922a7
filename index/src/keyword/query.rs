//! A query built from analysed words: no parser that could fail, no input without an answer.

use std::collections::HashSet;

use tantivy::Term;
use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, PhraseQuery, Query, TermQuery, TermSetQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::TextAnalyzer;

use super::{Fields, analysis};

/// Bytes of a query that are looked at.
const QUERY_BYTES_MAX: usize = 32 * 1024;
/// Different words of a query that are looked for.
const WORDS_MAX: usize = 128;
/// Phrases of a query, and words of a phrase.
const PHRASES_MAX: usize = 8;
const PHRASE_WORDS_MAX: usize = 64;
/// What a word weighs in the headings above a passage and in the document's name and title, beside 1 in the text.
const HEADING_WEIGHT: f32 = 0.6;
const NAME_WEIGHT: f32 = 0.3;
/// What a phrase weighs where it need not occur.
const PHRASE_WEIGHT: f32 = 2.0;

/// Whether phrases in quotation marks must occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phrases {
    /// Only passages with every phrase are found.
    Require,
    /// Passages with a phrase come first.
    Prefer,
}

/// Rows that a search may find: the visible collections, and the wanted documents where some are named.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Rows of collections; none = nothing is found.
    pub(crate) collections: Vec<i64>,
    /// Rows of documents; `None` = all of the collections.
    pub(crate) documents: Option<Vec<i64>>,
}

/// The words and the phrases of a question.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    words: Vec<String>,
    phrases: Vec<Vec<String>>,
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Texts between quotation marks; an odd mark is no mark.
fn quoted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['"', '“', '„', '«']) {
        let mark = rest[open..].chars().next().map_or(1, char::len_utf8);
        let inside = &rest[open + mark..];
        let Some(close) = inside.find(['"', '”', '“', '»']) else { break };
        found.push(&inside[..close]);
        let mark = inside[close..].chars().next().map_or(1, char::len_utf8);
        rest = &inside[close + mark..];
    }
    found
}

fn asked(text: &str) -> Asked {
    let text = cut(text);
    let phrase = |inside: &str| -> Vec<String> {
        let words = analysis::words(inside).into_iter().filter(|w| !w.whole);
        words.map(|w| w.text).take(PHRASE_WORDS_MAX).collect()
    };
    let phrases: Vec<Vec<String>> =
        quoted(text).into_iter().map(phrase).filter(|words| !words.is_empty()).take(PHRASES_MAX).collect();
    let all: Vec<String> = analysis::words(text).into_iter().map(|w| w.text).collect();
    let mut words: Vec<String> = all.iter().filter(|w| !analysis::is_stop_word(w)).cloned().collect();
    if words.is_empty() {
        words = all;
    }
    let mut seen = HashSet::new();
    words.retain(|w| seen.insert(w.clone()));
    words.truncate(WORDS_MAX);
    Asked { words, phrases }
}

fn stem(analyzer: &mut TextAnalyzer, word: &str) -> Option<String> {
    let mut stream = analyzer.token_stream(word);
    stream.advance().then(|| stream.token().text.clone())
}

fn rows(field: Field, rows: &[i64]) -> Box<dyn Query> {
    let terms = rows.iter().map(|row| Term::from_field_u64(field, *row as u64));
    if let [one] = rows {
        let term = Term::from_field_u64(field, *one as u64);
        return Box::new(ConstScoreQuery::new(Box::new(TermQuery::new(term, IndexRecordOption::Basic)), 0.0));
    }
    Box::new(ConstScoreQuery::new(Box::new(TermSetQuery::new(terms)), 0.0))
}

fn word_query(fields: &Fields, word: &str) -> Box<dyn Query> {
    let one = |field: Field, weight: f32| -> (Occur, Box<dyn Query>) {
        let term = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
        (Occur::Should, Box::new(BoostQuery::new(Box::new(term), weight)))
    };
    let parts = vec![one(fields.text, 1.0), one(fields.heading, HEADING_WEIGHT), one(fields.name, NAME_WEIGHT)];
    Box::new(BooleanQuery::new(parts))
}

fn phrase_query(fields: &Fields, words: &[String]) -> Box<dyn Query> {
    let mut terms: Vec<Term> = words.iter().map(|w| Term::from_field_text(fields.exact, w)).collect();
    if terms.len() == 1 {
        return Box::new(TermQuery::new(terms.remove(0), IndexRecordOption::WithFreqs));
    }
    Box::new(PhraseQuery::new(terms))
}

/// The query for a question, or nothing where it holds no word or nothing may be found.
pub(super) fn build(fields: &Fields, text: &str, phrases: Phrases, filter: &Filter) -> Option<Box<dyn Query>> {
    let asked = asked(text);
    let empty_scope = filter.collections.is_empty() || filter.documents.as_ref().is_some_and(Vec::is_empty);
    if asked.words.is_empty() || empty_scope {
        return None;
    }
    let mut analyzer = analysis::english();
    let stems: Vec<String> = asked.words.iter().filter_map(|w| stem(&mut analyzer, w)).collect();
    let mut seen = HashSet::new();
    let words: Vec<(Occur, Box<dyn Query>)> =
        stems.iter().filter(|s| seen.insert(s.as_str())).map(|s| (Occur::Should, word_query(fields, s))).collect();
    let mut parts: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, rows(fields.collection, &filter.collections))];
    if let Some(documents) = &filter.documents {
        parts.push((Occur::Must, rows(fields.document, documents)));
    }
    for phrase in &asked.phrases {
        let query = phrase_query(fields, phrase);
        parts.push(match phrases {
            Phrases::Require => (Occur::Must, query),
            Phrases::Prefer => (Occur::Should, Box::new(BoostQuery::new(query, PHRASE_WEIGHT))),
        });
    }
    // A required phrase finds its passages even where its words are all too common to weigh anything.
    let occur = if phrases == Phrases::Require && !asked.phrases.is_empty() { Occur::Should } else { Occur::Must };
    parts.push((occur, Box::new(BooleanQuery::new(words))));
    Some(Box::new(BooleanQuery::new(parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_make_phrases() {
        assert_eq!(quoted("a \"b c\" d “e” f „g“ \"open"), vec!["b c", "e", "g"]);
        assert_eq!(quoted("no marks"), Vec::<&str>::new());
        let found = asked("what is \"the 4.2 Notice\"");
        assert_eq!(found.phrases, vec![vec!["the", "4", "2", "notice"]]);
        assert_eq!(found.words, vec!["4.2", "4", "2", "notice"]);
    }

    #[test]
    fn a_question_of_stop_words_keeps_them() {
        assert_eq!(asked("to be or not to be").words, vec!["to", "be", "or", "not"]);
    }

    #[test]
    fn long_questions_are_cut() {
        let long = (0..20_000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(asked(&long).words.len(), WORDS_MAX);
        assert_eq!(cut(&"é".repeat(40_000)).len(), QUERY_BYTES_MAX);
    }
}
