//! Giving up rights: limits of the process, no files, no network, few system calls.
//!
//! Each fence is put up as far as the kernel has it; what is missing is told as a warning, because a reader without one
//! fence is still better than none.

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreated, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};

use crate::event::ReadLimits;

/// Open descriptors that the child may have: the three standard ones and a little room.
const DESCRIPTORS_MAX: u64 = 16;
/// Seconds of processor time beyond the time on the clock, so that the parent's clock decides first.
const CPU_GRACE_S: u64 = 5;

/// Sets the limits of the process and closes the file system and the network; to be called before threads are started.
pub(super) fn limit_process(limits: &ReadLimits) -> Vec<String> {
    let mut warnings = Vec::new();
    let cpu = limits.total_ms / 1000 + CPU_GRACE_S;
    let rows = [
        ("memory", Resource::As, limits.memory_bytes),
        ("processor time", Resource::Cpu, cpu),
        ("open files", Resource::Nofile, DESCRIPTORS_MAX),
        ("written files", Resource::Fsize, 0),
        ("core files", Resource::Core, 0),
    ];
    for (what, resource, most) in rows {
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }) {
            warnings.push(format!("the limit of {what} could not be set: {error}"));
        }
    }
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        warnings.push(format!("new privileges could not be ruled out: {error}"));
    }
    if let Some(warning) = close_files() {
        warnings.push(warning);
    }
    warnings
}

/// Landlock without a single path: nothing can be opened any more; no sockets, no signals to others.
fn close_files() -> Option<String> {
    let abi = ABI::V6;
    let closed = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(RulesetCreated::restrict_self)
        .map(|status| status.ruleset);
    match closed {
        Ok(RulesetStatus::NotEnforced) => {
            Some("the kernel has no Landlock; files are closed by system call filter only".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("Landlock could not be set up: {error}")),
    }
}

/// Puts up the system call filter for all threads of the process.
pub(super) fn filter_calls() -> Option<String> {
    let filters = deadly().and_then(|deadly| Ok([deadly, allowed()?]));
    let filters = match filters {
        Ok(filters) => filters,
        Err(error) => return Some(format!("the system call filter could not be built: {error}")),
    };
    for filter in &filters {
        if let Err(error) = seccompiler::apply_filter_all_threads(filter) {
            return Some(format!("the system call filter could not be set up: {error}"));
        }
    }
    None
}

fn arch() -> Result<TargetArch, seccompiler::BackendError> {
    TargetArch::try_from(std::env::consts::ARCH)
}

fn compile(
    calls: &[i64],
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let rules: BTreeMap<i64, Vec<SeccompRule>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    SeccompFilter::new(rules, otherwise, action, arch()?)?.try_into()
}

/// Calls that no parser makes by mistake: the process is killed at once.
fn deadly() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
    ];
    compile(&calls, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Calls that the allocator, the threads already running and the pipe need; all others are refused with EPERM.
fn allowed() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = [
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_statx,
        libc::SYS_newfstatat,
        libc::SYS_lseek,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_getrandom,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_ppoll,
    ];
    compile(&calls, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}
