//! Slows guessing down: failed logins are counted per account and per address.

use std::collections::HashMap;
use std::sync::Mutex;

/// Failures that cost nothing.
const FREE: u32 = 5;

/// Wait after the first failure that costs, in seconds; doubles with each one.
const WAIT_FIRST: i64 = 2;

/// Longest wait, in seconds.
const WAIT_MAX: i64 = 900;

/// Failures are forgotten after so many seconds without one.
const FORGET: i64 = 3600;

/// Keys remembered at most; beyond it the oldest go first, so that a flood cannot fill the memory.
const KEYS_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: i64,
    /// Whether a refusal since the last failure was told of.
    told: bool,
}

/// What the failures so far ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Seconds to wait before the next attempt; 0 when it may go ahead.
    pub(crate) seconds: u64,
    /// Whether this is the first attempt that a key refuses within its wait: only that one goes into the log.
    pub(crate) first: bool,
}

/// Counts failures by key (an account's name, an address). Times are Unix seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<String, Failures>>,
}

impl Throttle {
    /// How long to wait before the next attempt for any of the keys.
    pub(crate) fn wait(&self, keys: &[String], now: i64) -> Wait {
        let mut failures = self.lock();
        let mut wait = Wait::default();
        for key in keys {
            let Some(entry) = failures.get_mut(key) else { continue };
            let left = (entry.last + wait_after(entry.count) - now).max(0) as u64;
            if left > 0 {
                wait.first |= !entry.told;
                entry.told = true;
                wait.seconds = wait.seconds.max(left);
            }
        }
        wait
    }

    /// Counts a failure for every key.
    pub(crate) fn failed(&self, keys: &[String], now: i64) {
        let mut failures = self.lock();
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert(Failures { count: 0, last: now, told: false });
            if now - entry.last > FORGET {
                entry.count = 0;
            }
            *entry = Failures { count: entry.count.saturating_add(1), last: now, told: false };
        }
        if failures.len() > KEYS_MAX {
            failures.retain(|_, failures| now - failures.last <= FORGET);
        }
        while failures.len() > KEYS_MAX {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            oldest.and_then(|key| failures.remove(&key));
        }
    }

    /// Forgets the failures of a key.
    pub(crate) fn succeeded(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn wait_after(count: u32) -> i64 {
    if count < FREE { 0 } else { WAIT_MAX.min(WAIT_FIRST << (count - FREE).min(16)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let throttle = Throttle::default();
        let keys = ["account:ada".to_owned(), "address:10.0.0.1".to_owned()];
        for _ in 0..FREE - 1 {
            throttle.failed(&keys, 100);
        }
        assert_eq!(throttle.wait(&keys, 100).seconds, 0);
        throttle.failed(&keys, 100);
        assert_eq!(throttle.wait(&keys, 100).seconds, 2);
        assert_eq!(throttle.wait(&keys, 102).seconds, 0);
        throttle.failed(&keys, 102);
        assert_eq!(throttle.wait(&keys[..1], 102).seconds, 4);
        for _ in 0..40 {
            throttle.failed(&keys, 102);
        }
        assert_eq!(throttle.wait(&keys, 102).seconds, WAIT_MAX as u64);
        throttle.succeeded(&keys[0]);
        assert_eq!(throttle.wait(&keys[..1], 102).seconds, 0);
        assert_eq!(throttle.wait(&keys, 102).seconds, WAIT_MAX as u64, "the address still waits");
        throttle.failed(&keys, 102 + FORGET + 1);
        assert_eq!(throttle.wait(&keys, 102 + FORGET + 1).seconds, 0, "old failures are forgotten");
    }

    #[test]
    fn one_refusal_a_wait_is_told() {
        let throttle = Throttle::default();
        let keys = ["account:ada".to_owned(), "address:10.0.0.1".to_owned()];
        for _ in 0..FREE {
            throttle.failed(&keys[1..], 100);
        }
        assert_eq!(throttle.wait(&keys, 100), Wait { seconds: 2, first: true });
        assert_eq!(throttle.wait(&keys, 101), Wait { seconds: 1, first: false });
        assert_eq!(throttle.wait(&keys, 102), Wait::default());
        throttle.failed(&keys, 102);
        assert_eq!(throttle.wait(&keys, 103), Wait { seconds: 3, first: true });
    }

    #[test]
    fn a_flood_of_names_does_not_grow_for_ever() {
        let throttle = Throttle::default();
        for index in 0..KEYS_MAX + 50 {
            throttle.failed(&[format!("account:{index}")], index as i64 / 100);
        }
        assert!(throttle.lock().len() <= KEYS_MAX);
    }
}
