//! Rights, collections and grants.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, people};
use crate::{Actor, Collection, CollectionId, CollectionSummary, Grant, IndexError, Level, Role, UserId, Visible};

pub(super) const NO_COLLECTION: IndexError = IndexError::NotFound { what: "collection" };

/// What an actor may do in which collection at this moment.
fn levels(view: &Connection, who: &Actor) -> Result<BTreeMap<CollectionId, (i64, Level)>, IndexError> {
    let all = match who {
        Actor::Operator => true,
        Actor::User(id) => {
            let mut statement = view.prepare_cached("SELECT role, disabled FROM users WHERE id = ?1")?;
            let found: Option<(String, bool)> =
                statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((role, false)) = found else { return Ok(BTreeMap::new()) };
            Role::from_word(&role) == Some(Role::Administrator)
        }
    };
    let sql = if all {
        "SELECT id, row, 'manage' FROM collections WHERE ?1 IS NOT NULL OR TRUE"
    } else {
        "SELECT collections.id, collections.row, level FROM grants JOIN collections ON collections.row = grants.collection
         JOIN users ON users.row = grants.user WHERE users.id = ?1"
    };
    let user = if let Actor::User(id) = who { id.as_str() } else { "" };
    let mut statement = view.prepare_cached(sql)?;
    let mut rows = statement.query([user])?;
    let mut levels = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let level: String = row.get(2)?;
        if let Some(level) = Level::from_word(&level) {
            levels.insert(CollectionId::trusted(row.get(0)?), (row.get(1)?, level));
        }
    }
    Ok(levels)
}

/// What the snapshot shows and the moment still grants.
pub(super) fn still_visible(
    view: &Connection,
    visible: &Visible,
) -> Result<BTreeMap<i64, (CollectionId, Level)>, IndexError> {
    let now = levels(view, &visible.actor)?;
    let both = visible.levels.iter().filter_map(|(id, (row, level))| {
        let (_, held) = now.get(id)?;
        Some((*row, (id.clone(), (*level).min(*held))))
    });
    Ok(both.collect())
}

/// The row of a collection in which the actor may do `needed`; what he may not see does not exist.
pub(super) fn need(view: &Connection, visible: &Visible, id: &CollectionId, needed: Level) -> Result<i64, IndexError> {
    let still = still_visible(view, visible)?;
    let (row, (_, level)) = still.iter().find(|(_, (held, _))| held == id).ok_or(NO_COLLECTION)?;
    if *level < needed {
        return Err(IndexError::Refused { needed: needed.as_str() });
    }
    Ok(*row)
}

fn collection(row: &Row<'_>) -> rusqlite::Result<Collection> {
    Ok(Collection { id: CollectionId::trusted(row.get(0)?), name: row.get(1)?, created: row.get(2)? })
}

const SUMMARY: &str = "
SELECT id, name, created,
    (SELECT count(*) FROM documents WHERE collection = collections.row),
    (SELECT count(*) FROM documents JOIN pages ON pages.version = documents.current WHERE collection = collections.row),
    (SELECT count(*) FROM documents JOIN pages ON pages.version = documents.current
        WHERE collection = collections.row AND outcome IN ('partial', 'failed', 'skipped')),
    row
FROM collections";

fn summaries(
    view: &Connection,
    still: &BTreeMap<i64, (CollectionId, Level)>,
    only: Option<i64>,
) -> Result<Vec<CollectionSummary>, IndexError> {
    let sql = match only {
        Some(row) => format!("{SUMMARY} WHERE row = {row}"),
        None => format!("{SUMMARY} ORDER BY name"),
    };
    let mut statement = view.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Some((id, level)) = still.get(&row.get(6)?) else { continue };
        found.push(CollectionSummary {
            id: id.clone(),
            name: row.get(1)?,
            created: row.get(2)?,
            documents: row.get::<_, i64>(3)? as u64,
            pages: row.get::<_, i64>(4)? as u64,
            unread: row.get::<_, i64>(5)? as u64,
            level: *level,
        });
    }
    Ok(found)
}

impl Store {
    /// What an actor may see: computed once a request, needed by everything that touches a collection.
    pub fn visible(&self, who: &Actor) -> Result<Visible, IndexError> {
        self.catalogue.read("look rights up", |view| Ok(Visible { actor: who.clone(), levels: levels(view, who)? }))
    }

    /// Adds a collection. Rights on it are granted separately; see also [`Store::visible`].
    pub fn add_collection(&self, name: &str) -> Result<Collection, IndexError> {
        people::check_name("the collection name", name)?;
        let added =
            Collection { id: CollectionId::new(&self.random), name: name.to_owned(), created: self.clock.now() };
        self.catalogue.write("add a collection", |tx| {
            let taken: bool = tx
                .prepare_cached("SELECT EXISTS(SELECT 1 FROM collections WHERE name = ?1)")?
                .query_row([name], |row| row.get(0))?;
            if taken {
                return Err(IndexError::Exists { what: "collection", name: name.to_owned() });
            }
            tx.execute(
                "INSERT INTO collections(id, name, created) VALUES(?1, ?2, ?3)",
                [added.id.as_str(), name, &added.created],
            )?;
            Ok(())
        })?;
        Ok(added)
    }

    /// The collections that can be seen, by name.
    pub fn list_collections(&self, visible: &Visible) -> Result<Vec<CollectionSummary>, IndexError> {
        self.catalogue.read("list the collections", |view| summaries(view, &still_visible(view, visible)?, None))
    }

    /// One collection as [`Store::list_collections`] gives it.
    pub fn collection_summary(&self, visible: &Visible, id: &CollectionId) -> Result<CollectionSummary, IndexError> {
        self.catalogue.read("sum a collection up", |view| {
            let row = need(view, visible, id, Level::Read)?;
            summaries(view, &still_visible(view, visible)?, Some(row))?.pop().ok_or(NO_COLLECTION)
        })
    }

    /// The collection with this name.
    pub fn collection_by_name(&self, visible: &Visible, name: &str) -> Result<Collection, IndexError> {
        self.catalogue.read("look a collection up", |view| {
            let mut statement = view.prepare_cached("SELECT id, name, created FROM collections WHERE name = ?1")?;
            let found = statement.query_row([name], collection).optional()?.ok_or(NO_COLLECTION)?;
            need(view, visible, &found.id, Level::Read)?;
            Ok(found)
        })
    }

    /// A collection.
    pub fn collection(&self, visible: &Visible, id: &CollectionId) -> Result<Collection, IndexError> {
        self.catalogue.read("look a collection up", |view| {
            need(view, visible, id, Level::Read)?;
            let mut statement = view.prepare_cached("SELECT id, name, created FROM collections WHERE id = ?1")?;
            Ok(statement.query_row([id.as_str()], collection)?)
        })
    }

    /// Who may do what in a collection, by name. Needs manage.
    pub fn grants(&self, visible: &Visible, id: &CollectionId) -> Result<Vec<Grant>, IndexError> {
        self.catalogue.read("list the grants", |view| {
            let row = need(view, visible, id, Level::Manage)?;
            let mut statement = view.prepare_cached(
                "SELECT users.id, name, level FROM grants JOIN users ON users.row = grants.user
                 WHERE collection = ?1 ORDER BY folded",
            )?;
            let grant = |row: &Row<'_>| {
                let level: String = row.get(2)?;
                Ok(Grant {
                    user: UserId::trusted(row.get(0)?),
                    name: row.get(1)?,
                    level: Level::from_word(&level).unwrap_or(Level::Read),
                })
            };
            let grants = statement.query_map([row], grant)?.collect::<Result<_, _>>()?;
            Ok(grants)
        })
    }

    /// Gives a right, or changes it. Needs manage.
    pub fn grant(&self, visible: &Visible, id: &CollectionId, user: &UserId, level: Level) -> Result<(), IndexError> {
        self.catalogue.write("grant a right", |tx| {
            let row = need(tx, visible, id, Level::Manage)?;
            let user = people::user_row(tx, user)?;
            tx.execute(
                "INSERT INTO grants(collection, user, level) VALUES(?1, ?2, ?3)
                 ON CONFLICT(collection, user) DO UPDATE SET level = ?3",
                (row, user, level.as_str()),
            )?;
            Ok(())
        })
    }

    /// Takes a right away; nothing happens where there is none. Needs manage.
    pub fn revoke(&self, visible: &Visible, id: &CollectionId, user: &UserId) -> Result<(), IndexError> {
        self.catalogue.write("revoke a right", |tx| {
            let row = need(tx, visible, id, Level::Manage)?;
            let user = people::user_row(tx, user)?;
            tx.execute("DELETE FROM grants WHERE collection = ?1 AND user = ?2", (row, user))?;
            Ok(())
        })
    }
}
