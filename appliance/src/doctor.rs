//! Checks of an installation.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cloister_airgap::keys::INSTALLATION_KEY_FILE;
use cloister_airgap::models::ModelStore;
use cloister_ingest::{NO_LANDLOCK, ReaderCommand};

use crate::audit::KEYS_FOLDER;
use crate::{Appliance, Config, Error};

/// Free bytes below which the disk is called full.
const DISK_FREE_MIN: u64 = 1 << 30;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Short stable name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do when it does not hold.
    pub mend: Option<String>,
}

impl Check {
    fn new(name: &str, ok: bool, detail: impl Into<String>, mend: &str) -> Self {
        let mend = (!ok && !mend.is_empty()).then(|| mend.to_owned());
        Self { name: name.to_owned(), ok, detail: detail.into(), mend }
    }
}

impl Appliance {
    /// All checks of an open appliance. Hashes the models that are in use; takes seconds.
    pub fn doctor(&self) -> Vec<Check> {
        let mut checks =
            vec![Check::new("data directory", true, format!("{} is open", self.config.data_dir.display()), "")];
        checks.extend(outside(&self.config));
        checks.push(clock(self));
        for check in self.store.verify() {
            checks.push(Check::new(check.name, check.ok, check.detail, check.mend));
        }
        checks.push(vectors(self));
        checks.push(audit(self));
        checks
    }
}

/// The checks that need no open data directory; with the error when opening it failed.
pub fn doctor_closed(config: &Config, why: &Error) -> Vec<Check> {
    let mend = match why {
        Error::InUse(_) => "stop the other process, or ask it",
        Error::Damaged(_) => "restore the data directory from a backup",
        Error::DiskFull(_) => "free some space",
        _ => "mend the cause and try again",
    };
    let mut checks = vec![Check::new("data directory", false, why.to_string(), mend)];
    checks.extend(outside(config));
    checks
}

fn outside(config: &Config) -> Vec<Check> {
    let mut checks = vec![disk(config), key(config)];
    for (role, id) in [("generator", config.generator()), ("embedder", config.embedder.as_str())] {
        checks.push(model(config, role, id));
    }
    checks.push(processor());
    checks.push(sandbox(config));
    checks
}

/// Free bytes on the disk of a path, as an unprivileged process may use them.
pub(crate) fn disk_free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn disk(config: &Config) -> Check {
    let Some(free) = disk_free_bytes(&config.data_dir) else {
        return Check::new("disk", false, "the free space cannot be told", "see that the data directory exists");
    };
    let detail = format!("{} MiB free", free >> 20);
    Check::new("disk", free >= DISK_FREE_MIN, detail, "free some space: at least 1 GiB should be left")
}

fn key(config: &Config) -> Check {
    let path = config.data_dir.join(KEYS_FOLDER).join(INSTALLATION_KEY_FILE);
    match std::fs::metadata(&path) {
        Err(error) => {
            Check::new("installation key", false, error.to_string(), "it is made when the appliance is opened")
        }
        Ok(meta) => {
            let mode = meta.permissions().mode() & 0o777;
            let mend = "take the rights of group and others away: chmod 600";
            Check::new("installation key", mode.trailing_zeros() >= 6, format!("mode {mode:03o}"), mend)
        }
    }
}

fn model(config: &Config, role: &str, id: &str) -> Check {
    let name = format!("model {role}");
    let store = ModelStore::new(&config.models_dir);
    let path = match store.resolve(id) {
        Ok(path) => path,
        Err(error) => {
            return Check::new(&name, false, error.to_string(), &store.remedy(id));
        }
    };
    if let Err(error) = cloister_engine::ModelInfo::inspect(&path) {
        return Check::new(&name, false, format!("{id}: {error}"), &store.remedy(id));
    }
    match store.verify(id) {
        Ok(_) => Check::new(&name, true, format!("{id}: every hash is as it must be"), ""),
        Err(error) if Path::new(id).exists() => Check::new(&name, true, format!("{id}: taken by path, {error}"), ""),
        Err(error) => Check::new(&name, false, format!("{id}: {error}"), &store.remedy(id)),
    }
}

fn processor() -> Check {
    #[cfg(target_arch = "x86_64")]
    let (ok, found) = {
        let wide = std::arch::is_x86_feature_detected!("avx512vnni") && std::arch::is_x86_feature_detected!("avx512bw");
        let usual = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        (
            usual,
            if wide {
                "AVX-512 with VNNI"
            } else if usual {
                "AVX2"
            } else {
                "neither AVX2 nor AVX-512"
            },
        )
    };
    #[cfg(not(target_arch = "x86_64"))]
    let (ok, found) = (true, "portable kernels");
    Check::new("processor", ok, found, "answers will be slow: use a processor with AVX2")
}

/// Which fences a reader child puts up here, asked of one that is started on an empty file.
fn sandbox(config: &Config) -> Check {
    let reader = ReaderCommand { executable: config.executable.clone(), limits: config.read_limits.clone() };
    let read = tempfile::tempfile()
        .map_err(|error| error.to_string())
        .and_then(|empty| reader.read(&empty, "empty.txt", &|| false, &mut |_| {}).map_err(|error| error.to_string()));
    fences(read.map(|report| report.warnings))
}

/// The check for what a reader child said it lacks.
fn fences(missing: Result<Vec<String>, String>) -> Check {
    const NAME: &str = "reader sandbox";
    match missing {
        Err(error) => Check::new(NAME, false, error, "install the program again: the reader is a part of it"),
        Ok(missing) if missing.is_empty() => {
            Check::new(NAME, true, "limits, Landlock and system call filters hold", "")
        }
        Ok(missing) => {
            // Files and network are closed by the filters too, so a kernel without Landlock is no fault.
            let ok = missing.iter().all(|warning| warning == NO_LANDLOCK);
            let detail = if ok { "limits and system call filters hold" } else { "not all fences hold" };
            let mend = "use a kernel with seccomp, better also with Landlock (5.13 or newer)";
            Check::new(NAME, ok, format!("{detail}; {}", missing.join("; ")), mend)
        }
    }
}

/// The clock must not stand before the last record of the log.
fn clock(appliance: &Appliance) -> Check {
    let now = appliance.now_text();
    let newest = crate::audit::newest_time(appliance).unwrap_or_default();
    let ok = newest <= now;
    Check::new(
        "clock",
        ok,
        format!("{now}, last record {newest}"),
        "set the machine's clock: it stands before the last audit record",
    )
}

fn vectors(appliance: &Appliance) -> Check {
    const NAME: &str = "vectors of passages";
    match appliance.store.figures() {
        Err(error) => Check::new(NAME, false, error.to_string(), "run doctor again, then restore from a backup"),
        Ok(figures) => {
            let missing = figures.passages_without_vector;
            let detail = format!("{} passages, {missing} without a vector", figures.passages);
            Check::new(NAME, missing == 0, detail, "start the appliance with the embedding model: it fills them in")
        }
    }
}

fn audit(appliance: &Appliance) -> Check {
    let mend = "keep the data directory as it is and compare with an export; the log was changed or damaged";
    match appliance.journal.verify() {
        Ok(verdict) if verdict.ok => {
            let detail = format!("{} records, signed by {}", verdict.records, verdict.signed_by);
            Check::new("audit log", true, detail, "")
        }
        Ok(verdict) => {
            let bad = verdict.bad.map(|bad| format!("record {:?}: {}", bad.seq, bad.why)).unwrap_or_default();
            Check::new("audit log", false, bad, mend)
        }
        Err(error) => Check::new("audit log", false, error.to_string(), mend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_that_are_missing_are_told() {
        let rows = [
            (Ok(Vec::new()), true, "Landlock and"),
            (Ok(vec![NO_LANDLOCK.to_owned()]), true, "no Landlock"),
            (Ok(vec![NO_LANDLOCK.to_owned(), "no filter".to_owned()]), false, "no filter"),
            (Err("no reader".to_owned()), false, "no reader"),
        ];
        for (missing, ok, part) in rows {
            let check = fences(missing);
            assert!(check.ok == ok && check.mend.is_none() == ok && check.detail.contains(part), "{check:?}");
        }
    }
}
