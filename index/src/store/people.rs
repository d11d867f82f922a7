//! Users, sessions, keys and settings.

use rusqlite::{Connection, OptionalExtension, Row};
use unicode_normalization::UnicodeNormalization;

use super::Store;
use crate::{ApiKey, IndexError, KeyId, NewSession, NewUser, Role, Session, User, UserId};

/// Characters of a name or label.
const NAME_MAX: usize = 200;
const USER_COLUMNS: &str = "users.id, users.name, users.role, users.password_hash, users.disabled, users.created";

/// The form in which user names are compared.
fn folded(name: &str) -> String {
    name.nfkc().flat_map(char::to_lowercase).collect()
}

/// Refuses names that are empty, too long, padded or hold control characters.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), IndexError> {
    let detail = if name.trim().is_empty() {
        "it is empty"
    } else if name.chars().count() > NAME_MAX {
        "it is longer than 200 characters"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else if name.trim() != name {
        "it begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(IndexError::Invalid { what, detail: detail.to_owned() })
}

fn user(row: &Row<'_>, at: usize) -> rusqlite::Result<User> {
    let role: String = row.get(at + 2)?;
    Ok(User {
        id: UserId::trusted(row.get(at)?),
        name: row.get(at + 1)?,
        role: Role::from_word(&role).unwrap_or(Role::Member),
        password_hash: row.get(at + 3)?,
        disabled: row.get(at + 4)?,
        created: row.get(at + 5)?,
    })
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: KeyId::trusted(row.get(0)?),
        user: UserId::trusted(row.get(1)?),
        label: row.get(2)?,
        created: row.get(3)?,
        last_used: row.get(4)?,
        revoked: row.get(5)?,
    })
}

/// Refuses a statement about a user who is not there.
fn one_user(changed: usize) -> Result<(), IndexError> {
    if changed == 1 { Ok(()) } else { Err(IndexError::NotFound { what: "user" }) }
}

/// The row of a user.
pub(super) fn user_row(view: &Connection, id: &UserId) -> Result<i64, IndexError> {
    view.prepare_cached("SELECT row FROM users WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or(IndexError::NotFound { what: "user" })
}

impl Store {
    /// Adds a user.
    pub fn add_user(&self, new: &NewUser) -> Result<User, IndexError> {
        check_name("the user name", &new.name)?;
        let added = User {
            id: UserId::new(&self.random),
            name: new.name.clone(),
            role: new.role,
            password_hash: new.password_hash.clone(),
            disabled: false,
            created: self.clock.now(),
        };
        self.catalogue.write("add a user", |tx| {
            let taken: bool = tx
                .prepare_cached("SELECT EXISTS(SELECT 1 FROM users WHERE folded = ?1)")?
                .query_row([folded(&added.name)], |row| row.get(0))?;
            if taken {
                return Err(IndexError::Exists { what: "user", name: added.name.clone() });
            }
            tx.execute(
                "INSERT INTO users(id, name, folded, role, password_hash, created) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    added.id.as_str(),
                    &added.name,
                    folded(&added.name),
                    added.role.as_str(),
                    &added.password_hash,
                    &added.created,
                ),
            )?;
            Ok(())
        })?;
        Ok(added)
    }

    /// The user with this login name, without regard to case.
    pub fn user_by_name(&self, name: &str) -> Result<Option<User>, IndexError> {
        self.catalogue.read("look a user up", |view| {
            let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE folded = ?1");
            Ok(view.prepare_cached(&sql)?.query_row([folded(name)], |row| user(row, 0)).optional()?)
        })
    }

    /// A user.
    pub fn user(&self, id: &UserId) -> Result<User, IndexError> {
        self.catalogue.read("look a user up", |view| {
            let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE id = ?1");
            let found = view.prepare_cached(&sql)?.query_row([id.as_str()], |row| user(row, 0)).optional()?;
            found.ok_or(IndexError::NotFound { what: "user" })
        })
    }

    /// All users, by name.
    pub fn list_users(&self) -> Result<Vec<User>, IndexError> {
        self.catalogue.read("list the users", |view| {
            let sql = format!("SELECT {USER_COLUMNS} FROM users ORDER BY folded");
            let mut statement = view.prepare_cached(&sql)?;
            let users = statement.query_map([], |row| user(row, 0))?.collect::<Result<_, _>>()?;
            Ok(users)
        })
    }

    /// Sets the password and ends the user's sessions.
    pub fn set_password(&self, id: &UserId, password_hash: &str) -> Result<(), IndexError> {
        self.catalogue.write("set a password", |tx| {
            one_user(tx.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", [id.as_str(), password_hash])?)?;
            end_sessions(tx, id)
        })
    }

    /// Disables or enables a user; disabling ends his sessions.
    pub fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<(), IndexError> {
        self.catalogue.write("disable or enable a user", |tx| {
            one_user(tx.execute("UPDATE users SET disabled = ?2 WHERE id = ?1", (id.as_str(), disabled))?)?;
            end_sessions(tx, id)
        })
    }

    /// Keeps a session, and forgets those that have expired.
    pub fn add_session(&self, new: &NewSession) -> Result<(), IndexError> {
        let now = self.clock.now();
        self.catalogue.write("keep a session", |tx| {
            tx.execute("DELETE FROM sessions WHERE expires <= ?1", [&now])?;
            let row = user_row(tx, &new.user)?;
            tx.execute(
                "INSERT INTO sessions(token_hash, user, csrf, created, expires) VALUES(?1, ?2, ?3, ?4, ?5)",
                (&new.token_hash, row, &new.csrf, &now, &new.expires),
            )?;
            Ok(())
        })
    }

    /// The session with this token, if it is live and its user enabled.
    pub fn session(&self, token_hash: &str) -> Result<Option<Session>, IndexError> {
        let now = self.clock.now();
        self.catalogue.read("look a session up", |view| {
            let sql = format!(
                "SELECT csrf, sessions.created, expires, {USER_COLUMNS} FROM sessions JOIN users ON users.row = sessions.user
                 WHERE token_hash = ?1 AND expires > ?2 AND disabled = 0"
            );
            let session = |row: &Row<'_>| {
                Ok(Session { user: user(row, 3)?, csrf: row.get(0)?, created: row.get(1)?, expires: row.get(2)? })
            };
            Ok(view.prepare_cached(&sql)?.query_row([token_hash, &now], session).optional()?)
        })
    }

    /// Ends a session; nothing happens where there is none.
    pub fn remove_session(&self, token_hash: &str) -> Result<(), IndexError> {
        self.catalogue.write("end a session", |tx| {
            tx.execute("DELETE FROM sessions WHERE token_hash = ?1", [token_hash])?;
            Ok(())
        })
    }

    /// Keeps an API key. The key arrives hashed.
    pub fn add_key(&self, owner: &UserId, label: &str, key_hash: &str) -> Result<ApiKey, IndexError> {
        check_name("the label", label)?;
        let key = ApiKey {
            id: KeyId::new(&self.random),
            user: owner.clone(),
            label: label.to_owned(),
            created: self.clock.now(),
            last_used: None,
            revoked: false,
        };
        self.catalogue.write("keep a key", |tx| {
            let row = user_row(tx, owner)?;
            tx.execute(
                "INSERT INTO keys(id, user, label, key_hash, created) VALUES(?1, ?2, ?3, ?4, ?5)",
                (key.id.as_str(), row, label, key_hash, &key.created),
            )?;
            Ok(())
        })?;
        Ok(key)
    }

    /// Keys of one user, or of all, oldest first.
    pub fn list_keys(&self, owner: Option<&UserId>) -> Result<Vec<ApiKey>, IndexError> {
        self.catalogue.read("list the keys", |view| {
            let mut statement = view.prepare_cached(
                "SELECT keys.id, users.id, label, keys.created, last_used, revoked FROM keys JOIN users ON users.row = keys.user
                 WHERE ?1 IS NULL OR users.id = ?1 ORDER BY keys.row",
            )?;
            let keys = statement.query_map([owner.map(UserId::as_str)], api_key)?.collect::<Result<_, _>>()?;
            Ok(keys)
        })
    }

    /// Revokes a key.
    pub fn revoke_key(&self, id: &KeyId) -> Result<(), IndexError> {
        self.catalogue.write("revoke a key", |tx| {
            match tx.execute("UPDATE keys SET revoked = 1 WHERE id = ?1", [id.as_str()])? {
                1 => Ok(()),
                _ => Err(IndexError::NotFound { what: "key" }),
            }
        })
    }

    /// The live key of an enabled user; notes the minute in which it was used.
    pub fn key(&self, key_hash: &str) -> Result<Option<(ApiKey, User)>, IndexError> {
        let found = self.catalogue.read("look a key up", |view| {
            let sql = format!(
                "SELECT keys.id, users.id, label, keys.created, last_used, revoked, {USER_COLUMNS}
                 FROM keys JOIN users ON users.row = keys.user WHERE key_hash = ?1 AND revoked = 0 AND disabled = 0"
            );
            let pair = |row: &Row<'_>| Ok((api_key(row)?, user(row, 6)?));
            Ok(view.prepare_cached(&sql)?.query_row([key_hash], pair).optional()?)
        })?;
        let Some((key, owner)) = found else { return Ok(None) };
        let now = self.clock.now();
        // One write a minute is enough to see that a key lives, and keeps each request from waiting for the disk.
        let minute = |time: &str| time.chars().take(16).collect::<String>();
        if key.last_used.as_deref().map(minute) != Some(minute(&now)) {
            self.catalogue.write_on_the_way("note the use of a key", |tx| {
                tx.execute("UPDATE keys SET last_used = ?2 WHERE id = ?1", [key.id.as_str(), &now])?;
                Ok(())
            })?;
        }
        Ok(Some((key, owner)))
    }

    /// A setting.
    pub fn setting(&self, key: &str) -> Result<Option<String>, IndexError> {
        self.catalogue.read("read a setting", |view| {
            let mut statement = view.prepare_cached("SELECT value FROM settings WHERE key = ?1")?;
            Ok(statement.query_row([key], |row| row.get(0)).optional()?)
        })
    }

    /// Sets a setting.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<(), IndexError> {
        self.catalogue.write("keep a setting", |tx| {
            tx.execute(
                "INSERT INTO settings(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2",
                [key, value],
            )?;
            Ok(())
        })
    }
}

fn end_sessions(tx: &Connection, id: &UserId) -> Result<(), IndexError> {
    tx.execute("DELETE FROM sessions WHERE user = (SELECT row FROM users WHERE id = ?1)", [id.as_str()])?;
    Ok(())
}
