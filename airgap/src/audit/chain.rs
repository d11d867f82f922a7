//! The walk along a chain of records that every verification and every export makes.

use super::Record;
use super::record::{self, Link};
use super::tree::Tree;
use crate::{AirgapError, Hash};

/// Takes lines in order and refuses the first that cannot stand where it stands.
///
/// When a record does not name its predecessor's hash, one of the two was changed. The record after both decides: it
/// names the hash that the second must have. So the verdict waits for one more line, or for the end.
pub(super) struct Chain {
    expected: Option<u64>,
    first: Option<Link>,
    last: Option<Link>,
    records: u64,
    doubt: bool,
    pub(super) tree: Tree,
}

impl Chain {
    /// A walk over a whole log.
    pub(super) fn from_start() -> Self {
        Self { expected: Some(0), first: None, last: None, records: 0, doubt: false, tree: Tree::default() }
    }

    /// A walk over a part of a log, wherever it begins.
    pub(super) fn from_anywhere() -> Self {
        Self { expected: None, ..Self::from_start() }
    }

    /// The next line.
    pub(super) fn take(&mut self, line: &str) -> Result<Record, AirgapError> {
        let expected = self.expected;
        let parsed = record::parse(line).and_then(|record| record.link().map(|link| (record, link)));
        let Some((record, link)) = parsed else {
            return Err(AirgapError::broken(expected, "its line is not a record"));
        };
        if let Some(expected) = expected.filter(|expected| *expected != link.seq) {
            return Err(AirgapError::broken(Some(expected), format!("record {} stands in its place", link.seq)));
        }
        self.resolve_doubt(&link.previous)?;
        self.doubt = self.last.as_ref().is_some_and(|last| last.hash != link.previous);
        self.tree.push(line.as_bytes());
        self.records += 1;
        self.expected = Some(link.seq + 1);
        self.first.get_or_insert_with(|| link.clone());
        self.last = Some(link);
        Ok(record)
    }

    /// The end: `head` is the hash that the last record must have.
    pub(super) fn finish(&self, head: &Hash) -> Result<(), AirgapError> {
        self.resolve_doubt(head)?;
        match &self.last {
            Some(last) if last.hash != *head => {
                Err(AirgapError::broken(Some(last.seq), "it is not the record that was signed as the last one"))
            }
            _ => Ok(()),
        }
    }

    /// Decides a doubt when no more lines come and no head is known: the earlier of the two records is named.
    pub(super) fn finish_without_head(&self) -> Result<(), AirgapError> {
        match &self.last {
            Some(last) if self.doubt => {
                Err(AirgapError::broken(Some(last.seq - 1), "it was changed, or the record after it was"))
            }
            _ => Ok(()),
        }
    }

    /// Number of lines taken.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The first record.
    pub(super) fn first(&self) -> Option<&Link> {
        self.first.as_ref()
    }

    /// The last record.
    pub(super) fn last(&self) -> Option<&Link> {
        self.last.as_ref()
    }

    fn resolve_doubt(&self, hash_of_last: &Hash) -> Result<(), AirgapError> {
        match &self.last {
            Some(last) if self.doubt && last.hash == *hash_of_last => Err(AirgapError::broken(
                Some(last.seq - 1),
                "the record after it names another hash: it was changed, or what follows was put in",
            )),
            Some(last) if self.doubt => {
                Err(AirgapError::broken(Some(last.seq), "it was changed: neither neighbour fits it"))
            }
            _ => Ok(()),
        }
    }
}
