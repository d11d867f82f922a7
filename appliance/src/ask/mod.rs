//! Questions and cited answers.

mod check;
mod types;

pub use types::{Answer, AnswerModel, AnswerState, AskEvent, Citation, Question, Timings};

use crate::caller::Caller;
use crate::cancel::CancelFlag;
use crate::{Appliance, Result};

impl Appliance {
    /// Answers a question from the documents the caller may read.
    ///
    /// `on_event` is called on this thread: first with the evidence, then with provisional text, then with the
    /// citations that were checked. The answer returned is recorded in the audit log.
    pub fn ask(
        &self,
        caller: &Caller,
        question: &Question,
        cancel: &CancelFlag,
        on_event: &mut dyn FnMut(AskEvent),
    ) -> Result<Answer> {
        let _ = (caller, question, cancel, on_event);
        self.unfinished()
    }

    /// An answer as it was given, by the number of its audit record.
    pub fn answer(&self, caller: &Caller, audit: u64) -> Result<Answer> {
        let _ = (caller, audit);
        self.unfinished()
    }
}
