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
}

/// Counts failures by key (an account's name, an address). Times are Unix seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<String, Failures>>,
}

impl Throttle {
    /// Seconds to wait before the next attempt for any of the keys; 0 when it may go ahead.
    pub(crate) fn wait(&self, keys: &[String], now: i64) -> u64 {
        let failures = self.lock();
        let until =
            keys.iter().filter_map(|key| failures.get(key)).map(|failures| failures.last + wait_after(failures.count));
        until.max().map_or(0, |until| (until - now).max(0) as u64)
    }

    /// Counts a failure for every key.
    pub(crate) fn failed(&self, keys: &[String], now: i64) {
        let mut failures = self.lock();
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert(Failures { count: 0, last: now });
            if now - entry.last > FORGET {
                entry.count = 0;
            }
            *entry = Failures { count: entry.count.saturating_add(1), last: now };
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
        assert_eq!(throttle.wait(&keys, 100), 0);
        throttle.failed(&keys, 100);
        assert_eq!(throttle.wait(&keys, 100), 2);
        assert_eq!(throttle.wait(&keys, 102), 0);
        throttle.failed(&keys, 102);
        assert_eq!(throttle.wait(&keys[..1], 102), 4);
        for _ in 0..40 {
            throttle.failed(&keys, 102);
        }
        assert_eq!(throttle.wait(&keys, 102), WAIT_MAX as u64);
        throttle.succeeded(&keys[0]);
        assert_eq!(throttle.wait(&keys[..1], 102), 0);
        assert_eq!(throttle.wait(&keys, 102), WAIT_MAX as u64, "the address still waits");
        throttle.failed(&keys, 102 + FORGET + 1);
        assert_eq!(throttle.wait(&keys, 102 + FORGET + 1), 0, "old failures are forgotten");
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
