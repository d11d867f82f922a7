//! The appliance itself: opening, workers, shutdown.

use std::sync::Arc;

use crate::{Config, Error, Result};

/// An open data directory with everything that works on it. Blocking; share it by `Arc`.
pub struct Appliance {
    pub(crate) config: Config,
}

impl Appliance {
    /// Opens the data directory, making it when it is not there.
    pub fn open(config: Config) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { config }))
    }

    /// Starts the ingest worker; unfinished jobs of a former run go on.
    pub fn start_workers(self: &Arc<Self>) {}

    /// Stops the workers at the next page or batch and waits for them.
    pub fn shutdown(&self) {}

    /// The configuration it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn unfinished<T>(&self) -> Result<T> {
        Err(Error::Bug("not built yet".to_owned()))
    }
}
