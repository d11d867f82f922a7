//! Giving up rights: limits of the process, no files, no network, few system calls.
//!
//! Each fence is put up as far as the kernel has it; what is missing is told as a warning, because a reader without one
//! fence is still better than none.

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreated, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::event::{NO_LANDLOCK, ReadLimits};

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
        Ok(RulesetStatus::NotEnforced) => Some(NO_LANDLOCK.to_owned()),
        Ok(_) => None,
        Err(error) => Some(format!("Landlock could not be set up: {error}")),
    }
}

/// Puts up the system call filters for all threads of the process: each as far as it goes, whatever becomes of the other.
pub(super) fn filter_calls() -> Vec<String> {
    let filters = [("forbidden", deadly()), ("allowed", allowed(std::process::id()))];
    filters.into_iter().filter_map(|(what, filter)| filter_of(what, filter)).collect()
}

fn filter_of(what: &str, filter: Result<BpfProgram, BackendError>) -> Option<String> {
    let put_up = match filter {
        Ok(filter) => seccompiler::apply_filter_all_threads(&filter).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    put_up.err().map(|error| format!("the filter of {what} system calls could not be set up: {error}"))
}

fn arch() -> Result<TargetArch, BackendError> {
    TargetArch::try_from(std::env::consts::ARCH)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Rules that hold for calls whatever their arguments.
fn rules(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn compile(rules: Rules, otherwise: SeccompAction, action: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, action, arch()?)?.try_into()
}

/// Calls that no parser makes by mistake: the process is killed at once.
fn deadly() -> Result<BpfProgram, BackendError> {
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
    compile(rules(&calls), SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Calls that the allocator, the threads already running and the pipe need; all others are refused with EPERM. Signals go to
/// the process `own` alone, which ends itself by one where it aborts.
fn allowed(own: u32) -> Result<BpfProgram, BackendError> {
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
    let mut rules = rules(&calls);
    let to_own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(own))?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![to_own])?]);
    compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

#[cfg(test)]
mod tests {
    //! The test program runs itself again as a child that puts up the fences and then tries what they forbid.

    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;

    /// Says to the test below that it runs as the child, and what to try.
    const TRIAL: &str = "CLOISTER_INGEST_FENCE_TRIAL";

    #[test]
    fn trial() {
        let Ok(what) = std::env::var(TRIAL) else { return };
        let limits = ReadLimits { memory_bytes: 512 << 20, ..ReadLimits::default() };
        let mut missing = limit_process(&limits);
        missing.extend(filter_calls());
        let told = match what.as_str() {
            "open" => format!("{:?}", std::fs::read("/etc/passwd").map_err(|e| e.kind())),
            "write" => format!("{:?}", std::fs::write("/tmp/fence-trial", "x").map_err(|e| e.kind())),
            "socket" => format!("{:?}", std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ())),
            "program" => format!("{:?}", Command::new("/bin/true").status().map_err(|e| e.kind())),
            "abort" => std::process::abort(),
            "memory" => {
                let mut bytes: Vec<u8> = Vec::new();
                format!("{:?}", bytes.try_reserve_exact(600 << 20).is_err())
            }
            _ => {
                // What parsing needs still works: memory, threads' locks, time, output.
                let sum: usize = (0..200).map(|n| vec![n as u8; 1 << 20].len()).sum();
                format!("{sum} {:?}", std::time::Instant::now().elapsed().as_secs())
            }
        };
        let mut out = std::io::stdout();
        let text = format!("<told>{told}|{}</told>", missing.len());
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).expect("the pipe takes the answer");
    }

    fn run(what: &str) -> (Output, String) {
        let own = std::env::current_exe().expect("the test program has a path");
        let output = Command::new(own)
            .args(["--exact", "reader::fences::tests::trial", "--nocapture", "--test-threads", "1"])
            .env(TRIAL, what)
            .output()
            .expect("the test program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = text.split("<told>").nth(1).and_then(|t| t.split("</told>").next()).unwrap_or("").to_owned();
        (output, told)
    }

    #[test]
    fn what_is_fenced_off_cannot_be_done() {
        let (output, told) = run("nothing");
        let Some((told, missing)) = told.split_once('|') else { panic!("the child said nothing: {output:?}") };
        assert_eq!(told, "209715200 0");
        assert_eq!(run("memory").1.split('|').next(), Some("true"));
        if missing != "0" {
            println_passed_over(missing);
            return;
        }
        assert_eq!(run("open").1, "Err(PermissionDenied)|0");
        assert_eq!(run("write").1, "Err(PermissionDenied)|0");
        // Sockets end the process; programs are refused before they would, because no process can be made.
        let (socket, _) = run("socket");
        assert_eq!(socket.status.signal(), Some(libc::SIGSYS), "{socket:?}");
        // A signal to itself, by which a process aborts, goes through.
        assert_eq!(run("abort").0.status.signal(), Some(libc::SIGABRT));
        let (program, told) = run("program");
        assert!(program.status.signal() == Some(libc::SIGSYS) || told.starts_with("Err("), "{program:?}");
    }

    /// What a filter says to a call with this first argument.
    fn verdict(program: &BpfProgram, call: i64, argument: u64) -> u32 {
        let audit_arch: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };
        let (mut at, mut value) = (0, 0_u32);
        for _ in 0..program.len() {
            let step = &program[at];
            let taken = match step.code {
                // Load a word of the call: its number, the architecture, the halves of its first argument.
                0x20 => {
                    value = match step.k {
                        0 => call as u32,
                        4 => audit_arch,
                        16 => argument as u32,
                        20 => (argument >> 32) as u32,
                        other => panic!("word {other} is loaded"),
                    };
                    at += 1;
                    continue;
                }
                0x05 => {
                    at += 1 + step.k as usize;
                    continue;
                }
                0x06 => return step.k,
                0x15 => value == step.k,
                0x25 => value > step.k,
                0x35 => value >= step.k,
                other => panic!("instruction {other:#x}"),
            };
            at += 1 + usize::from(if taken { step.jt } else { step.jf });
        }
        panic!("the filter has no end");
    }

    #[test]
    fn signals_reach_the_own_process_alone() {
        let filter = allowed(4_711).expect("the filter can be built");
        let (allow, refuse) = (0x7fff_0000, 0x0005_0000 | libc::EPERM as u32);
        assert_eq!(verdict(&filter, libc::SYS_tgkill, 4_711), allow);
        assert_eq!(verdict(&filter, libc::SYS_tgkill, 4_712), refuse);
        assert_eq!(verdict(&filter, libc::SYS_tgkill, 1), refuse);
        assert_eq!(verdict(&filter, libc::SYS_kill, 4_711), refuse);
        assert_eq!(verdict(&filter, libc::SYS_read, 1), allow);
    }

    #[test]
    fn a_filter_that_cannot_be_built_is_told_and_stops_no_other() {
        let told = filter_of("allowed", Err(BackendError::EmptyRule));
        assert!(told.is_some_and(|warning| warning.contains("allowed system calls")));
    }

    #[expect(clippy::print_stdout, reason = "tests that are passed over say so")]
    fn println_passed_over(missing: &str) {
        println!("passed over: fences ({missing} of them are missing on this machine)");
    }
}
