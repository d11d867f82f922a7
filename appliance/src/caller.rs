//! Who asks for a use case.

/// What a user may do beside reading and writing the collections granted to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Manages users, keys of others and collections.
    Administrator,
    /// Reads, exports and verifies the audit log.
    Auditor,
    /// Neither.
    Member,
}

impl Role {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }

    /// The role of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Administrator, Self::Auditor, Self::Member].into_iter().find(|role| role.as_str() == word)
    }
}

/// A user as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Id of the user.
    pub id: String,
    /// Login name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Whether the user is shut out.
    pub disabled: bool,
    /// When the user was added (RFC 3339).
    pub created: String,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// On the machine itself.
    Local,
    /// By password, now in a session.
    Session,
    /// By an API key.
    Key,
}

impl Via {
    /// Word for the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Session => "session",
            Self::Key => "key",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Operator(String),
    User(UserInfo),
}

/// Who asks for a use case: the operator on the machine, or a user that was authenticated.
///
/// A user's `Caller` comes only from [`crate::Appliance::authenticate_session`],
/// [`crate::Appliance::authenticate_key`], login and set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub(crate) who: Who,
    pub(crate) address: Option<String>,
    pub(crate) via: Via,
}

impl Caller {
    /// The operator `local:NAME`, who has all rights over the data directory.
    pub fn operator(system_user: &str) -> Self {
        Self { who: Who::Operator(format!("local:{system_user}")), address: None, via: Via::Local }
    }

    pub(crate) fn user(user: UserInfo, address: &str, via: Via) -> Self {
        Self { who: Who::User(user), address: Some(address.to_owned()), via }
    }

    /// Name as it stands in the audit log.
    pub fn name(&self) -> &str {
        match &self.who {
            Who::Operator(name) => name,
            Who::User(user) => &user.name,
        }
    }

    /// The user, unless it is the operator.
    pub fn as_user(&self) -> Option<&UserInfo> {
        match &self.who {
            Who::Operator(_) => None,
            Who::User(user) => Some(user),
        }
    }

    /// Whether users and collections may be managed.
    pub fn is_administrator(&self) -> bool {
        self.as_user().is_none_or(|user| user.role == Role::Administrator)
    }

    /// Whether the audit log may be read.
    pub fn may_audit(&self) -> bool {
        self.as_user().is_none_or(|user| user.role != Role::Member)
    }
}
