//! A small persistent thread pool for the phases of a forward pass.
//!
//! One call of [`Pool::run`] hands out numbered items to the calling thread and to the workers. Each thread begins with a
//! share of its own, whose items it takes in their order, so that weights of neighbouring items reach it as one stream from
//! memory; whoever is done takes what is left of the others' shares. Workers spin for about ten thousand rounds after a job,
//! so that the next phase of the same pass starts within a fraction of a microsecond, and park after that. A worker that
//! comes too late for a job simply misses it: the caller waits only for workers that are inside. With more threads than
//! cores nobody spins.
#![expect(unsafe_code, reason = "jobs borrow the caller's stack, and items write to disjoint parts of one slice")]

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{JoinHandle, Thread};

/// Rounds of the spin loop before a waiting thread gives its core back.
const SPIN_ROUNDS: u32 = if cfg!(miri) { 10 } else { 10_000 };

/// More threads than this are never started.
pub const THREADS_MAX: usize = 256;

/// The lowest bits of the gate count the workers inside a job.
const INSIDE_MASK: u64 = 0xffff;
/// Set while a job admits workers.
const OPEN: u64 = 1 << 16;
/// The job's number stands above the flag.
const GENERATION_STEP: u64 = 1 << 17;

/// Threads that work on the phases of a forward pass, the calling thread included.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    wakers: Vec<Thread>,
    entry: Mutex<()>,
}

/// Keeps what two threads write on cache lines of its own.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    gate: Line<AtomicU64>,
    /// For each thread, the caller's first, the next item of its share.
    next: Box<[Line<AtomicUsize>]>,
    job: Line<std::cell::UnsafeCell<Job>>,
    parked: Box<[Line<AtomicBool>]>,
    stop: AtomicBool,
    panicked: AtomicBool,
    spin_rounds: u32,
}

#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
}

// SAFETY: `job` is written only by the thread that holds `entry`, while the gate is closed and nobody is inside; workers
// read it only after they entered through the gate, whose compare-exchange orders that read after the write.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only between the opening and the closing of the gate, while the borrow it was made
// from is alive on the stack of `Pool::run`.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, counting the one that calls [`Pool::run`]; at least one, at most [`THREADS_MAX`].
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, THREADS_MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nothing: &'static (dyn Fn(usize) + Sync) = &|_| {};
        let shared = Arc::new(Shared {
            gate: Line(AtomicU64::new(0)),
            next: (0..threads).map(|_| Line(AtomicUsize::new(0))).collect(),
            job: Line(std::cell::UnsafeCell::new(Job { task: nothing, count: 0 })),
            parked: (1..threads).map(|_| Line(AtomicBool::new(false))).collect(),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            spin_rounds: if threads > cores { 0 } else { SPIN_ROUNDS },
        });
        let workers: Vec<_> = (0..threads - 1).filter_map(|index| start_worker(index, &shared)).collect();
        let wakers = workers.iter().map(|worker| worker.thread().clone()).collect();
        Self { shared, workers, wakers, entry: Mutex::new(()) }
    }

    /// Number of threads, the caller's included. Fewer than asked for where the system refused to start one.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once with each number below `count`, on whichever thread is free, and returns when all are done.
    ///
    /// A call from inside a task, or while another thread is in `run`, does its items alone, one after the other. A panic in
    /// a task is raised again here.
    pub fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let entry = match self.entry.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if entry.is_none() || self.workers.is_empty() || count < 2 {
            (0..count).for_each(task);
            return;
        }
        self.open(Job { task: erase(task), count });
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&self.shared.next, 0, count, task)));
        self.close();
        let worker_panicked = self.shared.panicked.swap(false, Ordering::Relaxed);
        drop(entry);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(!worker_panicked, "a task of the engine's thread pool panicked");
    }

    /// Calls `task` with each piece of `length` items of `slice` and its number; the last piece may be shorter.
    pub fn chunks<T: Send>(&self, slice: &mut [T], length: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        let length = length.max(1);
        let total = slice.len();
        let parts = Disjoint::new(slice);
        self.run(total.div_ceil(length), &|index| {
            let range = index * length..((index + 1) * length).min(total);
            // SAFETY: ranges of different numbers do not overlap, and `run` calls each number once.
            task(index, unsafe { parts.part(range) });
        });
    }

    fn open(&self, job: Job) {
        let shared = &*self.shared;
        // SAFETY: the gate is closed and nobody is inside (the state in which `close` leaves it), and `entry` is held.
        unsafe { *shared.job.0.get() = job };
        for (thread, next) in shared.next.iter().enumerate() {
            next.0.store(share(job.count, thread, shared.next.len()).start, Ordering::Relaxed);
        }
        shared.gate.0.fetch_add(GENERATION_STEP | OPEN, Ordering::SeqCst);
        for (parked, waker) in shared.parked.iter().zip(&self.wakers) {
            if parked.0.swap(false, Ordering::SeqCst) {
                waker.unpark();
            }
        }
    }

    /// Shuts the gate and waits for the workers inside, so that nobody holds the job any more.
    fn close(&self) {
        let gate = &self.shared.gate.0;
        gate.fetch_and(!OPEN, Ordering::SeqCst);
        let mut rounds = 0;
        while gate.load(Ordering::Acquire) & INSIDE_MASK != 0 {
            if rounds < self.shared.spin_rounds {
                rounds += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for waker in &self.wakers {
            waker.unpark();
        }
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to be learnt from its end.
            drop(worker.join());
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

/// Forgets how long the task lives; `Pool::run` outlives every use of the result.
fn erase<'a>(task: &'a (dyn Fn(usize) + Sync + 'a)) -> *const (dyn Fn(usize) + Sync + 'static) {
    // SAFETY: only the lifetime changes. The pointer is used inside the gate alone, and `Pool::run` closes the gate before
    // the borrow ends, on the way of a panic too.
    unsafe { std::mem::transmute::<&'a (dyn Fn(usize) + Sync + 'a), &'static (dyn Fn(usize) + Sync + 'static)>(task) }
}

fn start_worker(index: usize, shared: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let builder = std::thread::Builder::new().name(format!("engine-{}", index + 1));
    builder.spawn(move || worker_loop(index, &shared)).ok()
}

fn worker_loop(index: usize, shared: &Shared) {
    let mut seen = 0;
    while let Some(generation) = wait_for_job(index, shared, seen) {
        seen = generation;
        if !enter(&shared.gate.0, generation) {
            continue;
        }
        // SAFETY: this thread is counted inside the open gate, so the job was written before and stays until it leaves.
        let job = unsafe { *shared.job.0.get() };
        // SAFETY: as above; the task's borrow lives until `close` has seen this thread leave.
        let task = unsafe { &*job.task };
        if catch_unwind(AssertUnwindSafe(|| work(&shared.next, index + 1, job.count, task))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.gate.0.fetch_sub(1, Ordering::Release);
    }
}

/// Waits until a job other than `seen` is open and returns its generation; `None` when the pool ends.
fn wait_for_job(index: usize, shared: &Shared, seen: u64) -> Option<u64> {
    let mut rounds = 0;
    loop {
        let gate = shared.gate.0.load(Ordering::SeqCst);
        if gate & OPEN != 0 && gate / GENERATION_STEP != seen {
            return Some(gate / GENERATION_STEP);
        }
        if shared.stop.load(Ordering::SeqCst) {
            return None;
        }
        if rounds < shared.spin_rounds {
            rounds += 1;
            std::hint::spin_loop();
            continue;
        }
        park(&shared.parked[index].0, shared, gate);
        rounds = 0;
    }
}

/// Parks unless the gate has changed since it was read as `gate`.
fn park(parked: &AtomicBool, shared: &Shared, gate: u64) {
    parked.store(true, Ordering::SeqCst);
    if shared.gate.0.load(Ordering::SeqCst) == gate && !shared.stop.load(Ordering::SeqCst) {
        std::thread::park();
    }
    parked.store(false, Ordering::SeqCst);
}

/// Counts this thread in, unless the job has closed meanwhile.
fn enter(gate: &AtomicU64, generation: u64) -> bool {
    let mut current = gate.load(Ordering::Acquire);
    while current & OPEN != 0 && current / GENERATION_STEP == generation {
        match gate.compare_exchange_weak(current, current + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(now) => current = now,
        }
    }
    false
}

/// The items that thread `thread` of `threads` begins with.
fn share(count: usize, thread: usize, threads: usize) -> Range<usize> {
    count * thread / threads..count * (thread + 1) / threads
}

/// Does the items of the thread's own share, one after the other, and then what is left of the others'.
fn work(next: &[Line<AtomicUsize>], thread: usize, count: usize, task: &(dyn Fn(usize) + Sync)) {
    let threads = next.len();
    for owner in (thread..threads).chain(0..thread) {
        let end = share(count, owner, threads).end;
        while next[owner].0.load(Ordering::Relaxed) < end {
            let index = next[owner].0.fetch_add(1, Ordering::Relaxed);
            if index < end {
                task(index);
            }
        }
    }
}

/// A mutable slice whose parts are written by several threads at once.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: threads reach the items only through `part`, whose caller vouches that no two parts overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// Where the items of `range` begin; panics where it reaches beyond the slice. To be used as [`Disjoint::part`] is, while
    /// the slice is borrowed.
    pub(crate) fn pointer(&self, range: Range<usize>) -> *mut T {
        assert!(range.start <= range.end && range.end <= self.length, "a part beyond its slice");
        self.start.wrapping_add(range.start)
    }

    /// The items of `range`; panics where it reaches beyond the slice.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part beyond its slice");
        // SAFETY: the range lies in the slice (checked above), which is borrowed for `'a`; overlap is the caller's part.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
