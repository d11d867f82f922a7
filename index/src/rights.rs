//! Who sees what. Computed once per request, passed by type.

use std::collections::BTreeMap;

use crate::{CollectionId, Level, UserId};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The operator on the machine itself: all rights.
    Operator,
    /// A user, with what was granted to him.
    User(UserId),
}

/// The collections that an actor may see, and what he may do there.
///
/// Only [`crate::Store::visible`] makes one. It is a snapshot; every hit is confirmed against the rights of the moment.
#[derive(Clone, Debug)]
pub struct Visible {
    pub(crate) actor: Actor,
    pub(crate) levels: BTreeMap<CollectionId, (i64, Level)>,
}

impl Visible {
    /// Whose rights these are.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether the actor may do `level` in `collection`.
    pub fn may(&self, collection: &CollectionId, level: Level) -> bool {
        self.levels.get(collection).is_some_and(|(_, held)| *held >= level)
    }

    /// The collections that can be seen.
    pub fn collections(&self) -> impl Iterator<Item = (&CollectionId, Level)> {
        self.levels.iter().map(|(id, (_, level))| (id, *level))
    }
}
