//! Collections and who may do what in them.

use crate::caller::Caller;
use crate::{Appliance, Result};

/// What a user may do in a collection; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Search, ask, open documents.
    Read,
    /// Add, replace and remove documents.
    Write,
    /// Grant rights, remove the collection.
    Manage,
}

impl Level {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
        }
    }

    /// The level of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Manage].into_iter().find(|level| level.as_str() == word)
    }
}

/// A collection as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Number of documents.
    pub documents: u64,
    /// Number of pages.
    pub pages: u64,
    /// Pages that could not be read.
    pub unread: u64,
    /// What the caller may do in it.
    pub level: Level,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantInfo {
    /// Id of the user.
    pub user: String,
    /// Name of the user.
    pub name: String,
    /// What they may do.
    pub level: Level,
}

impl Appliance {
    /// The collections visible to the caller.
    pub fn collections(&self, caller: &Caller) -> Result<Vec<CollectionInfo>> {
        let _ = caller;
        self.unfinished()
    }

    /// One collection by id or name.
    pub fn collection(&self, caller: &Caller, name_or_id: &str) -> Result<CollectionInfo> {
        let _ = (caller, name_or_id);
        self.unfinished()
    }

    /// Adds a collection; a user who adds one manages it.
    pub fn add_collection(&self, caller: &Caller, name: &str) -> Result<CollectionInfo> {
        let _ = (caller, name);
        self.unfinished()
    }

    /// Removes a collection with all its documents.
    pub fn remove_collection(&self, caller: &Caller, name_or_id: &str) -> Result<()> {
        let _ = (caller, name_or_id);
        self.unfinished()
    }

    /// Who may do what in a collection.
    pub fn grants(&self, caller: &Caller, collection: &str) -> Result<Vec<GrantInfo>> {
        let _ = (caller, collection);
        self.unfinished()
    }

    /// Grants a user (name or id) a level, replacing what they had.
    pub fn grant(&self, caller: &Caller, collection: &str, user: &str, level: Level) -> Result<()> {
        let _ = (caller, collection, user, level);
        self.unfinished()
    }

    /// Takes a user's grant away.
    pub fn revoke(&self, caller: &Caller, collection: &str, user: &str) -> Result<()> {
        let _ = (caller, collection, user);
        self.unfinished()
    }
}
