//! A defect in the work on one document must not take its worker along.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

/// Does some work; a panic in it becomes an [`Error::Bug`].
///
/// What the work shares with others is behind locks that outlive a panic, and in transactions that are rolled back.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Bug(said(&*panic))))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_says_what_it_said() {
        assert_eq!(guarded(|| Ok(1)).expect("nothing went wrong"), 1);
        let number = 7;
        let first = guarded::<()>(|| panic!("odd page"));
        assert!(matches!(first, Err(Error::Bug(text)) if text == "panic: odd page"));
        let second = guarded::<()>(|| panic!("page {number}"));
        assert!(matches!(second, Err(Error::Bug(text)) if text == "panic: page 7"));
    }
}
