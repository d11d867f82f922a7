//! Questions whose answers are known, and what was found and answered.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use cloister_appliance::{Appliance, Caller};
use serde::{Deserialize, Serialize};

/// Documents asked for at a time.
const LIST_PAGE: usize = 1_000;

/// A question with its answers and where these stand.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Gold {
    pub(super) question: String,
    pub(super) answerable: bool,
    #[serde(default)]
    pub(super) answers: Vec<String>,
    #[serde(default)]
    pub(super) answer_kind: Option<String>,
    /// Where the answers stand; one of them is enough.
    #[serde(default, rename = "gold")]
    pub(super) places: Vec<Place>,
    /// The one document asked about.
    #[serde(default)]
    pub(super) scope: Option<String>,
    /// The documents asked about, where they are several.
    #[serde(default)]
    context: Vec<String>,
}

impl Gold {
    /// The documents that the question is about; none stands for all.
    pub(super) fn scope(&self) -> &[String] {
        self.scope.as_ref().map_or(&self.context, std::slice::from_ref)
    }

    fn named(&self) -> impl Iterator<Item = &str> {
        self.scope().iter().map(String::as_str).chain(self.places.iter().map(|place| place.document.as_str()))
    }
}

/// A place: characters of a document, or pages of it, or both, or the document as a whole.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct Place {
    pub(super) document: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<u32>,
    #[serde(default, skip_serializing)]
    page: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pages: Vec<u32>,
}

impl Place {
    /// Characters of a document that lie on these pages.
    pub(super) fn new(document: String, start: u32, end: u32, pages: Vec<u32>) -> Self {
        Self { document, start: Some(start), end: Some(end), page: None, pages }
    }

    /// First character and the one after the last, where they are known.
    pub(super) fn span(&self) -> Option<(u32, u32)> {
        self.start.zip(self.end)
    }

    /// Its pages, as many as are known.
    pub(super) fn pages(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().copied().chain(self.page.filter(|_| self.pages.is_empty()))
    }
}

/// A citation of an answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cited {
    #[serde(flatten)]
    pub(super) place: Place,
    pub(super) quote: String,
    /// Whether the stored text is the quote, at its offsets and to the letter.
    pub(super) real: bool,
}

/// What was found and answered.
#[derive(Debug, Default, Serialize)]
pub(super) struct Prediction {
    pub(super) ranked: Vec<Place>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) answered: Option<Answered>,
    pub(super) seconds: f64,
}

/// What was answered.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answered {
    /// Without its marks.
    pub(super) answer: String,
    pub(super) abstained: bool,
    pub(super) citations: Vec<Cited>,
}

/// The stored documents by the names that questions give them: id, name, base name, or base name without its ending.
pub(super) struct Names {
    stored: HashMap<String, Vec<String>>,
    given: HashMap<String, String>,
    without_ending: bool,
}

impl Names {
    /// The names of the documents in one collection or in all, and what the questions call them.
    pub(super) fn read<'a>(
        appliance: &Appliance,
        caller: &Caller,
        collection: Option<&str>,
        questions: impl Iterator<Item = &'a Gold>,
    ) -> Result<Self> {
        let collections = match collection {
            Some(collection) => vec![appliance.collection(caller, collection)?.id],
            None => appliance.collections(caller)?.into_iter().map(|found| found.id).collect(),
        };
        let mut documents = Vec::new();
        for collection in collections {
            let mut after = None;
            loop {
                let page = appliance.documents(caller, &collection, after.as_deref(), LIST_PAGE)?;
                documents.extend(page.documents.into_iter().map(|found| (found.id, found.name)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(Self::new(&documents, questions))
    }

    /// From ids and names of documents.
    fn new<'a>(documents: &[(String, String)], questions: impl Iterator<Item = &'a Gold>) -> Self {
        let mut levels: BTreeMap<String, [Vec<String>; 3]> = BTreeMap::new();
        for (id, name) in documents {
            for (level, key) in [id, name.as_str(), base(name), stem(name)].into_iter().enumerate() {
                levels.entry(key.to_owned()).or_default()[level.saturating_sub(1)].push(id.clone());
            }
        }
        let (mut given, mut without_ending) = (HashMap::new(), false);
        for key in questions.flat_map(Gold::named) {
            let Some(level) = levels.get(key).and_then(|levels| levels.iter().position(|ids| !ids.is_empty())) else {
                continue;
            };
            without_ending |= level == 2;
            given.extend(levels[key][level].iter().map(|id| (id.clone(), key.to_owned())));
        }
        let first = |levels: [Vec<String>; 3]| levels.into_iter().find(|ids| !ids.is_empty()).unwrap_or_default();
        Self { stored: levels.into_iter().map(|(key, levels)| (key, first(levels))).collect(), given, without_ending }
    }

    /// Ids of the documents that a question calls so; more than one where an ending would tell them apart.
    pub(super) fn ids(&self, key: &str) -> &[String] {
        self.stored.get(key).map_or(&[], Vec::as_slice)
    }

    /// What the questions call a document.
    pub(super) fn given(&self, id: &str, name: &str) -> String {
        let other = || if self.without_ending { stem(name) } else { name }.to_owned();
        self.given.get(id).cloned().unwrap_or_else(other)
    }
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn stem(name: &str) -> &str {
    let base = base(name);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure ends the test, which is its purpose")]
mod tests {
    use super::*;

    #[test]
    fn documents_are_known_by_id_name_base_and_stem() {
        let stored = [("1", "docs/a.b.txt"), ("2", "other/c.txt"), ("3", "c.pdf"), ("4", "c.txt"), ("5", "e.md")]
            .map(|(id, name)| (id.to_owned(), name.to_owned()));
        let question = Gold { scope: Some("a.b".to_owned()), ..Gold::default() };
        let names = Names::new(&stored, std::iter::once(&question));
        let check = |key: &str, ids: &[&str]| assert_eq!(names.ids(key), ids, "{key}");
        check("1", &["1"]);
        check("docs/a.b.txt", &["1"]);
        check("a.b.txt", &["1"]);
        check("a.b", &["1"]);
        check("c.txt", &["4"]);
        check("c", &["2", "3", "4"]);
        check("d", &[]);
        assert_eq!((names.given("1", "docs/a.b.txt"), names.given("5", "e.md")), ("a.b".to_owned(), "e".to_owned()));
        let names = Names::new(&stored, std::iter::empty());
        assert_eq!(names.given("5", "e.md"), "e.md", "nothing says that endings are left out");
    }

    #[test]
    fn a_prediction_is_written_as_scorers_read_it() {
        let place = |start, end| Place::new("d".to_owned(), start, end, vec![1, 2]);
        let mut prediction = Prediction { ranked: vec![place(0, 4)], answered: None, seconds: 0.5 };
        let searched =
            serde_json::json!({"ranked": [{"document": "d", "start": 0, "end": 4, "pages": [1, 2]}], "seconds": 0.5});
        assert_eq!(serde_json::to_value(&prediction).unwrap(), searched);
        let cited = Cited { place: place(1, 3), quote: "er".to_owned(), real: true };
        prediction.answered = Some(Answered { answer: "Zero".to_owned(), abstained: false, citations: vec![cited] });
        let value = serde_json::to_value(&prediction).unwrap();
        assert_eq!((&value["answer"], &value["abstained"]), (&"Zero".into(), &false.into()));
        let citation =
            serde_json::json!({"document": "d", "start": 1, "end": 3, "pages": [1, 2], "quote": "er", "real": true});
        assert_eq!(value["citations"], serde_json::json!([citation]));
    }
}
