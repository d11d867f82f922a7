//! Checks of an installation.

use crate::{Appliance, Config};

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Short stable name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do when it does not hold.
    pub mend: Option<String>,
}

impl Appliance {
    /// All checks of a running appliance.
    pub fn doctor(&self) -> Vec<Check> {
        Vec::new()
    }
}

/// The checks that need no open data directory; with the error when opening it failed.
pub fn doctor_closed(config: &Config, why: &crate::Error) -> Vec<Check> {
    let _ = (config, why);
    Vec::new()
}
