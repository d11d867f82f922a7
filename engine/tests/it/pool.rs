//! The thread pool: every item once, panics raised again, and no deadlock.

use cloister_engine::pool::Pool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn each_item_is_done_once() {
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads);
        for count in [0, 1, 2, 7, if cfg!(miri) { 40 } else { 1000 }] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            pool.run(count, &|index| {
                done[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|item| item.load(Ordering::Relaxed) == 1), "{threads} threads, {count} items");
        }
    }
}

#[test]
fn chunks_cover_the_slice() {
    let pool = Pool::new(2);
    let mut values = vec![0usize; 1003];
    pool.chunks(&mut values, 10, |index, chunk| chunk.iter_mut().for_each(|value| *value = index));
    assert!(values.iter().enumerate().all(|(at, &value)| value == at / 10));
}

#[test]
fn many_short_jobs_follow_one_another() {
    let pool = Pool::new(4);
    let total = AtomicUsize::new(0);
    let jobs = if cfg!(miri) { 30 } else { 20_000 };
    for _ in 0..jobs {
        pool.run(4, &|index| {
            total.fetch_add(index, Ordering::Relaxed);
        });
    }
    assert_eq!(total.into_inner(), jobs * 6);
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(2);
    for _ in 0..20 {
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|index| assert!(index != 5, "item five"))));
        assert!(outcome.is_err());
        let done = AtomicUsize::new(0);
        pool.run(8, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 8);
    }
}

#[test]
fn calls_from_tasks_and_from_other_threads_do_their_work_alone() {
    let pool = Pool::new(2);
    let done = AtomicUsize::new(0);
    let calls = if cfg!(miri) { 5 } else { 200 };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..calls {
                    pool.run(3, &|_| {
                        pool.run(2, &|_| {
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 4 * calls * 3 * 2);
}
