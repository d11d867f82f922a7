//! What travels: the JSON shapes of requests and answers, apart from the appliance's inner types.
//!
//! The command line prints the same shapes with `--json`.

mod accounts;
mod answers;
mod documents;
mod operations;

pub use accounts::{
    Collection, Collections, Grant, GrantBody, Grants, Key, KeyBody, Keys, LoginBody, NewCollectionBody, NewUserBody,
    PasswordBody, RevokeBody, SecretKey, Session, SetupBody, SetupState, User, Users,
};
pub use answers::{
    Answer, AnswerModel, AskBody, Citation, Coverage, Passage, ReadingEvent, RetrievedEvent, SearchBody, SearchResult,
    Timings, TokenEvent, UnreadPage, WaitingEvent,
};
pub use documents::{
    Block, Boxes, Document, DocumentDetail, Documents, Fault, Gap, Job, Jobs, LedgerRow, PageView, Removed,
    RemovedDocument, Retried, UploadItem, Uploads, Version,
};
pub use operations::{
    AuditFault, AuditPage, AuditRecord, AuditVerdict, Check, Example, Health, Model, ModelStatus, Models, Readiness,
    Status,
};
