//! Questions are answered one at a time, in the order in which they came; ingest gives way to them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::CancelFlag;
use crate::{Error, Result};

/// Questions that wait at most; further ones are refused.
const WAITING_MAX: usize = 64;

/// How often a waiting question looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Longest pause ingest makes for a question before it does one more small batch.
const GIVE_WAY_MAX: Duration = Duration::from_millis(1500);

#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiting: Vec<u64>,
}

/// The line of questions.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    line: Mutex<Line>,
    moved: Condvar,
}

/// The right to answer, until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    ticket: u64,
}

impl Turns {
    /// Waits until all questions that came before are done; tells how many there are each time that changes.
    pub(crate) fn enter(&self, cancel: &CancelFlag, on_wait: &mut dyn FnMut(usize)) -> Result<Turn<'_>> {
        let mut line = self.lock();
        if line.waiting.len() >= WAITING_MAX {
            return Err(Error::Throttled { seconds: 60 });
        }
        let ticket = line.next;
        line.next += 1;
        line.waiting.push(ticket);
        let turn = Turn { turns: self, ticket };
        let mut told = 0;
        loop {
            let ahead = line.waiting.iter().filter(|other| **other < ticket).count();
            if ahead == 0 {
                return Ok(turn);
            }
            if cancel.is_cancelled() {
                drop(line);
                return Err(Error::Cancelled);
            }
            if told != ahead {
                told = ahead;
                drop(line);
                on_wait(ahead);
                line = self.lock();
                continue;
            }
            line = self.moved.wait_timeout(line, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits while a question is being answered, but not for ever.
    pub(crate) fn give_way(&self) {
        let begun = Instant::now();
        let mut line = self.lock();
        while !line.waiting.is_empty() && begun.elapsed() < GIVE_WAY_MAX {
            let rest = GIVE_WAY_MAX.saturating_sub(begun.elapsed());
            line = self.moved.wait_timeout(line, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().waiting.retain(|ticket| *ticket != self.ticket);
        self.turns.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_take_turns_and_a_cancelled_one_leaves() {
        let turns = Turns::default();
        let never = CancelFlag::new();
        let first = turns.enter(&never, &mut |_| panic!("nobody is ahead")).expect("free");
        let gone = CancelFlag::new();
        let mut told = Vec::new();
        let second = turns.enter(&gone, &mut |ahead| {
            told.push(ahead);
            gone.cancel();
        });
        assert!(matches!(second, Err(Error::Cancelled)));
        assert_eq!(told, [1]);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| turns.enter(&never, &mut |_| ()).is_ok());
            drop(first);
            assert!(third.join().expect("it does not panic"));
        });
        turns.give_way();
    }

    #[test]
    fn the_line_has_an_end() {
        let turns = Turns::default();
        let _turns: Vec<Turn<'_>> = (0..WAITING_MAX)
            .map(|ticket| {
                turns.lock().waiting.push(ticket as u64);
                Turn { turns: &turns, ticket: ticket as u64 }
            })
            .collect();
        assert!(matches!(turns.enter(&CancelFlag::new(), &mut |_| ()), Err(Error::Throttled { .. })));
    }
}
