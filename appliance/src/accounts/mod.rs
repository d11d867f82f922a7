//! Set-up, sessions, users, API keys.

use crate::caller::{Caller, Role, UserInfo};
use crate::{Appliance, Result};

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

impl Appliance {
    /// Whether there is no user yet.
    pub fn setup_needed(&self) -> Result<bool> {
        self.unfinished()
    }

    /// The one-time set-up code of this start, `None` when there is a user already. The caller prints it.
    pub fn setup_code(&self) -> Result<Option<String>> {
        self.unfinished()
    }

    /// Makes the first administrator and signs them in.
    pub fn set_up(&self, code: &str, name: &str, password: &str, address: &str) -> Result<Login> {
        let _ = (code, name, password, address);
        self.unfinished()
    }

    /// Opens a session. Wrong name and wrong password look the same and cost the same.
    pub fn login(&self, name: &str, password: &str, address: &str) -> Result<Login> {
        let _ = (name, password, address);
        self.unfinished()
    }

    /// Ends the session of this token; an unknown token is no error.
    pub fn logout(&self, caller: &Caller, token: &str) -> Result<()> {
        let _ = (caller, token);
        self.unfinished()
    }

    /// Whose session a cookie's token opens; [`crate::Error::Unauthenticated`] when none.
    pub fn authenticate_session(&self, token: &str, address: &str) -> Result<SessionIdentity> {
        let _ = (token, address);
        self.unfinished()
    }

    /// Who an API key acts for.
    pub fn authenticate_key(&self, key: &str, address: &str) -> Result<Caller> {
        let _ = (key, address);
        self.unfinished()
    }

    /// All users.
    pub fn users(&self, caller: &Caller) -> Result<Vec<UserInfo>> {
        let _ = caller;
        self.unfinished()
    }

    /// Adds a user.
    pub fn add_user(&self, caller: &Caller, user: &NewUser) -> Result<UserInfo> {
        let _ = (caller, user);
        self.unfinished()
    }

    /// Shuts a user out and ends their sessions.
    pub fn disable_user(&self, caller: &Caller, name_or_id: &str) -> Result<()> {
        let _ = (caller, name_or_id);
        self.unfinished()
    }

    /// Sets a password; a user may set their own, an administrator anyone's. Ends the user's sessions.
    pub fn set_password(&self, caller: &Caller, name_or_id: &str, password: &str) -> Result<()> {
        let _ = (caller, name_or_id, password);
        self.unfinished()
    }

    /// The caller's keys; an administrator sees all.
    pub fn keys(&self, caller: &Caller) -> Result<Vec<KeyInfo>> {
        let _ = caller;
        self.unfinished()
    }

    /// Makes a key that acts for the caller, or for `for_user` (administrators only; the operator must name one).
    pub fn add_key(&self, caller: &Caller, label: &str, for_user: Option<&str>) -> Result<NewKey> {
        let _ = (caller, label, for_user);
        self.unfinished()
    }

    /// Revokes a key.
    pub fn revoke_key(&self, caller: &Caller, id: &str) -> Result<()> {
        let _ = (caller, id);
        self.unfinished()
    }
}
