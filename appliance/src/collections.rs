//! Collections and who may do what in them.

use cloister_index::{CollectionSummary, Level as StoredLevel};
use serde_json::json;

use crate::caller::Caller;
use crate::{Appliance, Error, Result};

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

/// Longest name of a collection, in characters.
const NAME_CHARS_MAX: usize = 200;

impl Appliance {
    /// The collections visible to the caller.
    pub fn collections(&self, caller: &Caller) -> Result<Vec<CollectionInfo>> {
        let visible = self.visible(caller)?;
        Ok(self.store.list_collections(&visible)?.into_iter().map(info).collect())
    }

    /// One collection by id or name.
    pub fn collection(&self, caller: &Caller, name_or_id: &str) -> Result<CollectionInfo> {
        let visible = self.visible(caller)?;
        let found = self.find_collection(&visible, name_or_id)?;
        Ok(info(self.store.collection_summary(&visible, &found.id)?))
    }

    /// Adds a collection (administrators).
    pub fn add_collection(&self, caller: &Caller, name: &str) -> Result<CollectionInfo> {
        self.need_administrator(caller, "collection.add", name)?;
        let count = name.chars().count();
        if name.trim() != name || count == 0 || count > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(Error::invalid("name", format!("needs 1 to {NAME_CHARS_MAX} characters, no blanks around it")));
        }
        let made =
            self.recorded(caller, "collection.add", name, json!({}), || Ok(self.store.add_collection(name)?))?;
        self.collection(caller, made.id.as_str())
    }

    /// Removes a collection with all its documents.
    pub fn remove_collection(&self, caller: &Caller, name_or_id: &str) -> Result<()> {
        let visible = self.visible(caller)?;
        let found = self.managed(caller, "collection.remove", name_or_id)?;
        let removed =
            self.recorded(caller, "collection.remove", &found.name, json!({"collection": found.id.as_str()}), || {
                Ok(self.store.remove_collection(&visible, &found.id)?)
            })?;
        self.shelf.forget_readings();
        let detail = json!({
            "collection": found.id.as_str(), "documents": removed.documents, "passages": removed.passages,
            "bytes": removed.bytes, "probe_hits": removed.probe_hits,
        });
        self.record(caller, "collection.removed", &found.name, detail)
            .map(drop)
            .map_err(|error| error.after(format!("{} was removed", found.name)))
    }

    /// Who may do what in a collection.
    pub fn grants(&self, caller: &Caller, collection: &str) -> Result<Vec<GrantInfo>> {
        let visible = self.visible(caller)?;
        let found = self.managed(caller, "collection.grants", collection)?;
        let grants = self.store.grants(&visible, &found.id)?;
        Ok(grants
            .into_iter()
            .map(|grant| GrantInfo { user: grant.user.to_string(), name: grant.name, level: level(grant.level) })
            .collect())
    }

    /// Grants a user (name or id) a level, replacing what they had.
    pub fn grant(&self, caller: &Caller, collection: &str, user: &str, level: Level) -> Result<()> {
        let visible = self.visible(caller)?;
        let found = self.managed(caller, "collection.grant", collection)?;
        let user = self.find_user(user)?;
        let detail = json!({"user": user.name, "level": level.as_str()});
        self.recorded(caller, "collection.grant", &found.name, detail, || {
            Ok(self.store.grant(&visible, &found.id, &user.id, stored(level))?)
        })
    }

    /// Takes a user's grant away.
    pub fn revoke(&self, caller: &Caller, collection: &str, user: &str) -> Result<()> {
        let visible = self.visible(caller)?;
        let found = self.managed(caller, "collection.revoke", collection)?;
        let user = self.find_user(user)?;
        self.recorded(caller, "collection.revoke", &found.name, json!({"user": user.name}), || {
            Ok(self.store.revoke(&visible, &found.id, &user.id)?)
        })
    }

    /// A collection the caller manages; a refusal is recorded.
    fn managed(&self, caller: &Caller, action: &str, name_or_id: &str) -> Result<cloister_index::Collection> {
        let visible = self.visible(caller)?;
        self.collection_for(&visible, name_or_id, StoredLevel::Manage)
            .inspect_err(|error| self.record_failure(caller, action, name_or_id, None, error))
    }
}

fn info(summary: CollectionSummary) -> CollectionInfo {
    CollectionInfo {
        id: summary.id.to_string(),
        name: summary.name,
        documents: summary.documents,
        pages: summary.pages,
        unread: summary.unread,
        level: level(summary.level),
    }
}

fn level(level: StoredLevel) -> Level {
    match level {
        StoredLevel::Read => Level::Read,
        StoredLevel::Write => Level::Write,
        StoredLevel::Manage => Level::Manage,
    }
}

fn stored(level: Level) -> StoredLevel {
    match level {
        Level::Read => StoredLevel::Read,
        Level::Write => StoredLevel::Write,
        Level::Manage => StoredLevel::Manage,
    }
}
