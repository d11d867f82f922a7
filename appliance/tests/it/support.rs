//! A data directory, a clock that stands still, and files to take in.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloister_appliance::{
    Appliance, Caller, CancelFlag, Config, IngestEvent, IngestResult, NewUser, Role, SessionIdentity, UploadOptions,
    Uploaded,
};

/// Unix seconds at which every test begins.
pub(crate) const BEGIN: i64 = 1_800_000_000;

/// One appliance in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<AtomicI64>,
    models: PathBuf,
    appliance: Option<Arc<Appliance>>,
}

impl Fixture {
    /// Without models: keyword search alone.
    pub(crate) fn bare() -> Self {
        Self::with_models(Path::new("/nonexistent"))
    }

    pub(crate) fn with_models(models: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let mut made = Self { dir, clock, models: models.to_owned(), appliance: None };
        made.open();
        made
    }

    pub(crate) fn config(&self) -> Config {
        let seconds = Arc::clone(&self.clock);
        let now = move || time::OffsetDateTime::from_unix_timestamp(seconds.load(Ordering::Relaxed)).unwrap();
        let random = |bytes: &mut [u8]| std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
        let (data, models) = (self.dir.path().join("data"), self.models.clone());
        let mut config = Config::new(data, models, reader(), Arc::new(now), Arc::new(random));
        config.generator = Some("smollm2-135m-instruct-q4_1".to_owned());
        "test".clone_into(&mut config.boot_id);
        config
    }

    pub(crate) fn open(&mut self) {
        self.appliance = None;
        self.appliance = Some(Appliance::open(self.config()).unwrap());
    }

    /// Lets go of the data directory.
    pub(crate) fn close(&mut self) {
        self.appliance = None;
    }

    pub(crate) fn app(&self) -> &Arc<Appliance> {
        self.appliance.as_ref().unwrap()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Writes files into a fresh folder and takes it in.
    pub(crate) fn ingest(&self, collection: &str, files: &[(&str, &[u8])]) -> Vec<IngestResult> {
        let folder = tempfile::tempdir_in(self.dir.path()).unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let mut results = Vec::new();
        let (paths, options) = ([folder.path().to_path_buf()], UploadOptions::default());
        self.app()
            .ingest_paths(&operator(), collection, &paths, &options, &CancelFlag::new(), &mut |event| {
                if let IngestEvent::File(result) = event {
                    results.push(result);
                }
            })
            .unwrap();
        results.sort_by(|a, b| a.name.cmp(&b.name));
        results
    }

    pub(crate) fn upload(&self, caller: &Caller, collection: &str, name: &str, bytes: &[u8]) -> Uploaded {
        self.app().upload(caller, collection, name, &mut &*bytes, &UploadOptions::default()).unwrap()
    }

    /// Adds a user and signs them in.
    pub(crate) fn user(&self, name: &str, role: Role) -> SessionIdentity {
        let password = "a long password".to_owned();
        self.app().add_user(&operator(), &NewUser { name: name.to_owned(), role, password: password.clone() }).unwrap();
        let login = self.app().login(name, &password, "10.0.0.9").unwrap();
        self.app().authenticate_session(&login.token, "10.0.0.9").unwrap()
    }

    /// The actions in the log, oldest first.
    pub(crate) fn actions(&self) -> Vec<String> {
        let filter = cloister_appliance::AuditFilter { limit: 1000, ..Default::default() };
        let page = self.app().audit_records(&operator(), &filter).unwrap();
        page.records.into_iter().map(|record| format!("{} {}", record.action, record.outcome)).collect()
    }
}

pub(crate) fn operator() -> Caller {
    Caller::operator("tester")
}

/// The example that plays the reader child; `cargo test` builds it beside the tests.
fn reader() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples/reader");
    assert!(path.exists(), "build the example `reader` first: {}", path.display());
    path
}

/// The folder of models, when the two that tests need are there.
pub(crate) fn models(test: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folder = std::env::var_os("CLOISTER_TEST_MODELS").map_or(here, PathBuf::from);
    for id in ["smollm2-135m-instruct-q4_1", "all-minilm-l6-v2"] {
        if !folder.join(id).is_dir() {
            eprintln!("passed over: {test} (the model {id} is not in {})", folder.display());
            return None;
        }
    }
    Some(folder)
}

/// A contract with facts to ask for.
pub(crate) const CONTRACT: &str = "SUPPLY AGREEMENT\n\n1. Term. This Agreement begins on January 5, 2020 and runs for two (2) years.\n\n\
    2. Termination. Either party may terminate this Agreement upon thirty (30) days' written notice to the other party.\n\n\
    3. Governing Law. This Agreement shall be governed by the laws of the State of Delaware.\n\n\
    4. Price. The Buyer shall pay the Supplier $4,500 for each shipment of paper.\n";

/// A note that has nothing to do with it.
pub(crate) const NOTE: &str =
    "Minutes of the garden club.\n\nThe members discussed roses and the pond. Tea was served at four.\n";
