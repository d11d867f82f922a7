//! The store: one value, every use.

use std::path::Path;

use crate::{
    Actor, ApiKey, BlobRef, Blobs, Collection, CollectionId, CollectionSummary, Coverage, Document, DocumentId,
    DocumentList, DocumentVersion, Duplicates, EmbedderId, Found, Grant, IndexError, Job, JobFilter, JobId, KeyId,
    LedgerPage, Level, NewPassage, NewSession, NewUser, OpenOptions, OpenReport, PageInput, Placed, ReadingStart,
    Removed, Role, SearchRequest, Session, Stage, StoreCheck, StoreFigures, StoredPage, User, UserId, Visible,
};

/// The store over one data directory.
#[derive(Debug)]
pub struct Store {
    blobs: Blobs,
    report: OpenReport,
}

fn coming<T>(what: &'static str) -> Result<T, IndexError> {
    Err(IndexError::Invalid { what, detail: "it is being built".to_owned() })
}

impl Store {
    /// What opening had to do.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The originals.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Checks the three stores against one another, for `doctor`.
    pub fn verify(&self) -> Vec<StoreCheck> {
        Vec::new()
    }

    /// Opens the store, makes it where there is none. See [`OpenReport`] for what it may have to mend.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Store, IndexError> {
        let _ = (dir, options);
        coming("open")
    }

    /// Names the model that makes the vectors from now on; vectors of another model are not searched.
    pub fn set_embedder(&self, embedder: &EmbedderId) -> Result<(), IndexError> {
        let _ = (embedder,);
        coming("set_embedder")
    }

    /// The model that makes the vectors.
    pub fn embedder(&self) -> Result<Option<EmbedderId>, IndexError> {
        coming("embedder")
    }

    /// Adds a user.
    pub fn add_user(&self, user: &NewUser) -> Result<User, IndexError> {
        let _ = (user,);
        coming("add_user")
    }

    /// The user with this login name.
    pub fn user_by_name(&self, name: &str) -> Result<Option<User>, IndexError> {
        let _ = (name,);
        coming("user_by_name")
    }

    /// A user.
    pub fn user(&self, id: &UserId) -> Result<User, IndexError> {
        let _ = (id,);
        coming("user")
    }

    /// All users, by name.
    pub fn list_users(&self) -> Result<Vec<User>, IndexError> {
        coming("list_users")
    }

    /// Sets the password and ends the user's sessions.
    pub fn set_password(&self, id: &UserId, password_hash: &str) -> Result<(), IndexError> {
        let _ = (id, password_hash);
        coming("set_password")
    }

    /// Disables or enables a user; disabling ends his sessions.
    pub fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<(), IndexError> {
        let _ = (id, disabled);
        coming("set_disabled")
    }

    /// Changes the role.
    pub fn set_role(&self, id: &UserId, role: Role) -> Result<(), IndexError> {
        let _ = (id, role);
        coming("set_role")
    }

    /// Keeps a session.
    pub fn add_session(&self, session: &NewSession) -> Result<(), IndexError> {
        let _ = (session,);
        coming("add_session")
    }

    /// The live session of an enabled user.
    pub fn session(&self, token_hash: &str) -> Result<Option<Session>, IndexError> {
        let _ = (token_hash,);
        coming("session")
    }

    /// Ends a session.
    pub fn remove_session(&self, token_hash: &str) -> Result<(), IndexError> {
        let _ = (token_hash,);
        coming("remove_session")
    }

    /// Keeps an API key.
    pub fn add_key(&self, user: &UserId, label: &str, key_hash: &str) -> Result<ApiKey, IndexError> {
        let _ = (user, label, key_hash);
        coming("add_key")
    }

    /// Keys of one user, or of all.
    pub fn list_keys(&self, user: Option<&UserId>) -> Result<Vec<ApiKey>, IndexError> {
        let _ = (user,);
        coming("list_keys")
    }

    /// Revokes a key.
    pub fn revoke_key(&self, id: &KeyId) -> Result<(), IndexError> {
        let _ = (id,);
        coming("revoke_key")
    }

    /// The live key of an enabled user; notes that it was used.
    pub fn key(&self, key_hash: &str) -> Result<Option<(ApiKey, User)>, IndexError> {
        let _ = (key_hash,);
        coming("key")
    }

    /// What an actor may see: computed once a request, needed by everything below.
    pub fn visible(&self, who: &Actor) -> Result<Visible, IndexError> {
        let _ = (who,);
        coming("visible")
    }

    /// Adds a collection.
    pub fn add_collection(&self, name: &str) -> Result<Collection, IndexError> {
        let _ = (name,);
        coming("add_collection")
    }

    /// The collections that can be seen, by name.
    pub fn list_collections(&self, visible: &Visible) -> Result<Vec<CollectionSummary>, IndexError> {
        let _ = (visible,);
        coming("list_collections")
    }

    /// The collection with this name.
    pub fn collection_by_name(&self, visible: &Visible, name: &str) -> Result<Collection, IndexError> {
        let _ = (visible, name);
        coming("collection_by_name")
    }

    /// A collection.
    pub fn collection(&self, visible: &Visible, id: &CollectionId) -> Result<Collection, IndexError> {
        let _ = (visible, id);
        coming("collection")
    }

    /// Who may do what in a collection. Needs manage.
    pub fn grants(&self, visible: &Visible, collection: &CollectionId) -> Result<Vec<Grant>, IndexError> {
        let _ = (visible, collection);
        coming("grants")
    }

    /// Gives a right, or changes it. Needs manage.
    pub fn grant(
        &self,
        visible: &Visible,
        collection: &CollectionId,
        user: &UserId,
        level: Level,
    ) -> Result<(), IndexError> {
        let _ = (visible, collection, user, level);
        coming("grant")
    }

    /// Takes a right away. Needs manage.
    pub fn revoke(&self, visible: &Visible, collection: &CollectionId, user: &UserId) -> Result<(), IndexError> {
        let _ = (visible, collection, user);
        coming("revoke")
    }

    /// Removes a collection with all that it holds. Needs manage.
    pub fn remove_collection(&self, visible: &Visible, collection: &CollectionId) -> Result<Removed, IndexError> {
        let _ = (visible, collection);
        coming("remove_collection")
    }

    /// Enters an upload in the catalogue. Needs write.
    pub fn place(
        &self,
        visible: &Visible,
        collection: &CollectionId,
        name: &str,
        blob: &BlobRef,
        duplicates: Duplicates,
    ) -> Result<Placed, IndexError> {
        let _ = (visible, collection, name, blob, duplicates);
        coming("place")
    }

    /// A document by id, or by one of its names (in a collection, or in all where the name is unique).
    pub fn document(
        &self,
        visible: &Visible,
        name_or_id: &str,
        collection: Option<&CollectionId>,
    ) -> Result<Document, IndexError> {
        let _ = (visible, name_or_id, collection);
        coming("document")
    }

    /// Documents of a collection by name.
    pub fn list_documents(
        &self,
        visible: &Visible,
        collection: &CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentList, IndexError> {
        let _ = (visible, collection, after, limit);
        coming("list_documents")
    }

    /// The versions of a document, newest first.
    pub fn versions(&self, visible: &Visible, document: &DocumentId) -> Result<Vec<DocumentVersion>, IndexError> {
        let _ = (visible, document);
        coming("versions")
    }

    /// The page ledger.
    pub fn ledger(&self, visible: &Visible, document: &DocumentId) -> Result<Vec<LedgerPage>, IndexError> {
        let _ = (visible, document);
        coming("ledger")
    }

    /// The canonical text of the current version.
    pub fn text(&self, visible: &Visible, document: &DocumentId) -> Result<String, IndexError> {
        let _ = (visible, document);
        coming("text")
    }

    /// A page of the current version.
    pub fn page(&self, visible: &Visible, document: &DocumentId, page: u32) -> Result<StoredPage, IndexError> {
        let _ = (visible, document, page);
        coming("page")
    }

    /// Boxes `[page, x0, y0, x1, y1]` of the words that overlap a span of the canonical text, merged per line.
    pub fn boxes(
        &self,
        visible: &Visible,
        document: &DocumentId,
        start: u32,
        end: u32,
    ) -> Result<Vec<[f32; 5]>, IndexError> {
        let _ = (visible, document, start, end);
        coming("boxes")
    }

    /// The bytes of the version shown, and their number.
    pub fn original(&self, visible: &Visible, document: &DocumentId) -> Result<(std::fs::File, u64), IndexError> {
        let _ = (visible, document);
        coming("original")
    }

    /// Removes a document: rows, text, postings, vectors, and the original where nothing else holds it. Needs write.
    pub fn remove_document(&self, visible: &Visible, document: &DocumentId) -> Result<Removed, IndexError> {
        let _ = (visible, document);
        coming("remove_document")
    }

    /// What a scope holds and what of it could not be read.
    pub fn coverage(
        &self,
        visible: &Visible,
        collection: Option<&CollectionId>,
        documents: &[DocumentId],
    ) -> Result<Coverage, IndexError> {
        let _ = (visible, collection, documents);
        coming("coverage")
    }

    /// Takes the next job.
    pub fn next_job(&self) -> Result<Option<Job>, IndexError> {
        coming("next_job")
    }

    /// A job.
    pub fn job(&self, id: &JobId) -> Result<Job, IndexError> {
        let _ = (id,);
        coming("job")
    }

    /// Jobs of visible collections, oldest first.
    pub fn jobs(&self, visible: &Visible, filter: &JobFilter) -> Result<Vec<Job>, IndexError> {
        let _ = (visible, filter);
        coming("jobs")
    }

    /// Notes what is known when reading starts.
    pub fn start_reading(&self, job: &JobId, start: &ReadingStart) -> Result<(), IndexError> {
        let _ = (job, start);
        coming("start_reading")
    }

    /// Notes where a job stands: reading, embedding or indexing.
    pub fn set_stage(&self, job: &JobId, stage: Stage) -> Result<(), IndexError> {
        let _ = (job, stage);
        coming("set_stage")
    }

    /// Keeps a page, unseen until the commit. A page saved again replaces the first.
    pub fn save_page(&self, job: &JobId, page: &PageInput) -> Result<(), IndexError> {
        let _ = (job, page);
        coming("save_page")
    }

    /// Enters a page that could not be read in the ledger.
    pub fn save_page_failure(&self, job: &JobId, page: u32, code: &str, message: &str) -> Result<(), IndexError> {
        let _ = (job, page, code, message);
        coming("save_page_failure")
    }

    /// The pages kept so far, by number.
    pub fn saved_pages(&self, job: &JobId) -> Result<Vec<PageInput>, IndexError> {
        let _ = (job,);
        coming("saved_pages")
    }

    /// Makes the document visible in one transaction, then brings the derived stores to it. Gives the edition. `vectors` has one row a passage, or is empty.
    pub fn commit_document(
        &self,
        job: &JobId,
        passages: &[NewPassage],
        vectors: &[Vec<f32>],
    ) -> Result<u64, IndexError> {
        let _ = (job, passages, vectors);
        coming("commit_document")
    }

    /// Gives a job up.
    pub fn fail_job(&self, job: &JobId, code: &str, message: &str) -> Result<(), IndexError> {
        let _ = (job, code, message);
        coming("fail_job")
    }

    /// Puts a job back unharmed, for an orderly shutdown.
    pub fn release_job(&self, job: &JobId) -> Result<(), IndexError> {
        let _ = (job,);
        coming("release_job")
    }

    /// Stops a job. Needs write.
    pub fn cancel_job(&self, visible: &Visible, job: &JobId) -> Result<(), IndexError> {
        let _ = (visible, job);
        coming("cancel_job")
    }

    /// Queues the newest version of a document again. Needs write.
    pub fn retry(&self, visible: &Visible, document: &DocumentId) -> Result<JobId, IndexError> {
        let _ = (visible, document);
        coming("retry")
    }

    /// Passages that have no vector of the present embedder.
    pub fn passages_without_vector(&self, limit: usize) -> Result<Vec<(i64, String)>, IndexError> {
        let _ = (limit,);
        coming("passages_without_vector")
    }

    /// Keeps vectors of passages that had none. Gives the edition.
    pub fn save_vectors(&self, vectors: &[(i64, Vec<f32>)]) -> Result<u64, IndexError> {
        let _ = (vectors,);
        coming("save_vectors")
    }

    /// Searches what is visible. Every hit is confirmed in the catalogue.
    pub fn search(&self, visible: &Visible, request: &SearchRequest) -> Result<Found, IndexError> {
        let _ = (visible, request);
        coming("search")
    }

    /// Edition of the catalogue.
    pub fn edition(&self) -> Result<u64, IndexError> {
        coming("edition")
    }

    /// Sizes.
    pub fn figures(&self) -> Result<StoreFigures, IndexError> {
        coming("figures")
    }

    /// A setting.
    pub fn setting(&self, key: &str) -> Result<Option<String>, IndexError> {
        let _ = (key,);
        coming("setting")
    }

    /// Sets a setting.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<(), IndexError> {
        let _ = (key, value);
        coming("set_setting")
    }
}
