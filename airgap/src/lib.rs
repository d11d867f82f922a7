//! Trust: keys, the audit log, signed bundles and the model store.
//!
//! This crate knows who signed what and whether bytes are still the ones that were signed. It does not know what a
//! document says, what a model computes or how a request arrives. It holds no network client: models come from files,
//! or from `pip` and `curl` run as child processes when an operator asks for a model, never while questions are served.
//!
//! Nothing here reads the environment, the home directory or the wall clock; paths, times and randomness are arguments.
//! All types are `Send`; [`audit::AuditLog`] and [`models::ModelStore`] may be shared between threads. Calls block.
//!
//! ```
//! use cloister_airgap::keys::SecretKey;
//!
//! let key = SecretKey::from_seed(&[7; 32]);
//! let signature = key.sign(b"a statement");
//! assert!(key.public().verifies(b"a statement", &signature));
//! assert!(!key.public().verifies(b"another statement", &signature));
//! ```

pub mod audit;
pub mod bundle;
pub mod keys;
pub mod models;

mod canonical;
mod error;
mod files;
mod hash;

pub use error::AirgapError;
pub use hash::{Hash, Hasher};
pub use keys::{PublicKey, SecretKey};
