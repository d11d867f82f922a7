//! Set-up, sessions, users, API keys.

mod password;
mod secret;
mod throttle;

use std::sync::Mutex;

use cloister_index::{KeyId, NewSession, NewUser as StoredNewUser, User, UserId};
use serde_json::json;
use unicode_normalization::UnicodeNormalization as _;

use crate::caller::{Caller, Role, UserInfo, Via};
use crate::config::Random;
use crate::{Appliance, Error, Result};
use password::Passwords;
use throttle::Throttle;

pub(crate) use secret::hexadecimal;

/// Seconds after which a session ends, whatever happens.
const SESSION_SECONDS: i64 = 12 * 3600;

/// Seconds without a request after which a session ends.
const SESSION_IDLE_SECONDS: i64 = 2 * 3600;

/// Sessions whose last use is remembered at most.
const SESSIONS_MAX: usize = 10_000;

/// Longest login name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Who acts in the log when nobody vouches for the name that was claimed.
const UNKNOWN: &str = "unknown";

/// Names under which the appliance itself writes into the log.
const RESERVED: [&str; 3] = ["system", "setup", UNKNOWN];

/// Longest label of a key, in characters.
const LABEL_CHARS_MAX: usize = 200;

/// A session that has just been opened.
#[derive(Debug, Clone)]
pub struct Login {
    /// Secret for the cookie; only its hash is stored.
    pub token: String,
    /// Value unsafe requests must carry.
    pub csrf: String,
    /// Who signed in.
    pub user: UserInfo,
    /// When the session ends at the latest (RFC 3339).
    pub expires: String,
}

/// A session found again.
#[derive(Debug, Clone)]
pub struct SessionIdentity {
    /// To pass to the use cases.
    pub caller: Caller,
    /// Value unsafe requests must carry.
    pub csrf: String,
    /// Whose session it is.
    pub user: UserInfo,
}

/// A user to be added.
#[derive(Clone)]
pub struct NewUser {
    /// Login name: 1 to 64 characters, no white space or control characters.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Password: at least 10 characters.
    pub password: String,
}

/// An API key as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Id of the key, not the secret.
    pub id: String,
    /// Name of the user it acts for.
    pub user: String,
    /// What it is for.
    pub label: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// When it was last used (RFC 3339).
    pub last_used: Option<String>,
}

/// An API key just made; the secret is shown this once.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Id of the key.
    pub id: String,
    /// The secret.
    pub key: String,
}

/// What accounts keep in memory.
pub(crate) struct Accounts {
    passwords: Passwords,
    throttle: Throttle,
    setup_code: Mutex<Option<String>>,
    /// When each session was last used, by the hash of its token, Unix seconds.
    seen: Mutex<std::collections::HashMap<String, i64>>,
}

impl Accounts {
    pub(crate) fn new(random: Random) -> Result<Self> {
        Ok(Self {
            passwords: Passwords::new(random)?,
            throttle: Throttle::default(),
            setup_code: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// Whether a session is still in use; notes that it is.
    fn touch(&self, token_hash: &str, created: i64, now: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = seen.get(token_hash).copied().unwrap_or(created);
        if now - last > SESSION_IDLE_SECONDS {
            seen.remove(token_hash);
            return false;
        }
        if seen.len() >= SESSIONS_MAX {
            seen.retain(|_, last| now - *last <= SESSION_IDLE_SECONDS);
        }
        seen.insert(token_hash.to_owned(), now);
        true
    }
}

const BAD_CREDENTIALS: Error = Error::Unauthenticated("bad credentials");

impl Appliance {
    /// Whether there is no user yet.
    pub fn setup_needed(&self) -> Result<bool> {
        Ok(self.store.list_users()?.is_empty())
    }

    /// The one-time set-up code of this start, `None` when there is a user already. The caller prints it.
    pub fn setup_code(&self) -> Result<Option<String>> {
        if !self.setup_needed()? {
            return Ok(None);
        }
        let mut code = self.accounts.setup_code.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Some(code.get_or_insert_with(|| secret::code(&self.config.random)).clone()))
    }

    /// Makes the first administrator and signs them in.
    pub fn set_up(&self, code: &str, name: &str, password: &str, address: &str) -> Result<Login> {
        let keys = [format!("address:{address}"), "setup".to_owned()];
        self.wait_turn(&keys, "setup", &short(name), address)?;
        let mut expected = self.accounts.setup_code.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let right = expected.as_ref().is_some_and(|expected| secret::equal(&tidy_code(code), &tidy_code(expected)));
        if !right || !self.setup_needed()? {
            self.accounts.throttle.failed(&keys, self.now_unix());
            let detail = json!({"address": address});
            self.journal.append("setup", "setup", &short(name), "denied", detail)?;
            return Err(Error::Unauthenticated("the set-up code is wrong or was used"));
        }
        check_name(name)?;
        let password_hash = self.accounts.passwords.hash(password)?;
        let detail = json!({"address": address, "role": Role::Administrator.as_str()});
        self.journal.append("setup", "setup", name, "ok", detail)?;
        let role = cloister_index::Role::Administrator;
        let user = self.store.add_user(&StoredNewUser { name: name.to_owned(), role, password_hash })?;
        *expected = None;
        drop(expected);
        self.open_session(&user, address)
    }

    /// Opens a session. Wrong name and wrong password look the same and cost the same.
    pub fn login(&self, name: &str, password: &str, address: &str) -> Result<Login> {
        let account = format!("account:{}", name.to_lowercase());
        let keys = [account.clone(), format!("address:{address}")];
        self.wait_turn(&keys, "login", &short(name), address)?;
        let user = if name.chars().count() <= NAME_CHARS_MAX { self.store.user_by_name(name)? } else { None };
        let live = user.as_ref().filter(|user| !user.disabled);
        if !self.accounts.passwords.verify(password, live.map(|user| user.password_hash.as_str())) {
            self.accounts.throttle.failed(&keys, self.now_unix());
            self.journal.append(UNKNOWN, "login", &short(name), "denied", json!({"address": address}))?;
            return Err(BAD_CREDENTIALS);
        }
        self.accounts.throttle.succeeded(&account);
        self.open_session(live.ok_or(BAD_CREDENTIALS)?, address)
    }

    /// Refuses an attempt that comes too soon. The log is told once a wait: who floods it with attempts writes nothing.
    fn wait_turn(&self, keys: &[String], action: &str, object: &str, address: &str) -> Result<()> {
        let wait = self.accounts.throttle.wait(keys, self.now_unix());
        if wait.seconds == 0 {
            return Ok(());
        }
        if wait.first {
            let detail = json!({"address": address, "why": "throttled"});
            self.journal.append(UNKNOWN, action, object, "denied", detail)?;
        }
        Err(Error::Throttled { seconds: wait.seconds })
    }

    fn open_session(&self, user: &User, address: &str) -> Result<Login> {
        let (token, csrf) = (secret::token(&self.config.random), secret::token(&self.config.random));
        let expires = crate::time::text((self.config.clock)() + time::Duration::seconds(SESSION_SECONDS));
        let info = info(user);
        let caller = Caller::user(info.clone(), address, Via::Session);
        self.record(&caller, "login", &user.name, json!({"expires": expires}))?;
        self.store.add_session(&NewSession {
            token_hash: secret::stored(&token),
            user: user.id.clone(),
            csrf: csrf.clone(),
            expires: expires.clone(),
        })?;
        Ok(Login { token, csrf, user: info, expires })
    }

    /// Ends the session of this token; an unknown token is no error.
    pub fn logout(&self, caller: &Caller, token: &str) -> Result<()> {
        self.record(caller, "logout", caller.name(), json!({}))?;
        Ok(self.store.remove_session(&secret::stored(token))?)
    }

    /// Whose session a cookie's token opens; [`crate::Error::Unauthenticated`] when none.
    pub fn authenticate_session(&self, token: &str, address: &str) -> Result<SessionIdentity> {
        const ENDED: Error = Error::Unauthenticated("the session has ended");
        let hash = secret::stored(token);
        let session = self.store.session(&hash)?.ok_or(ENDED)?;
        let created = crate::time::parse(&session.created).map_or(0, time::OffsetDateTime::unix_timestamp);
        if !self.accounts.touch(&hash, created, self.now_unix()) {
            self.store.remove_session(&hash)?;
            return Err(ENDED);
        }
        let user = info(&session.user);
        Ok(SessionIdentity { caller: Caller::user(user.clone(), address, Via::Session), csrf: session.csrf, user })
    }

    /// Who an API key acts for. Keys are too long to be guessed: only unknown ones are slowed down, so that nobody who
    /// comes from the same address is shut out with them.
    pub fn authenticate_key(&self, key: &str, address: &str) -> Result<Caller> {
        let found = if key.starts_with(secret::KEY_PREFIX) { self.store.key(&secret::stored(key))? } else { None };
        if let Some((_, user)) = found {
            return Ok(Caller::user(info(&user), address, Via::Key));
        }
        let keys = [format!("key-address:{address}")];
        self.wait_turn(&keys, "key.use", "key", address)?;
        self.accounts.throttle.failed(&keys, self.now_unix());
        self.journal.append(UNKNOWN, "key.use", "key", "denied", json!({"address": address}))?;
        Err(Error::Unauthenticated("the key is not known"))
    }

    /// All users.
    pub fn users(&self, caller: &Caller) -> Result<Vec<UserInfo>> {
        self.need_administrator(caller, "user.list", "users")?;
        Ok(self.store.list_users()?.iter().map(info).collect())
    }

    /// Adds a user.
    pub fn add_user(&self, caller: &Caller, user: &NewUser) -> Result<UserInfo> {
        self.need_administrator(caller, "user.add", &user.name)?;
        check_name(&user.name)?;
        let password_hash = self.accounts.passwords.hash(&user.password)?;
        let new = StoredNewUser { name: user.name.clone(), role: stored_role(user.role), password_hash };
        let detail = json!({"new_role": user.role.as_str()});
        self.recorded(caller, "user.add", &user.name, detail, || Ok(info(&self.store.add_user(&new)?)))
    }

    /// Shuts a user out and ends their sessions.
    pub fn disable_user(&self, caller: &Caller, name_or_id: &str) -> Result<()> {
        self.need_administrator(caller, "user.disable", name_or_id)?;
        let user = self.find_user(name_or_id)?;
        if caller.as_user().is_some_and(|own| own.id == user.id.as_str()) {
            return Err(Error::invalid("user", "nobody can shut themselves out"));
        }
        self.recorded(caller, "user.disable", &user.name, json!({}), || Ok(self.store.set_disabled(&user.id, true)?))
    }

    /// Sets a password; a user may set their own, an administrator anyone's. Ends the user's sessions.
    pub fn set_password(&self, caller: &Caller, name_or_id: &str, password: &str) -> Result<()> {
        let own = caller.as_user().is_some_and(|own| own.id == name_or_id || own.name == name_or_id);
        if !own {
            self.need_administrator(caller, "user.password", name_or_id)?;
        }
        let user = self.find_user(name_or_id)?;
        let hash = self.accounts.passwords.hash(password)?;
        self.recorded(caller, "user.password", &user.name, json!({}), || {
            Ok(self.store.set_password(&user.id, &hash)?)
        })
    }

    /// The caller's keys; an administrator sees all.
    pub fn keys(&self, caller: &Caller) -> Result<Vec<KeyInfo>> {
        let own = match caller.as_user() {
            Some(user) if !caller.is_administrator() => Some(UserId::parse(&user.id)?),
            _ => None,
        };
        let names: std::collections::HashMap<_, _> =
            self.store.list_users()?.into_iter().map(|user| (user.id, user.name)).collect();
        let keys = self.store.list_keys(own.as_ref())?;
        let listed = keys.into_iter().filter(|key| !key.revoked).map(|key| KeyInfo {
            id: key.id.to_string(),
            user: names.get(&key.user).cloned().unwrap_or_default(),
            label: key.label,
            created: key.created,
            last_used: key.last_used,
        });
        Ok(listed.collect())
    }

    /// Makes a key that acts for the caller, or for `for_user` (administrators only; the operator must name one).
    pub fn add_key(&self, caller: &Caller, label: &str, for_user: Option<&str>) -> Result<NewKey> {
        if label.trim().is_empty() || label.chars().count() > LABEL_CHARS_MAX {
            return Err(Error::invalid("label", format!("needs 1 to {LABEL_CHARS_MAX} characters")));
        }
        let owner = match (for_user, caller.as_user()) {
            (Some(name), Some(own)) if name == own.name || name == own.id => self.find_user(name)?,
            (Some(name), _) => {
                self.need_administrator(caller, "key.add", name)?;
                self.find_user(name)?
            }
            (None, Some(own)) => self.find_user(&own.id)?,
            (None, None) => return Err(Error::invalid("user", "name the user the key acts for")),
        };
        let key = format!("{}{}", secret::KEY_PREFIX, secret::token(&self.config.random));
        self.recorded(caller, "key.add", label, json!({"user": owner.name}), || {
            let made = self.store.add_key(&owner.id, label, &secret::stored(&key))?;
            Ok(NewKey { id: made.id.to_string(), key: key.clone() })
        })
    }

    /// Revokes a key.
    pub fn revoke_key(&self, caller: &Caller, id: &str) -> Result<()> {
        if !self.keys(caller)?.iter().any(|key| key.id == id) {
            return Err(Error::not_found("key", id));
        }
        let key = KeyId::parse(id)?;
        self.recorded(caller, "key.revoke", id, json!({}), || Ok(self.store.revoke_key(&key)?))
    }

    /// A user by id or name.
    pub(crate) fn find_user(&self, name_or_id: &str) -> Result<User> {
        if let Ok(id) = UserId::parse(name_or_id)
            && let Ok(user) = self.store.user(&id)
        {
            return Ok(user);
        }
        self.store.user_by_name(name_or_id)?.ok_or_else(|| Error::not_found("user", name_or_id))
    }
}

fn info(user: &User) -> UserInfo {
    let role = match user.role {
        cloister_index::Role::Administrator => Role::Administrator,
        cloister_index::Role::Auditor => Role::Auditor,
        cloister_index::Role::Member => Role::Member,
    };
    let (id, name) = (user.id.to_string(), user.name.clone());
    UserInfo { id, name, role, disabled: user.disabled, created: user.created.clone() }
}

fn stored_role(role: Role) -> cloister_index::Role {
    match role {
        Role::Administrator => cloister_index::Role::Administrator,
        Role::Auditor => cloister_index::Role::Auditor,
        Role::Member => cloister_index::Role::Member,
    }
}

fn check_name(name: &str) -> Result<()> {
    let count = name.chars().count();
    if count == 0 || count > NAME_CHARS_MAX {
        return Err(Error::invalid("name", format!("needs 1 to {NAME_CHARS_MAX} characters")));
    }
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) || folded.starts_with("local:") {
        return Err(Error::invalid("name", "may hold no white space and not begin with local:"));
    }
    if RESERVED.contains(&folded.as_str()) {
        return Err(Error::invalid("name", format!("{folded} is what the audit log calls the appliance or strangers")));
    }
    Ok(())
}

/// A name as it goes into the log when nobody vouches for it.
fn short(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// A code without the dashes and blanks people type or leave out.
fn tidy_code(code: &str) -> String {
    code.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
