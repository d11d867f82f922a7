//! Search: rights first, candidates from the derived stores, each hit confirmed in the catalogue.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension};

use super::{
    Store,
    collections::{NO_COLLECTION, still_visible},
    commit::check_vector,
    documents::NO_DOCUMENT,
    pages::boxes_of,
};
use crate::{
    CollectionId, DocumentId, EmbedderId, Found, Hit, IndexError, LIMIT_HITS, Level, Mode, SearchRequest, Visible,
    catalogue,
    keyword::{Filter, Phrases},
    packing::{checked_text, unpack_strings, unpack_vector},
};

/// Documents that one search may name.
const DOCUMENTS_MAX: usize = 10_000;
/// Candidates taken from each index: this many times the limit, within these bounds.
const DEPTH_FACTOR: usize = 4;
const DEPTH_MIN: usize = 60;
/// Candidates of the coarse scan that are compared again in full precision.
const RESCORE_FACTOR: usize = 4;
/// Constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009).
const FUSION: f32 = 60.0;

/// A passage with its score, best first in a list.
type Ranked = Vec<(i64, f32)>;

/// Rows that a search may find, as the rights stand when it starts.
struct Scope {
    collections: BTreeMap<i64, (CollectionId, Level)>,
    documents: Option<Vec<i64>>,
}

impl Store {
    /// Searches what is visible, of it the collection and the documents of the request. Every hit is confirmed in the catalogue: it
    /// exists, is current, and is granted at this moment.
    pub fn search(&self, visible: &Visible, request: &SearchRequest) -> Result<Found, IndexError> {
        let embedder = self.embedder()?;
        check(request, embedder.as_ref())?;
        let scope = self.catalogue.read("look the scope up", |view| scope(view, visible, request))?;
        let depth = (request.limit * DEPTH_FACTOR).max(DEPTH_MIN);
        let keyword = match request.mode {
            Mode::Vector => Vec::new(),
            Mode::Keyword => self.by_keyword(request, &scope, Phrases::Require, depth)?,
            Mode::Hybrid => self.by_keyword(request, &scope, Phrases::Prefer, depth)?,
        };
        let vector = match (&request.vector, request.mode) {
            (Some(vector), Mode::Hybrid | Mode::Vector) => self.by_vector(vector, &scope, embedder.as_ref(), depth)?,
            _ => Vec::new(),
        };
        let ranked = match request.mode {
            Mode::Keyword => keyword,
            Mode::Vector => vector,
            Mode::Hybrid => fuse(&[keyword, vector]),
        };
        self.catalogue.read("confirm the hits", |view| confirm(view, visible, request, &scope, &ranked))
    }

    fn by_keyword(
        &self,
        request: &SearchRequest,
        scope: &Scope,
        phrases: Phrases,
        depth: usize,
    ) -> Result<Ranked, IndexError> {
        let filter =
            Filter { collections: scope.collections.keys().copied().collect(), documents: scope.documents.clone() };
        self.keyword.search(&request.text, phrases, &filter, depth)
    }

    /// Coarse candidates, compared again in full precision.
    fn by_vector(
        &self,
        vector: &[f32],
        scope: &Scope,
        embedder: Option<&EmbedderId>,
        depth: usize,
    ) -> Result<Ranked, IndexError> {
        let (Some(vectors), Some(embedder)) = (self.vectors(), embedder) else { return Ok(Vec::new()) };
        let documents: Option<HashSet<i64>> = scope.documents.as_ref().map(|d| d.iter().copied().collect());
        let collections: HashSet<i64> = scope.collections.keys().copied().collect();
        let coarse = vectors.nearest(
            vector,
            |owner| {
                collections.contains(&owner.collection)
                    && documents.as_ref().is_none_or(|documents| documents.contains(&owner.document))
            },
            depth.max(DEPTH_MIN) * RESCORE_FACTOR / DEPTH_FACTOR,
        );
        self.catalogue.read("compare vectors", |view| {
            let mut statement = view.prepare_cached(
                "SELECT data, checksum FROM vectors JOIN embedders ON embedders.row = vectors.embedder
                 WHERE passage = ?1 AND sha256 = ?2 AND dimension = ?3",
            )?;
            let mut exact = Vec::with_capacity(coarse.len());
            for (passage, _) in coarse {
                let mut rows = statement.query((passage, &embedder.sha256, embedder.dimension as i64))?;
                // A row that has gone meanwhile is no hit.
                let Some(row) = rows.next()? else { continue };
                let stored = unpack_vector(row.get_ref(0)?.as_blob().unwrap_or_default(), row.get(1)?)?;
                exact.push((passage, product(vector, &stored)));
            }
            sort(&mut exact);
            Ok(exact)
        })
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() as f32
}

/// Best first; equal scores in the order of their rows.
fn sort(ranked: &mut Ranked) {
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

/// Reciprocal rank fusion: each list gives a passage one over sixty plus its rank.
fn fuse(lists: &[Ranked]) -> Ranked {
    let mut sums: HashMap<i64, f32> = HashMap::new();
    for list in lists {
        for (rank, (passage, _)) in list.iter().enumerate() {
            *sums.entry(*passage).or_default() += 1.0 / (FUSION + 1.0 + rank as f32);
        }
    }
    let mut fused: Ranked = sums.into_iter().collect();
    sort(&mut fused);
    fused
}

fn check(request: &SearchRequest, embedder: Option<&EmbedderId>) -> Result<(), IndexError> {
    if request.limit == 0 || request.limit > LIMIT_HITS {
        let (value, max) = (request.limit as u64, LIMIT_HITS as u64);
        return Err(IndexError::Limit { what: "the number of hits asked for", value, max });
    }
    if request.documents.len() > DOCUMENTS_MAX {
        let (value, max) = (request.documents.len() as u64, DOCUMENTS_MAX as u64);
        return Err(IndexError::Limit { what: "the number of documents named", value, max });
    }
    match (&request.vector, request.mode) {
        (None, Mode::Vector) => Err(IndexError::Invalid {
            what: "the search",
            detail: "a search by vector needs the vector of the question".to_owned(),
        }),
        (Some(vector), Mode::Vector | Mode::Hybrid) => check_vector(vector, embedder),
        _ => Ok(()),
    }
}

fn scope(view: &Connection, visible: &Visible, request: &SearchRequest) -> Result<Scope, IndexError> {
    let mut collections = still_visible(view, visible)?;
    if let Some(only) = &request.collection {
        collections.retain(|_, (id, _)| id == only);
        if collections.is_empty() {
            return Err(NO_COLLECTION);
        }
    }
    if request.documents.is_empty() {
        return Ok(Scope { collections, documents: None });
    }
    let mut documents = Vec::with_capacity(request.documents.len());
    let mut statement = view.prepare_cached("SELECT row, collection FROM documents WHERE id = ?1")?;
    for id in &request.documents {
        let found: Option<(i64, i64)> =
            statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((row, collection)) if collections.contains_key(&collection) => documents.push(row),
            _ => return Err(NO_DOCUMENT),
        }
    }
    Ok(Scope { collections, documents: Some(documents) })
}

const HIT: &str = "
SELECT documents.id, documents.row, documents.collection,
    (SELECT name FROM names WHERE names.document = documents.row AND position = 0),
    versions.number, passages.page, passages.place, passages.start, passages.end, passages.text, passages.checksum,
    passages.heading_path, versions.row
FROM passages JOIN versions ON versions.row = passages.version JOIN documents ON documents.current = versions.row
WHERE passages.row = ?1";

/// Keeps what exists, is current, is granted and is in scope, until there is enough.
fn confirm(
    view: &Connection,
    visible: &Visible,
    request: &SearchRequest,
    scope: &Scope,
    ranked: &Ranked,
) -> Result<Found, IndexError> {
    let still = still_visible(view, visible)?;
    let mut statement = view.prepare_cached(HIT)?;
    let mut hits = Vec::with_capacity(request.limit.min(ranked.len()));
    for (passage, score) in ranked {
        if hits.len() == request.limit {
            break;
        }
        let mut rows = statement.query([passage])?;
        let Some(row) = rows.next()? else { continue };
        let (document, collection): (i64, i64) = (row.get(1)?, row.get(2)?);
        let in_scope = scope.collections.contains_key(&collection)
            && scope.documents.as_ref().is_none_or(|documents| documents.contains(&document));
        let Some((collection, _)) = still.get(&collection).filter(|_| in_scope) else { continue };
        let (start, end): (u32, u32) = (row.get(7)?, row.get(8)?);
        let heading_path: String = row.get(11)?;
        hits.push(Hit {
            passage: *passage,
            document: DocumentId::trusted(row.get(0)?),
            collection: collection.clone(),
            name: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            version: row.get(4)?,
            page: row.get(5)?,
            place: row.get(6)?,
            start,
            end,
            text: checked_text("the text of a passage", row.get(9)?, row.get(10)?)?,
            heading_path: unpack_strings(&heading_path)?,
            score: *score,
            boxes: boxes_of(view, row.get(12)?, start, end)?,
        });
    }
    Ok(Found { hits, edition: catalogue::edition(view)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fusion_prefers_what_both_find_and_breaks_ties_by_row() {
        let fused = fuse(&[vec![(7, 9.0), (3, 8.0), (1, 7.0)], vec![(3, 0.9), (9, 0.8), (1, 0.7)]]);
        let order: Vec<i64> = fused.iter().map(|(passage, _)| *passage).collect();
        assert_eq!(order, vec![3, 1, 7, 9]);
        let tied = fuse(&[vec![(8, 1.0)], vec![(2, 1.0)]]);
        assert_eq!(tied.iter().map(|(p, _)| *p).collect::<Vec<_>>(), vec![2, 8]);
    }
}
