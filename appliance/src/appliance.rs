//! The appliance itself: opening, recording, shutdown.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cloister_index::{
    Actor, Clock as IndexClock, Collection, CollectionId, Level, OpenOptions, Random as IndexRandom, Store, UserId,
    Visible,
};
use serde_json::Value;

use crate::accounts::Accounts;
use crate::ask::Turns;
use crate::audit::Journal;
use crate::caller::{Caller, Who};
use crate::error::ErrorKind;
use crate::folder::Tightened;
use crate::jobs::Hub;
use crate::models::Shelf;
use crate::worker::Workers;
use crate::{Config, Error, Result};

/// An open data directory with everything that works on it. Blocking; share it by `Arc`.
pub struct Appliance {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) accounts: Accounts,
    pub(crate) shelf: Shelf,
    pub(crate) hub: Hub,
    pub(crate) turns: Turns,
    pub(crate) workers: Mutex<Workers>,
    /// Held while missing vectors are filled in, so that two workers do not make the same ones.
    pub(crate) filling: Mutex<()>,
    /// Whether the log was told that searches go on by words alone.
    pub(crate) fallback_told: AtomicBool,
    /// When the data directory was opened.
    pub(crate) begun: Instant,
    tightened: Tightened,
}

impl Appliance {
    /// Opens the data directory, making it when it is not there.
    pub fn open(config: Config) -> Result<Arc<Self>> {
        let appliance = Self::assemble(config, Journal::open)?;
        appliance.note_opening()?;
        Ok(Arc::new(appliance))
    }

    /// Opens the data directory for `doctor` and for listing, exporting and verifying the audit log.
    ///
    /// A broken log, which takes no record any more, does not keep it from opening: how it is broken is what these have
    /// to tell. The opening is recorded where the log takes it. What has to be recorded is refused as always.
    pub fn open_for_audit(config: Config) -> Result<Arc<Self>> {
        let appliance = Self::assemble(config, Journal::open_as_it_is)?;
        drop(appliance.note_opening());
        Ok(Arc::new(appliance))
    }

    fn assemble(config: Config, journal: fn(&Config) -> Result<Journal>) -> Result<Self> {
        make_private_dir(&config.data_dir)?;
        let tightened = crate::folder::make_private(&config.data_dir)
            .map_err(|error| Error::io("list", &config.data_dir, &error))?;
        let shelf = Shelf::new(&config);
        let now = config.clock.clone();
        let random = config.random.clone();
        let options = OpenOptions {
            clock: IndexClock::new(move || crate::time::text(now())),
            random: IndexRandom::new(move |bytes| random(bytes)),
            embedder: shelf.embedder_id(),
        };
        let store = Store::open(&config.data_dir.join("store"), options)?;
        let journal = journal(&config)?;
        let accounts = Accounts::new(config.random.clone())?;
        Ok(Self {
            store,
            journal,
            accounts,
            shelf,
            hub: Hub::default(),
            turns: Turns::default(),
            workers: Mutex::default(),
            filling: Mutex::default(),
            fallback_told: AtomicBool::new(false),
            begun: Instant::now(),
            tightened,
            config,
        })
    }

    fn note_opening(&self) -> Result<()> {
        let report = self.store.report();
        let detail = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "unclean": report.unclean,
            "jobs_resumed": report.jobs_resumed,
            "keyword": format!("{:?}", report.keyword),
            "vectors": format!("{:?}", report.vectors),
        });
        self.journal.append("system", "system.open", "data directory", "ok", detail).map(drop)
    }

    /// What was readable by others when the data directory was opened, and no longer is.
    pub fn tightened(&self) -> Tightened {
        self.tightened
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the caller may see, of this moment.
    pub(crate) fn visible(&self, caller: &Caller) -> Result<Visible> {
        let actor = match &caller.who {
            Who::Operator(_) => Actor::Operator,
            Who::User(user) => Actor::User(UserId::parse(&user.id)?),
        };
        Ok(self.store.visible(&actor)?)
    }

    /// A visible collection by id or name.
    pub(crate) fn find_collection(&self, visible: &Visible, name_or_id: &str) -> Result<Collection> {
        if let Ok(id) = CollectionId::parse(name_or_id)
            && let Ok(found) = self.store.collection(visible, &id)
        {
            return Ok(found);
        }
        self.store.collection_by_name(visible, name_or_id).map_err(|error| named(error, name_or_id))
    }

    /// A visible collection in which the caller may do `level`.
    pub(crate) fn collection_for(&self, visible: &Visible, name_or_id: &str, level: Level) -> Result<Collection> {
        let found = self.find_collection(visible, name_or_id)?;
        if visible.may(&found.id, level) {
            Ok(found)
        } else {
            Err(Error::Denied("the right to this collection does not reach so far"))
        }
    }

    /// Records something the caller does; call it before the effect is released.
    pub(crate) fn record(&self, caller: &Caller, action: &str, object: &str, detail: Value) -> Result<u64> {
        self.record_outcome(caller, action, object, "ok", detail)
    }

    pub(crate) fn record_outcome(
        &self,
        caller: &Caller,
        action: &str,
        object: &str,
        outcome: &str,
        mut detail: Value,
    ) -> Result<u64> {
        if let Value::Object(map) = &mut detail {
            map.insert("via".to_owned(), caller.via.as_str().into());
            if let Some(address) = &caller.address {
                map.insert("address".to_owned(), address.as_str().into());
            }
            if let Some(user) = caller.as_user() {
                map.insert("role".to_owned(), user.role.as_str().into());
            }
        }
        self.journal.append(caller.name(), action, object, outcome, detail)
    }

    /// Records a change, then makes it; a change that does not come about is recorded as denied or failed.
    pub(crate) fn recorded<T>(
        &self,
        caller: &Caller,
        action: &str,
        object: &str,
        detail: Value,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let begun = self.record(caller, action, object, detail)?;
        change().inspect_err(|error| self.record_failure(caller, action, object, Some(begun), error))
    }

    /// Records that something was refused or failed. Best effort: the error itself is what the caller gets.
    pub(crate) fn record_failure(
        &self,
        caller: &Caller,
        action: &str,
        object: &str,
        begun: Option<u64>,
        error: &Error,
    ) {
        let outcome = if error.kind() == ErrorKind::Denied { "denied" } else { "failed" };
        let detail = serde_json::json!({"code": error.code(), "of": begun});
        drop(self.record_outcome(caller, action, object, outcome, detail));
    }

    /// Refuses callers who may not manage users and collections; the refusal is recorded.
    pub(crate) fn need_administrator(&self, caller: &Caller, action: &str, object: &str) -> Result<()> {
        if caller.is_administrator() {
            return Ok(());
        }
        let error = Error::Denied("administrators only");
        self.record_failure(caller, action, object, None, &error);
        Err(error)
    }

    pub(crate) fn now_text(&self) -> String {
        crate::time::text((self.config.clock)())
    }

    pub(crate) fn now_unix(&self) -> i64 {
        (self.config.clock)().unix_timestamp()
    }
}

/// Puts the name as the caller gave it into a "not found".
pub(crate) fn named(error: cloister_index::IndexError, name: &str) -> Error {
    match error {
        cloister_index::IndexError::NotFound { what } => Error::not_found(what, name),
        other => other.into(),
    }
}

pub(crate) fn make_private_dir(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| Error::io("make", dir, &error))
}
