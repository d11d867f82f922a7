//! A lock that is handed out in the order of asking.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Guards one value; threads get it in the order in which they called [`Turn::take`].
#[derive(Debug, Default)]
pub(crate) struct Turn<T> {
    tickets: Mutex<Tickets>,
    called: Condvar,
    value: Mutex<T>,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    serving: u64,
}

/// The value, until it is dropped.
pub(crate) struct Taken<'a, T> {
    value: MutexGuard<'a, T>,
    turn: &'a Turn<T>,
}

impl<T> Turn<T> {
    /// Waits for this thread's turn.
    pub(crate) fn take(&self) -> Taken<'_, T> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.next;
        tickets.next += 1;
        while tickets.serving != ticket {
            tickets = self.called.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
        drop(tickets);
        // A panic in an earlier turn leaves buffers of any content behind, and every pass fills its buffers anew.
        Taken { value: self.value.lock().unwrap_or_else(PoisonError::into_inner), turn: self }
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.turn.tickets.lock().unwrap_or_else(PoisonError::into_inner).serving += 1;
        self.turn.called.notify_all();
    }
}
