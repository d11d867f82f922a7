//! Users, sessions, keys, collections, grants.

use cloister_appliance as appliance;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the first administrator is still to be made.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupState {
    /// True until there is a user.
    pub needed: bool,
}

/// First administrator, with the code that `serve` printed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupBody {
    /// The one-time code.
    pub code: String,
    /// Login name.
    pub name: String,
    /// Password, at least 10 characters.
    pub password: String,
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// The user.
    pub user: User,
    /// To be sent as `x-cloister-csrf` with every unsafe request of this session; empty with an API key.
    pub csrf: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// Id.
    pub id: String,
    /// Login name.
    pub name: String,
    /// `administrator`, `auditor` or `member`.
    pub role: String,
    /// Whether the user is shut out.
    pub disabled: bool,
    /// When the user was added (RFC 3339).
    pub created: String,
}

impl From<appliance::UserInfo> for User {
    fn from(user: appliance::UserInfo) -> Self {
        let role = user.role.as_str().to_owned();
        Self { id: user.id, name: user.name, role, disabled: user.disabled, created: user.created }
    }
}

/// All users.
#[derive(Debug, Serialize, ToSchema)]
pub struct Users {
    /// By name.
    pub users: Vec<User>,
}

/// A user to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserBody {
    /// Login name.
    pub name: String,
    /// `administrator`, `auditor` or `member`.
    pub role: String,
    /// Password, at least 10 characters.
    pub password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// Password, at least 10 characters.
    pub password: String,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Key {
    /// Id.
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

impl From<appliance::KeyInfo> for Key {
    fn from(key: appliance::KeyInfo) -> Self {
        Self { id: key.id, user: key.user, label: key.label, created: key.created, last_used: key.last_used }
    }
}

/// API keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct Keys {
    /// The caller's own; an administrator sees all.
    pub keys: Vec<Key>,
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// What it is for.
    pub label: String,
}

/// A key just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretKey {
    /// Id.
    pub id: String,
    /// The secret, shown this once.
    pub key: String,
}

/// A collection as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Collection {
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
    /// What the caller may do: `read`, `write` or `manage`.
    pub level: String,
}

impl From<appliance::CollectionInfo> for Collection {
    fn from(collection: appliance::CollectionInfo) -> Self {
        Self {
            id: collection.id,
            name: collection.name,
            documents: collection.documents,
            pages: collection.pages,
            unread: collection.unread,
            level: collection.level.as_str().to_owned(),
        }
    }
}

/// Collections visible to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct Collections {
    /// By name.
    pub collections: Vec<Collection>,
}

/// A collection to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCollectionBody {
    /// Name.
    pub name: String,
}

/// Who may do what in a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Grants {
    /// By name of the user.
    pub grants: Vec<Grant>,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Grant {
    /// Id of the user.
    pub user: String,
    /// Name of the user.
    pub name: String,
    /// `read`, `write` or `manage`.
    pub level: String,
}

impl From<appliance::GrantInfo> for Grant {
    fn from(grant: appliance::GrantInfo) -> Self {
        Self { user: grant.user, name: grant.name, level: grant.level.as_str().to_owned() }
    }
}

/// A grant to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// Name or id of the user.
    pub user: String,
    /// `read`, `write` or `manage`.
    pub level: String,
}

/// A grant to take away.
#[derive(Deserialize, ToSchema)]
pub struct RevokeBody {
    /// Name or id of the user.
    pub user: String,
}
