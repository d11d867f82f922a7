//! Read-only file bytes: a memory map of a file, or bytes already in memory.
//!
//! A page of a mapped file that the file no longer has cannot be read: the kernel sends SIGBUS, which ends the process. Maps
//! made here are known to a handler of that signal, which puts zero pages in their place and marks the map as lost. Whoever
//! reads a map asks [`FileBytes::check`] before he believes what he made of it: it fails when pages were lost, and when the
//! file's length or time of change is another one than at the opening.
#![expect(unsafe_code, reason = "mapping a file is unsafe, and so is handling a signal")]

use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::EngineError;

/// Most files that may be mapped at the same time.
const REGIONS_MAX: usize = 256;

/// The bytes of one file, mapped or held.
#[derive(Debug)]
pub(crate) enum FileBytes {
    Mapped(Mapped),
    Held(Vec<u8>),
}

/// A mapped file, still open.
#[derive(Debug)]
pub(crate) struct Mapped {
    // Dropped before the map, so that the handler never takes a freed range for one of ours.
    region: RegionGuard,
    map: Mmap,
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when a file is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { length: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

impl FileBytes {
    /// Maps a file for reading. An empty file gives empty bytes.
    pub(crate) fn map(path: &Path) -> Result<Self, EngineError> {
        // Without waiting: the name may be that of a pipe, to which no one ever writes.
        // Miri opens nothing in that way.
        let flags = if cfg!(miri) { 0 } else { libc::O_NONBLOCK };
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let file = opened.map_err(|cause| EngineError::io("open", path, cause))?;
        Self::map_file(file, path)
    }

    /// As [`FileBytes::map`], for a file that is open; `path` is its name in messages.
    pub(crate) fn map_file(file: File, path: &Path) -> Result<Self, EngineError> {
        let failed = |action| move |cause| EngineError::io(action, path, cause);
        let meta = file.metadata().map_err(failed("read"))?;
        if !meta.is_file() {
            let cause = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
            return Err(failed("read")(cause));
        }
        let stamp = Stamp::of(&file).map_err(failed("read"))?;
        if stamp.length == 0 {
            return Ok(Self::Held(Vec::new()));
        }
        if cfg!(miri) {
            // Miri cannot map files.
            return std::fs::read(path).map(Self::Held).map_err(failed("read"));
        }
        let length = usize::try_from(stamp.length)
            .map_err(|_| failed("map")(std::io::Error::from(std::io::ErrorKind::FileTooLarge)))?;
        // SAFETY: the map is private and read-only, and the file is a regular one (checked above). No value is ever read from
        // it as anything but bytes that any content is valid for, so a change by another process can alter numbers and nothing
        // else; pages that the file loses are replaced by the handler below.
        let map = unsafe { MmapOptions::new().len(length).map_copy_read_only(&file) }.map_err(failed("map"))?;
        let region = RegionGuard::new(&map).map_err(failed("map"))?;
        Ok(Self::Mapped(Mapped { region, map, file, path: path.to_owned(), stamp }))
    }

    /// Fails when what was read so far need not be what the file held when it was opened.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the file has become shorter, or was written to.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let Self::Mapped(mapped) = self else { return Ok(()) };
        let now = Stamp::of(&mapped.file).map_err(|cause| EngineError::io("read", &mapped.path, cause))?;
        let what = if now.length < mapped.stamp.length {
            format!("it has become shorter while it was in use: {} bytes of {}", now.length, mapped.stamp.length)
        } else if now != mapped.stamp {
            "it was changed while it was in use".to_owned()
        } else if mapped.region.is_lost() {
            "parts of it cannot be read any more".to_owned()
        } else {
            return Ok(());
        };
        Err(EngineError::damaged(&mapped.path.display().to_string(), now.length, what))
    }

    /// The open file, when it is mapped.
    pub(crate) fn file(&self) -> Option<&File> {
        match self {
            Self::Mapped(mapped) => Some(&mapped.file),
            Self::Held(_) => None,
        }
    }

    /// Asks for large pages, which is a matter of speed alone: a system without them says no, and nothing is lost.
    pub(crate) fn ask_for_large_pages(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(mapped) = self {
            drop(mapped.map.advise(memmap2::Advice::HugePage));
        }
    }

    /// Lets go of the memory behind a range that is not needed soon; it is read again from the file when it is.
    pub(crate) fn let_go(&self, range: std::ops::Range<usize>) {
        let Self::Mapped(mapped) = self else { return };
        if range.end > mapped.map.len() || range.is_empty() {
            return;
        }
        // SAFETY: the map is private and was never written to, so that its pages hold nothing but what the file holds.
        let advised = unsafe {
            mapped.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.end - range.start)
        };
        // Memory that is kept a while longer does no harm.
        drop(advised);
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => &mapped.map,
            Self::Held(bytes) => bytes,
        }
    }
}

/// A range of addresses that belongs to a map. `start` is [`FREE`], [`CLAIMED`] or an address.
struct Region {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

/// No map has this region.
const FREE: usize = 0;
/// A map is about to have it.
const CLAIMED: usize = 1;

static REGIONS: [Region; REGIONS_MAX] =
    [const { Region { start: AtomicUsize::new(FREE), end: AtomicUsize::new(0), lost: AtomicBool::new(false) } };
        REGIONS_MAX];
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);
static PREVIOUS: PreviousAction = PreviousAction(std::cell::UnsafeCell::new(None));
static INSTALLED: Once = Once::new();

/// What was to be done on SIGBUS before.
struct PreviousAction(std::cell::UnsafeCell<Option<libc::sigaction>>);

// SAFETY: written once, inside `INSTALLED`, before the handler that reads it is in place; only read afterwards.
unsafe impl Sync for PreviousAction {}

/// Keeps a region as long as its map lives.
#[derive(Debug)]
struct RegionGuard(usize);

impl RegionGuard {
    fn new(map: &Mmap) -> std::io::Result<Self> {
        INSTALLED.call_once(install);
        let start = map.as_ptr() as usize;
        for (index, region) in REGIONS.iter().enumerate() {
            if region.start.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                region.lost.store(false, Ordering::Relaxed);
                region.end.store(start + map.len(), Ordering::Relaxed);
                region.start.store(start, Ordering::Release);
                return Ok(Self(index));
            }
        }
        Err(std::io::Error::other(format!("more than {REGIONS_MAX} model files are mapped at once")))
    }

    fn is_lost(&self) -> bool {
        REGIONS[self.0].lost.load(Ordering::SeqCst)
    }
}

impl Drop for RegionGuard {
    fn drop(&mut self) {
        REGIONS[self.0].start.store(FREE, Ordering::Release);
    }
}

/// Puts [`on_bus_error`] in the place of whatever handled SIGBUS before.
fn install() {
    // SAFETY: `sysconf` only reads. The structures are plain data for which zeros are valid, and `on_bus_error` has the
    // signature that SA_SIGINFO asks for; it runs on the thread's alternative stack where there is one.
    unsafe {
        if let Ok(bytes) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
            PAGE_BYTES.store(bytes.max(1), Ordering::Relaxed);
        }
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut previous) == 0 {
            *PREVIOUS.0.get() = Some(previous);
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        // Without the handler a lost page ends the process, as it would without this module.
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

/// Replaces the unreadable rest of one of our maps by zero pages; hands everything else to who was there before.
///
/// Does nothing but atomic reads and writes and system calls, as a signal handler must.
extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid pointer with SA_SIGINFO, and SIGBUS of a fault carries an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    if code > 0 && REGIONS.iter().any(|region| replace_rest(region, address)) {
        return;
    }
    // SAFETY: `PREVIOUS` was written before this handler was installed; an action that `sigaction` gave may be given back.
    unsafe {
        if let Some(previous) = &*PREVIOUS.0.get() {
            libc::sigaction(signal, previous, std::ptr::null_mut());
        } else {
            libc::signal(signal, libc::SIG_DFL);
        }
        // A fault comes again by itself when the instruction is repeated; a signal that was sent does not.
        if code <= 0 {
            libc::raise(signal);
        }
    }
}

/// Whether `address` lies in the region, and its pages from there on are zero pages now.
fn replace_rest(region: &Region, address: usize) -> bool {
    let (start, end) = (region.start.load(Ordering::Acquire), region.end.load(Ordering::Relaxed));
    if start <= CLAIMED || !(start..end).contains(&address) {
        return false;
    }
    region.lost.store(true, Ordering::SeqCst);
    let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
    let page = address / page_bytes * page_bytes;
    let length = end.next_multiple_of(page_bytes) - page;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the pages belong to a map of ours that lives as long as its region is listed, and that is only read from; the
    // map is unmapped as a whole later, whatever lies behind its addresses.
    let mapped = unsafe { libc::mmap(page as *mut libc::c_void, length, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::{Mutex, PoisonError};

    /// One test takes every region there is, and the others cannot have one meanwhile.
    static ALONE: Mutex<()> = Mutex::new(());

    fn file_of(length: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(&vec![7; length]).expect("it can be written");
        file
    }

    #[test]
    fn a_file_that_becomes_shorter_is_told_and_kills_nobody() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file_of(100_000);
        let bytes = FileBytes::map(file.path()).expect("it can be mapped");
        assert_eq!(bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 700_000);
        bytes.check().expect("nothing has changed");
        file.as_file().set_len(10_000).expect("it can be cut");
        assert!(bytes.check().is_err_and(|error| error.to_string().contains("shorter")));
        let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 70_000, "the pages that are gone read as zeros");
        // The same length again: what is lost stays lost.
        file.as_file().set_len(100_000).expect("it can be made longer");
        assert!(bytes.check().is_err());
        drop(bytes);
        FileBytes::map(file.path()).expect("it can be mapped anew").check().expect("it is another map");
    }

    #[test]
    fn a_file_that_is_written_to_is_told() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file_of(5_000);
        let bytes = FileBytes::map(file.path()).expect("it can be mapped");
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        file.as_file().set_modified(later).expect("the time can be set");
        assert!(bytes.check().is_err_and(|error| error.to_string().contains("changed")));
    }

    #[test]
    fn more_maps_than_regions_are_refused_and_regions_come_back() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file_of(10);
        let maps: Vec<_> = (0..=REGIONS_MAX).map_while(|_| FileBytes::map(file.path()).ok()).collect();
        assert!(!maps.is_empty() && maps.len() <= REGIONS_MAX);
        assert!(FileBytes::map(file.path()).is_err());
        drop(maps);
        assert!(FileBytes::map(file.path()).is_ok());
    }

    #[test]
    fn pages_that_were_let_go_are_read_again() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file_of(50_000);
        let bytes = FileBytes::map(file.path()).expect("it can be mapped");
        bytes.let_go(4096..50_000);
        bytes.let_go(0..1 << 40);
        assert!(bytes.iter().all(|&byte| byte == 7));
    }
}
