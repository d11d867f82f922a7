//! Keys, audit log, signed bundles and the model store.
