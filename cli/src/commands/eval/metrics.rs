//! What a run over questions with known answers amounts to.
//!
//! Retrieval counts answerable questions with gold; a passage hits a gold entry when it covers half of its characters, or lies
//! on its page, or is of its document, whichever is the finest that both say. Answers are compared as SQuAD does. The positive
//! class of abstention is a question that the documents do not answer.

use std::collections::HashMap;

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::gold::{Answered, Cited, Gold, Place, Prediction};

/// Ranks up to which a hit counts.
const RECALL_AT: [usize; 3] = [1, 5, 10];

/// A mean as it grows.
#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// Of yes (1) and no (0).
    fn judge(&mut self, yes: bool) {
        self.add(f64::from(u8::from(yes)));
    }

    /// To four digits; null when nothing was measured.
    fn value(self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        json!(rounded(self.sum / f64::from(self.count)))
    }
}

/// The sums of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    questions: u32,
    answerable: u32,
    recall: [Mean; RECALL_AT.len()],
    reciprocal_rank: Mean,
    exact: Mean,
    token_f1: Mean,
    clause_f1: Mean,
    yes_no: Mean,
    answer_rate: Mean,
    abstained: Abstained,
    citations: u32,
    citation_real: Mean,
    citation_precision: Mean,
    citation_recall: Mean,
    seconds: Vec<f64>,
}

/// Abstentions by whether they were right.
#[derive(Debug, Default)]
struct Abstained {
    rightly: u32,
    wrongly: u32,
    missed: u32,
}

impl Tally {
    /// Adds a question and what became of it; what failed found nothing and, where answers were asked for, answered nothing.
    pub(super) fn add(&mut self, gold: &Gold, prediction: &Prediction) {
        self.questions += 1;
        self.answerable += u32::from(gold.answerable);
        if gold.answerable && !gold.places.is_empty() {
            self.add_ranks(gold, &prediction.ranked);
        }
        if let Some(answered) = &prediction.answered {
            self.add_answer(gold, answered);
            self.add_citations(gold, answered);
        }
        if prediction.seconds > 0.0 {
            self.seconds.push(prediction.seconds);
        }
    }

    fn add_ranks(&mut self, gold: &Gold, ranked: &[Place]) {
        let rank = ranked.iter().position(|found| gold.places.iter().any(|place| hits(found, place)));
        for (mean, most) in self.recall.iter_mut().zip(RECALL_AT) {
            mean.judge(rank.is_some_and(|rank| rank < most));
        }
        self.reciprocal_rank.add(rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64));
    }

    fn add_answer(&mut self, gold: &Gold, answered: &Answered) {
        match (answered.abstained, gold.answerable) {
            (true, false) => self.abstained.rightly += 1,
            (true, true) => self.abstained.wrongly += 1,
            (false, false) => self.abstained.missed += 1,
            (false, true) => {}
        }
        if !gold.answerable {
            return;
        }
        self.answer_rate.judge(!answered.abstained && !answered.citations.is_empty());
        let answer = if answered.abstained { "" } else { &answered.answer };
        let best = |measure: fn(&str, &str) -> f64| {
            gold.answers.iter().map(|right| measure(answer, right)).fold(0.0, f64::max)
        };
        match (gold.answer_kind.as_deref(), gold.answers.first()) {
            (_, None) => {}
            (Some("yesno"), Some(right)) => {
                self.yes_no.judge(yes_or_no(answer).is_some_and(|said| yes_or_no(right) == Some(said)));
            }
            (Some("clause"), _) => self.clause_f1.add(best(token_f1)),
            _ => {
                self.exact.add(best(exact));
                self.token_f1.add(best(token_f1));
            }
        }
    }

    fn add_citations(&mut self, gold: &Gold, answered: &Answered) {
        let mut supported = false;
        for cited in &answered.citations {
            let good = cited.real && is_relevant(cited, gold);
            self.citations += 1;
            self.citation_real.judge(cited.real);
            self.citation_precision.judge(good);
            supported |= good;
        }
        if gold.answerable && !gold.places.is_empty() {
            self.citation_recall.judge(supported);
        }
    }

    /// The figures, null where nothing was measured.
    pub(super) fn summary(mut self) -> Value {
        let mut summary = json!({
            "questions": self.questions, "answerable": self.answerable,
            "mrr": self.reciprocal_rank.value(), "em": self.exact.value(), "f1": self.token_f1.value(),
            "clause_f1": self.clause_f1.value(), "yesno_accuracy": self.yes_no.value(), "answer_rate": self.answer_rate.value(),
            "abstain_precision": self.abstained.share(self.abstained.wrongly),
            "abstain_recall": self.abstained.share(self.abstained.missed),
            "citations": self.citations, "citation_real": self.citation_real.value(),
            "citation_precision": self.citation_precision.value(), "citation_recall": self.citation_recall.value(),
            "median_seconds": median(&mut self.seconds),
        });
        for (mean, most) in self.recall.into_iter().zip(RECALL_AT) {
            summary[format!("recall@{most}")] = mean.value();
        }
        summary
    }
}

impl Abstained {
    /// Those that were right among them and `others`; null when there was nothing to abstain from and nobody did.
    fn share(&self, others: u32) -> Value {
        if self.rightly + self.wrongly + self.missed == 0 {
            return Value::Null;
        }
        json!(rounded(f64::from(self.rightly) / f64::from((self.rightly + others).max(1))))
    }
}

fn median(values: &mut [f64]) -> Value {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => Value::Null,
        odd if odd % 2 == 1 => json!(rounded(values[middle])),
        _ => json!(rounded(f64::midpoint(values[middle - 1], values[middle]))),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Characters that two places share, where both say which they are.
fn shared(found: &Place, gold: &Place) -> Option<u32> {
    let ((a, b), (c, d)) = (found.span()?, gold.span()?);
    Some(b.min(d).saturating_sub(a.max(c)))
}

fn share_a_page(found: &Place, gold: &Place) -> bool {
    gold.pages().any(|page| found.pages().any(|other| other == page))
}

/// Whether a passage that was found is the gold place.
fn hits(found: &Place, gold: &Place) -> bool {
    if found.document != gold.document {
        return false;
    }
    if let (Some(shared), Some((start, end))) = (shared(found, gold), gold.span()) {
        return shared > 0 && 2 * u64::from(shared) >= u64::from(end - start.min(end));
    }
    if gold.pages().next().is_some() { share_a_page(found, gold) } else { gold.span().is_none() }
}

/// Whether a cited place is about the gold place at all.
fn touches(cited: &Place, gold: &Place) -> bool {
    if cited.document != gold.document {
        return false;
    }
    if let Some(shared) = shared(cited, gold) {
        return shared > 0;
    }
    match (gold.pages().next(), cited.pages().next()) {
        (Some(_), Some(_)) => share_a_page(cited, gold),
        (Some(_), None) => false,
        (None, _) => gold.span().is_none(),
    }
}

/// A citation is to the point when it touches the gold, or quotes an answer from a gold document.
fn is_relevant(cited: &Cited, gold: &Gold) -> bool {
    if gold.places.iter().any(|place| touches(&cited.place, place)) {
        return true;
    }
    let quote = letters(&cited.quote);
    let says = |answer: &String| {
        let answer = letters(answer);
        answer.chars().count() > 1 && answer != "yes" && answer != "no" && quote.contains(&answer)
    };
    gold.places.iter().any(|place| place.document == cited.place.document) && gold.answers.iter().any(says)
}

/// Letters and digits alone, in lower case.
fn letters(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

/// The words that SQuAD compares: lower case, no punctuation, no articles.
fn words(text: &str) -> Vec<String> {
    let bare: String = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| c.general_category_group() != GeneralCategoryGroup::Punctuation)
        .collect();
    bare.split_whitespace().filter(|word| !["a", "an", "the"].contains(word)).map(str::to_owned).collect()
}

fn exact(answer: &str, right: &str) -> f64 {
    f64::from(u8::from(words(answer) == words(right)))
}

/// Harmonic mean of the shares of words that the answer and the right answer have in common.
fn token_f1(answer: &str, right: &str) -> f64 {
    let (answer, right) = (words(answer), words(right));
    if answer.is_empty() || right.is_empty() {
        return f64::from(u8::from(answer == right));
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &right {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0.0;
    for word in &answer {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            common += 1.0;
        }
    }
    2.0 * common / (answer.len() + right.len()) as f64
}

/// The first yes or no of a text.
fn yes_or_no(text: &str) -> Option<bool> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric() && c != '_').find_map(|word| match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests {
    use super::*;

    fn gold(line: Value) -> Gold {
        serde_json::from_value(line).unwrap()
    }

    fn place(line: Value) -> Place {
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn a_passage_hits_half_of_the_characters_or_the_page_or_the_document() {
        let check = |found: Value, wanted: Value, expected: bool| {
            let said = format!("{found} {wanted}");
            assert_eq!(hits(&place(found), &place(wanted)), expected, "{said}");
        };
        check(json!({"document": "d", "start": 0, "end": 5}), json!({"document": "d", "start": 0, "end": 10}), true);
        check(json!({"document": "d", "start": 0, "end": 4}), json!({"document": "d", "start": 0, "end": 10}), false);
        check(json!({"document": "e", "start": 0, "end": 9}), json!({"document": "d", "start": 0, "end": 10}), false);
        check(json!({"document": "d", "pages": [2, 3]}), json!({"document": "d", "page": 3}), true);
        check(
            json!({"document": "d", "start": 0, "end": 9, "pages": [2]}),
            json!({"document": "d", "pages": [3, 4]}),
            false,
        );
        check(json!({"document": "d"}), json!({"document": "d", "pages": [3]}), false);
        check(json!({"document": "d", "page": 1}), json!({"document": "d"}), true);
        check(json!({"document": "d", "page": 1}), json!({"document": "d", "start": 1, "end": 2}), false);
    }

    #[test]
    fn answers_are_compared_by_their_words() {
        assert!((exact("An  apple.", "apple") - 1.0).abs() < 1e-9);
        assert!(exact("pear", "apple").abs() < 1e-9);
        assert!((token_f1("big red dog", "the red dog") - 0.8).abs() < 1e-9);
        assert!((token_f1("dog dog", "dog") - 2.0 / 3.0).abs() < 1e-9, "a word counts as often as it stands");
        assert!(token_f1("", "dog").abs() < 1e-9);
        assert_eq!(
            (yes_or_no("Yes, it does."), yes_or_no("Nothing known: no"), yes_or_no("maybe")),
            (Some(true), Some(false), None)
        );
    }

    fn answer(text: &str, citations: Vec<Cited>) -> Answered {
        Answered { answer: text.to_owned(), abstained: text.is_empty(), citations }
    }

    fn cited(at: Value, quote: &str, real: bool) -> Cited {
        Cited { place: place(at), quote: quote.to_owned(), real }
    }

    /// Six questions of which two are unanswerable, one of these is answered all the same and one answerable is not.
    fn run() -> Vec<(Gold, Prediction)> {
        let span = json!([{"document": "d", "start": 6, "end": 56}]);
        let zero = json!([{"document": "d", "start": 0, "end": 4}]);
        let ranked = |places: Value| serde_json::from_value::<Vec<Place>>(places).unwrap();
        let governed = vec![
            cited(json!({"document": "d", "start": 20, "end": 50}), "the laws of Delaware", true),
            cited(json!({"document": "e", "start": 10, "end": 24}), "laws of Nevada", false),
        ];
        let purchases = vec![
            cited(json!({"document": "p", "page": 3}), "PP&E (1,577)", true),
            cited(json!({"document": "p", "page": 2}), "nothing", true),
        ];
        let row = |gold_line: Value, found: Value, answered, seconds| {
            (gold(gold_line), Prediction { ranked: ranked(found), answered: Some(answered), seconds })
        };
        vec![
            row(
                json!({"question": "law?", "answerable": true, "answers": ["Delaware"], "gold": span}),
                json!([{"document": "d", "start": 0, "end": 11}, {"document": "x", "start": 6, "end": 56}, {"document": "d", "start": 16, "end": 56}]),
                answer("the Delaware!", governed),
                1.0,
            ),
            row(
                json!({"question": "how much?", "answerable": true, "answers": ["1577"], "gold": [{"document": "p", "pages": [3]}]}),
                json!([{"document": "p", "page": 3}]),
                answer("It was 1577", purchases),
                2.0,
            ),
            row(json!({"question": "c", "answerable": false}), json!([]), answer("", vec![]), 3.0),
            row(json!({"question": "d", "answerable": false}), json!([]), answer("Nevada", vec![]), 4.0),
            row(
                json!({"question": "e", "answerable": true, "answers": ["Yes"], "answer_kind": "yesno", "gold": zero.clone()}),
                json!([]),
                answer("Yes, it does.", vec![cited(json!({"document": "d", "start": 90, "end": 93}), "yes", true)]),
                5.0,
            ),
            row(
                json!({"question": "f", "answerable": true, "answers": ["Zero"], "gold": zero}),
                json!([{"document": "d", "start": 0, "end": 2}]),
                answer("", vec![]),
                6.0,
            ),
        ]
    }

    #[test]
    fn a_run_is_summed_up() {
        let mut tally = Tally::default();
        for (gold, prediction) in run() {
            tally.add(&gold, &prediction);
        }
        let summary = tally.summary();
        let check = |name: &str, wanted: f64| {
            let value = summary[name].as_f64().unwrap_or_else(|| panic!("{name}: {}", summary[name]));
            assert!((value - wanted).abs() < 1e-4, "{name}: {value}, not {wanted}");
        };
        check("questions", 6.0);
        check("answerable", 4.0);
        check("recall@1", 2.0 / 4.0);
        check("recall@5", 3.0 / 4.0);
        check("recall@10", 3.0 / 4.0);
        check("mrr", (1.0 / 3.0 + 1.0 + 0.0 + 1.0) / 4.0);
        check("em", 1.0 / 3.0);
        check("f1", (1.0 + 0.5 + 0.0) / 3.0);
        check("yesno_accuracy", 1.0);
        check("answer_rate", 3.0 / 4.0);
        check("abstain_precision", 1.0 / 2.0);
        check("abstain_recall", 1.0 / 2.0);
        check("citations", 5.0);
        check("citation_real", 4.0 / 5.0);
        check("citation_precision", 2.0 / 5.0);
        check("citation_recall", 2.0 / 4.0);
        check("median_seconds", 3.5);
        assert_eq!(summary["clause_f1"], Value::Null);
    }

    #[test]
    fn a_search_alone_says_nothing_of_answers() {
        let mut tally = Tally::default();
        for (gold, mut prediction) in run() {
            prediction.answered = None;
            tally.add(&gold, &prediction);
        }
        let summary = tally.summary();
        assert_eq!(summary["recall@5"], json!(0.75));
        for name in ["em", "f1", "answer_rate", "abstain_precision", "citation_real", "citation_recall"] {
            assert_eq!(summary[name], Value::Null, "{name}");
        }
    }

    #[test]
    fn a_quote_of_the_answer_from_the_right_document_is_relevant() {
        let question = gold(
            json!({"question": "q", "answerable": true, "answers": ["31 March 2033", "no"], "gold": [{"document": "d", "start": 0, "end": 4}]}),
        );
        let check = |document: &str, quote: &str, expected: bool| {
            let cited = cited(json!({"document": document, "start": 50, "end": 60}), quote, true);
            assert_eq!(is_relevant(&cited, &question), expected, "{document}: {quote}");
        };
        check("d", "ends on 31 MARCH, 2033", true);
        check("e", "ends on 31 March 2033", false);
        check("d", "there is no such thing", false);
    }
}
