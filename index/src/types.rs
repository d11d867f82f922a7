//! What goes in and comes out of the store: plain data.
//!
//! Text offsets count Unicode scalar values. Boxes are PDF points from the page's top left corner.

use crate::{CollectionId, DocumentId, JobId, KeyId, UserId};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word that stands for it in the catalogue and on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value for a word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

word_enum!(
    /// What a person may do in the installation.
    Role {
        /// Runs the installation: has every right on every collection.
        Administrator = "administrator",
        /// Reads the audit log; sees the collections granted to him.
        Auditor = "auditor",
        /// Sees the collections granted to him.
        Member = "member",
    }
);
word_enum!(
    /// What a person may do in one collection. Each level includes those before it.
    Level {
        /// Search and read.
        Read = "read",
        /// Add and remove documents.
        Write = "write",
        /// Grant, revoke, remove the collection.
        Manage = "manage",
    }
);
word_enum!(
    /// Where a job stands.
    Stage {
        /// Waits for a worker.
        Queued = "queued",
        /// Pages are being read.
        Reading = "reading",
        /// Vectors are being made.
        Embedding = "embedding",
        /// The commit is under way.
        Indexing = "indexing",
        /// Committed.
        Done = "done",
        /// Gave up; `error` says why.
        Failed = "failed",
        /// Stopped by a user, or overtaken by a newer version.
        Cancelled = "cancelled",
    }
);
word_enum!(
    /// What a user is told about a document.
    DocumentStatus {
        /// Waits for a worker; nothing of it can be found yet.
        Queued = "queued",
        /// Its first version is being read.
        Reading = "reading",
        /// Its first version is being embedded or indexed.
        Indexing = "indexing",
        /// Every page can be found.
        Ready = "ready",
        /// Ready, but the page ledger has gaps.
        Partial = "partial",
        /// No version could be read.
        Failed = "failed",
    }
);
word_enum!(
    /// How a page ended in the page ledger.
    PageOutcome {
        /// Its text layer was read.
        Text = "text",
        /// Its text was recognised from an image.
        Ocr = "ocr",
        /// It holds nothing to read.
        Empty = "empty",
        /// Its text can be found, but something that is known to be on it is missing; the reason is given.
        Partial = "partial",
        /// It could not be read; the reason is given.
        Failed = "failed",
        /// It was passed over on purpose; the reason is given.
        Skipped = "skipped",
    }
);
impl PageOutcome {
    /// Whether something of the page cannot be found: the outcomes that the ledger counts as gaps.
    pub fn is_gap(self) -> bool {
        matches!(self, Self::Partial | Self::Failed | Self::Skipped)
    }
}
word_enum!(
    /// Which indexes a search asks.
    Mode {
        /// Both, joined by reciprocal rank fusion; keyword alone where no vector is given.
        Hybrid = "hybrid",
        /// BM25; a phrase in quotation marks must occur to the letter.
        Keyword = "keyword",
        /// Vectors alone.
        Vector = "vector",
    }
);
word_enum!(
    /// What to do with bytes that a collection already holds under another name.
    Duplicates {
        /// Keep the new name as a further name of the document that is there.
        Alias = "alias",
        /// Make a document of its own.
        Keep = "keep",
    }
);

/// A user to be made. The password arrives hashed.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Login name, unique without regard to case.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Password hash in PHC form; never looked into here.
    pub password_hash: String,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Login name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Password hash in PHC form.
    pub password_hash: String,
    /// Disabled users see nothing and have no sessions.
    pub disabled: bool,
    /// When made.
    pub created: String,
}

/// A session to be kept. The token arrives hashed.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Hash of the token in the cookie.
    pub token_hash: String,
    /// Whose.
    pub user: UserId,
    /// The value that unsafe requests must repeat.
    pub csrf: String,
    /// From when on it is void.
    pub expires: String,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: User,
    /// The value that unsafe requests must repeat.
    pub csrf: String,
    /// When made.
    pub created: String,
    /// From when on it is void.
    pub expires: String,
}

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Id.
    pub id: KeyId,
    /// Whose rights it carries.
    pub user: UserId,
    /// What the owner calls it.
    pub label: String,
    /// When made.
    pub created: String,
    /// When last used.
    pub last_used: Option<String>,
    /// Revoked keys open nothing.
    pub revoked: bool,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Id.
    pub id: CollectionId,
    /// Name, unique.
    pub name: String,
    /// When made.
    pub created: String,
}

/// A collection with its figures, as one user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionSummary {
    /// Id.
    pub id: CollectionId,
    /// Name.
    pub name: String,
    /// When made.
    pub created: String,
    /// Documents, in whatever state.
    pub documents: u64,
    /// Pages of current versions.
    pub pages: u64,
    /// Pages of current versions that were read in part, failed or were skipped.
    pub unread: u64,
    /// What the asking user may do.
    pub level: Level,
}

/// A right of one user on one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// What.
    pub level: Level,
}

/// A fault with its stable code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable code, for instance `encrypted`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A page that is not in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Page, from 1.
    pub page: u32,
    /// Why.
    pub reason: String,
}

/// A document as its readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id.
    pub id: DocumentId,
    /// Its collection.
    pub collection: CollectionId,
    /// The collection's name.
    pub collection_name: String,
    /// Its name.
    pub name: String,
    /// All names, the first one first, then those of duplicates in the order of arrival.
    pub names: Vec<String>,
    /// State.
    pub status: DocumentStatus,
    /// Title found in the file.
    pub title: Option<String>,
    /// Format found in the file.
    pub format: Option<String>,
    /// Number of the version shown: the current one, or the newest where none was committed yet.
    pub version: u32,
    /// SHA-256 of that version's bytes.
    pub sha256: String,
    /// Size of that version.
    pub bytes: u64,
    /// Pages in the ledger of that version.
    pub pages: u32,
    /// Passages that can be found.
    pub passages: u32,
    /// When the document was added.
    pub added: String,
    /// Pages that are not in the index.
    pub gaps: Vec<Gap>,
    /// Why the newest version failed.
    pub error: Option<Fault>,
    /// The unfinished job.
    pub job: Option<JobId>,
}

/// A stretch of a list of documents, sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentList {
    /// The documents.
    pub documents: Vec<Document>,
    /// The name after which the next stretch begins.
    pub next: Option<String>,
}

/// One version of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentVersion {
    /// Number, from 1.
    pub version: u32,
    /// SHA-256 of the bytes.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// When placed.
    pub added: String,
    /// When it became the one that searches find; `None` if it never was.
    pub committed: Option<String>,
    /// Format as read, such as `pdf`.
    pub format: Option<String>,
    /// Pages in its ledger.
    pub pages: u32,
    /// Whether it is the one that searches find.
    pub current: bool,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A new document; the job will read it.
    Added {
        /// The document.
        document: DocumentId,
        /// Its version, normally 1.
        version: u32,
        /// The job.
        job: JobId,
    },
    /// The same bytes are there under this name.
    Unchanged {
        /// The document.
        document: DocumentId,
        /// The job, where it has not ended.
        job: Option<JobId>,
    },
    /// The name was there with other bytes (or its bytes could not be read the last time).
    Updated {
        /// The document.
        document: DocumentId,
        /// The new version.
        version: u32,
        /// The job.
        job: JobId,
    },
    /// The bytes are there under another name, and this name was kept as a further one.
    Duplicate {
        /// The document that holds the bytes.
        of: DocumentId,
        /// That document's name.
        name: String,
        /// Its job, where it has not ended.
        job: Option<JobId>,
    },
}

/// A word and where it stands on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageWord {
    /// First character in the page's text.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// Left.
    pub x0: f32,
    /// Top.
    pub y0: f32,
    /// Right.
    pub x1: f32,
    /// Bottom.
    pub y1: f32,
}

/// A block of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageBlock {
    /// Kind, in the reader's words.
    pub kind: String,
    /// Depth of a heading or list item.
    pub level: u8,
    /// First character in the page's text.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// `[x0, y0, x1, y1]`.
    pub bounds: Option<[f32; 4]>,
}

/// A page as the reader gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct PageInput {
    /// Number, from 1.
    pub number: u32,
    /// More than the number, where there is more to say.
    pub place: Option<String>,
    /// Width in points.
    pub width: f32,
    /// Height in points.
    pub height: f32,
    /// Text.
    pub text: String,
    /// Blocks, offsets within the text.
    pub blocks: Vec<PageBlock>,
    /// Words, offsets within the text; empty where the format has no layout.
    pub words: Vec<PageWord>,
    /// How it ended.
    pub outcome: PageOutcome,
    /// Why, where it was read in part, failed or was skipped.
    pub reason: Option<String>,
    /// What the reader noticed.
    pub problems: Vec<String>,
}

/// A page as it is stored. Coordinates are kept to a hundredth of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPage {
    /// The page.
    pub page: PageInput,
    /// Offset of its first character in the canonical text.
    pub start: u32,
}

/// One line of the page ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerPage {
    /// Page, from 1.
    pub page: u32,
    /// How it ended.
    pub outcome: PageOutcome,
    /// Why, where it was read in part, failed or was skipped.
    pub reason: Option<String>,
    /// Words of its text.
    pub words: u32,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Id.
    pub id: JobId,
    /// Its document.
    pub document: DocumentId,
    /// The document's collection.
    pub collection: CollectionId,
    /// The version that it reads.
    pub version: u32,
    /// SHA-256 of the bytes.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Name of the document.
    pub name: String,
    /// Where it stands.
    pub stage: Stage,
    /// How often it was taken without getting further.
    pub attempts: u32,
    /// Pages kept so far.
    pub pages_done: u32,
    /// Pages in all, where known.
    pub pages_total: Option<u32>,
    /// Pages kept so far that are not in the index.
    pub gaps: u32,
    /// Why it failed.
    pub error: Option<Fault>,
    /// When made.
    pub created: String,
    /// When it last changed.
    pub updated: String,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only this collection.
    pub collection: Option<CollectionId>,
    /// Only this document.
    pub document: Option<DocumentId>,
    /// Only those that have not ended.
    pub unfinished: bool,
    /// Only the newest, so many; `None` = as many as one list gives.
    pub limit: Option<usize>,
}

/// What is known when reading starts.
#[derive(Clone, Debug, Default)]
pub struct ReadingStart {
    /// Format.
    pub format: String,
    /// Title found in the file.
    pub title: Option<String>,
    /// Pages in all, where known.
    pub pages: Option<u32>,
}

/// A passage to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPassage {
    /// First character in the canonical text.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// Page where it begins.
    pub page: u32,
    /// More than the page, where there is more to say.
    pub place: Option<String>,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// The canonical text at `start..end`, to the letter.
    pub text: String,
}

/// A stored passage that has no vector of the present embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unembedded {
    /// Row of the passage.
    pub passage: i64,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Its text.
    pub text: String,
}

/// What a removal took away, proven by searching afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Documents.
    pub documents: u64,
    /// Names they had, first names first.
    pub names: Vec<String>,
    /// Passages.
    pub passages: u64,
    /// Bytes of originals that no other document holds.
    pub bytes: u64,
    /// Rows, postings and vectors still found by the probe: 0.
    pub probe_hits: u64,
}

/// What to search.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Only this collection.
    pub collection: Option<CollectionId>,
    /// Only these documents; empty = all that are visible.
    pub documents: Vec<DocumentId>,
    /// The words.
    pub text: String,
    /// The words' vector, of the store's embedder, L2-normalised.
    pub vector: Option<Vec<f32>>,
    /// Which indexes.
    pub mode: Mode,
    /// Hits at most; 1 to [`crate::LIMIT_HITS`].
    pub limit: usize,
}

/// A passage that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Row of the passage; stays the same as long as the passage exists.
    pub passage: i64,
    /// Its document.
    pub document: DocumentId,
    /// The document's collection.
    pub collection: CollectionId,
    /// The document's name.
    pub name: String,
    /// The document's version.
    pub version: u32,
    /// Page where it begins.
    pub page: u32,
    /// More than the page, where there is more to say.
    pub place: Option<String>,
    /// First character in the canonical text.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// The canonical text at `start..end`.
    pub text: String,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Larger is better; comparable within one answer only.
    pub score: f32,
    /// `[page, x0, y0, x1, y1]`, words merged per line.
    pub boxes: Vec<[f32; 5]>,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Edition of the catalogue that confirmed them.
    pub edition: u64,
}

/// What a scope holds and what of it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Documents in scope.
    pub documents: u64,
    /// Pages of their current versions.
    pub pages: u64,
    /// What is not in the index.
    pub unread: Vec<Unread>,
}

/// A page, or a whole document (page 0), that is not in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The document.
    pub document: DocumentId,
    /// Its name.
    pub name: String,
    /// Page from 1; 0 = the document as a whole.
    pub page: u32,
    /// Why.
    pub reason: String,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do where it is not well.
    pub mend: &'static str,
}

/// What opening the store had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The last process did not close the store; the catalogue was checked and is sound.
    pub unclean: bool,
    /// Schema numbers before and after, where a migration ran.
    pub migrated: Option<(i64, i64)>,
    /// What was done to the keyword index.
    pub keyword: Derived,
    /// What was done to the vectors.
    pub vectors: Derived,
    /// Jobs found half done and queued again.
    pub jobs_resumed: u64,
    /// Jobs given up because they ended the process too often.
    pub jobs_crashed: u64,
    /// Temporary and orphan files removed.
    pub files_removed: u64,
}

/// What opening had to do to a derived store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Derived {
    /// Nothing.
    #[default]
    Current,
    /// It lagged by this many editions and was caught up.
    CaughtUp(u64),
    /// It was missing or broken and was rebuilt from the catalogue.
    Rebuilt(String),
}

/// Sizes of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Collections.
    pub collections: u64,
    /// Documents.
    pub documents: u64,
    /// Passages that can be found.
    pub passages: u64,
    /// Passages without a vector of the present embedder.
    pub passages_without_vector: u64,
    /// Edition.
    pub edition: u64,
}
