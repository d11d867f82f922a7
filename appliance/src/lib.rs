//! The use cases: ingest a file, search, ask.
