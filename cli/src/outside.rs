//! The world outside: clock, randomness, system user, memory, processors. Everything below takes them as arguments.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::bundle::MANIFEST_PATH;
use cloister_appliance::{Clock, Config, Random};
use rustix::fs::Mode;

use crate::args::Global;

/// Memory left to everything else when it is asked whether a model fits.
const MEMORY_RESERVE_BYTES: u64 = 256 << 20;

/// The umask under which only the owner may use what is made.
const OWNER_ALONE: Mode = Mode::from_raw_mode(0o077);

/// The configuration for these options and this machine.
pub(crate) fn config(global: &Global) -> Result<Config> {
    let executable = std::env::current_exe().context("cannot find this program's own file")?;
    let mut config = Config::new(absolute(&global.data)?, absolute(&global.models)?, executable, clock(), random());
    config.threads = threads(global);
    config.memory_available_bytes = memory_available_bytes();
    config.boot_id = boot_id();
    Ok(config)
}

fn absolute(path: &std::path::Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot tell where {} is", path.display()))
}

/// Threads for model work: as asked, or the processors that this process may use.
pub(crate) fn threads(global: &Global) -> usize {
    let processors = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    global.threads.unwrap_or_else(processors).clamp(1, 64)
}

fn clock() -> Clock {
    Arc::new(time::OffsetDateTime::now_utc)
}

/// The kernel's source of randomness.
pub(crate) fn random() -> Random {
    Arc::new(|buffer: &mut [u8]| {
        fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(buffer))
            .expect("without the kernel's randomness no key can be made, and going on would be worse than stopping");
    })
}

/// Bytes of memory that models may take: what the kernel calls available, less a reserve.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib * 1024).saturating_sub(MEMORY_RESERVE_BYTES))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Rights that are taken from what this process makes, as whoever started it wants it. Asked while there is one thread only.
pub(crate) fn umask() -> u32 {
    let wanted = rustix::process::umask(OWNER_ALONE);
    rustix::process::umask(wanted);
    wanted.as_raw_mode()
}

/// From here on everything that this process makes is its owner's alone.
pub(crate) fn keep_private() {
    rustix::process::umask(OWNER_ALONE);
}

/// Where data lies when nothing else is said: with an installed program in its installation, otherwise here.
pub(crate) fn data_default() -> PathBuf {
    let prefix = installed_version().and_then(|version| Some(version.parent()?.parent()?.to_owned()));
    prefix.map_or_else(|| "./data".into(), |prefix| prefix.join("data"))
}

/// Where models lie when nothing else is said: an installed program has its own.
pub(crate) fn models_default() -> PathBuf {
    installed_version().map_or_else(|| "./models".into(), |version| version.join("models"))
}

/// The folder PREFIX/versions/VERSION that this program was installed in, if it was.
fn installed_version() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let version = program.parent()?.parent()?;
    let is_installed = version.parent()?.ends_with("versions") && version.join(MANIFEST_PATH).is_file();
    is_installed.then(|| version.to_owned())
}

/// The name of the user that this process runs as, or its number.
pub(crate) fn system_user() -> String {
    fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |own| user_name(own.uid()))
}

/// The name of a user of the system, or his number where it has none.
pub(crate) fn user_name(uid: u32) -> String {
    let listed = fs::read_to_string("/etc/passwd").unwrap_or_default();
    listed
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string())
}
