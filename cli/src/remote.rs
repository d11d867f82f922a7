//! Commands carried out by the server that holds the data directory, over its socket `DIR/cloister.sock`.
//!
//! The client sends one line of JSON, [`Order`]; the server answers frames: one byte of kind, four of length (little-endian), the bytes. Kinds
//! are standard output, standard error and the exit code. The socket is readable and writable by its owner only. A client that
//! goes away cancels its command.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use cloister_appliance::{Appliance, Caller, CancelFlag};
use serde::{Deserialize, Serialize};

use crate::args::{Cli, Command, DataCommand};
use crate::context::{Context, ReaderGone, Usage, given_up};
use crate::{commands, report};

/// Name of the socket in the data directory.
pub(crate) const SOCKET: &str = "cloister.sock";

/// Name of the file that tells the address of the page while a server runs.
const ADDRESS: &str = "cloister.address";

/// Bytes of an order: arguments and standard input.
const ORDER_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a frame.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Commands at once; more wait in the socket's queue.
const COMMANDS_MAX: usize = 16;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;

/// What the server is asked to do.
#[derive(Serialize, Deserialize)]
struct Order {
    arguments: Vec<String>,
    cwd: PathBuf,
    terminal: bool,
    umask: u32,
    stdin: String,
}

/// Has the command carried out by the server on `data`, if there is one; `None` when there is none.
pub(crate) fn forward(data: &Path, command: &DataCommand, ctx: &mut Context<'_>) -> Result<Option<u8>> {
    let Some(mut stream) = connect(data) else { return Ok(None) };
    let mut stdin = String::new();
    if commands::reads_stdin(command) {
        ctx.stdin
            .by_ref()
            .take(ORDER_BYTES_MAX / 2)
            .read_to_string(&mut stdin)
            .context("cannot read standard input")?;
    }
    let arguments = std::env::args_os()
        .map(|word| word.into_string().map_err(|_| Usage("arguments must be UTF-8 while a server runs".to_owned())))
        .collect::<Result<Vec<_>, _>>()?;
    let order = Order { arguments, cwd: ctx.cwd.clone(), terminal: ctx.terminal, umask: ctx.umask, stdin };
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    // In words alone: the server's end of the pipe is not the one that may break in silence.
    stream.write_all(&line).map_err(|error| {
        anyhow!("the server on this data directory went away before it had the command, nothing was done: {error}")
    })?;
    relay(&mut BufReader::new(stream), commands::changes_step_by_step(command), ctx).map(Some)
}

fn connect(data: &Path) -> Option<UnixStream> {
    let folder = File::open(data).ok()?;
    UnixStream::connect(short_path(&folder)).ok()
}

/// Where the server on `data` serves its page, when one runs: its address, or words in its place.
pub(crate) fn running(data: &Path) -> Option<String> {
    connect(data)?;
    let told = fs::read_to_string(data.join(ADDRESS)).ok().filter(|text| !text.trim().is_empty());
    Some(told.map_or_else(|| "at an address that it did not note".to_owned(), |text| format!("at {}", text.trim())))
}

/// The socket's path by way of its open folder: the address of a socket holds 107 bytes only, a data directory's path may be longer.
fn short_path(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET)
}

/// Passes frames on until the exit code comes. When nobody reads the output any more, a command that only tells is left; one that
/// changes things step by step is cancelled and its end waited for, since its exit code says whether all steps were done.
fn relay(frames: &mut BufReader<UnixStream>, changes: bool, ctx: &mut Context<'_>) -> Result<u8> {
    let mut gone = false;
    loop {
        let mut head = [0; 5];
        frames.read_exact(&mut head).context("the server ended before the command did")?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        anyhow::ensure!(length <= FRAME_BYTES_MAX, "the server sent a frame of {length} bytes");
        let mut bytes = vec![0; length];
        frames.read_exact(&mut bytes).context("the server ended before the command did")?;
        match head[0] {
            STDOUT | STDERR if gone => {}
            STDOUT => match ctx.put(&bytes) {
                Err(error) if changes && error.is::<ReaderGone>() => {
                    gone = true;
                    frames.get_ref().shutdown(Shutdown::Write).map_err(|_| given_up(error))?;
                }
                told => told?,
            },
            // What stands beside the results is a courtesy: nobody listening is no reason to stop.
            STDERR => drop(ctx.stderr.write_all(&bytes)),
            EXIT if gone && bytes != [0] => return Err(given_up(ReaderGone.into())),
            EXIT => return Ok(bytes.first().copied().unwrap_or(1)),
            kind => anyhow::bail!("the server sent a frame of unknown kind {kind}"),
        }
    }
}

/// The socket while a server runs; removed when dropped.
pub(crate) struct Socket {
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A socket that stays behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.path.with_file_name(ADDRESS));
    }
}

/// Opens the socket and carries out commands on threads of their own until the process ends.
pub(crate) fn listen(data: &Path, page: &str, appliance: &Arc<Appliance>, threads: usize) -> Result<Socket> {
    let path = data.join(SOCKET);
    // The appliance is open, so this process alone holds the directory: a socket that lies here is a dead one.
    let _ = fs::remove_file(&path);
    let listener = File::open(data)
        .and_then(|folder| UnixListener::bind(short_path(&folder)))
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let address = data.join(ADDRESS);
    fs::write(&address, page).with_context(|| format!("cannot write {}", address.display()))?;
    let appliance = Arc::clone(appliance);
    let free = Arc::new(Places::new(COMMANDS_MAX));
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let (appliance, place) = (Arc::clone(&appliance), free.take());
            let spawned = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
                let _place = place;
                serve(stream, &appliance, threads);
            });
            drop(spawned);
        }
    })?;
    Ok(Socket { path })
}

/// Carries out one order. A client that cannot be written to is gone; there is nobody to tell.
fn serve(stream: UnixStream, appliance: &Arc<Appliance>, threads: usize) {
    let Ok(out) = stream.try_clone() else { return };
    // Who speaks is asked of the kernel: what a client says of itself would end in the audit log unproven.
    let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream) else { return };
    let user = crate::outside::user_name(peer.uid.as_raw());
    let mut input = BufReader::new(stream);
    let mut line = Vec::new();
    if input.by_ref().take(ORDER_BYTES_MAX).read_until(b'\n', &mut line).is_err() {
        return;
    }
    let cancel = CancelFlag::new();
    let code = match serde_json::from_slice::<Order>(&line) {
        Ok(order) => {
            cancel_when_gone(input, cancel.clone());
            carry_out(&order, &Server { user: &user, appliance, threads }, &out, cancel)
        }
        Err(error) => {
            let _ =
                Frames { kind: STDERR, stream: &out }.write_all(format!("error: not an order: {error}\n").as_bytes());
            2
        }
    };
    let _ = Frames { kind: EXIT, stream: &out }.write_all(&[code]);
    let _ = out.shutdown(Shutdown::Both);
}

/// The client sends nothing after its order: the end of its stream means that it is gone.
fn cancel_when_gone(mut input: BufReader<UnixStream>, cancel: CancelFlag) {
    let watch = move || {
        let _ = io::copy(&mut input, &mut io::sink());
        cancel.cancel();
    };
    drop(std::thread::Builder::new().name("command watch".to_owned()).spawn(watch));
}

/// Who asks, and what there is to answer with.
struct Server<'a> {
    user: &'a str,
    appliance: &'a Arc<Appliance>,
    threads: usize,
}

fn carry_out(order: &Order, server: &Server<'_>, out: &UnixStream, cancel: CancelFlag) -> u8 {
    let (mut stdout, mut stderr) = (Frames { kind: STDOUT, stream: out }, Frames { kind: STDERR, stream: out });
    let cli = match Cli::read(&order.arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = stderr.write_all(error.to_string().as_bytes());
            return 2;
        }
    };
    let Command::Data(command) = &cli.command else {
        let _ = stderr.write_all(b"error: this command is not one for the server\n");
        return 2;
    };
    let ended = commands::data(
        command,
        server.appliance,
        &mut Context {
            stdout: &mut stdout,
            stderr: &mut Frames { kind: STDERR, stream: out },
            stdin: Box::new(order.stdin.as_bytes()),
            cwd: order.cwd.clone(),
            json: cli.global.json,
            umask: order.umask,
            terminal: order.terminal,
            threads: server.threads,
            cancel,
            caller: Caller::operator(server.user),
        },
    );
    report(ended, &mut stderr)
}

/// Writes whatever is written to it as frames of one kind.
struct Frames<'a> {
    kind: u8,
    stream: &'a UnixStream,
}

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
        let mut frame = Vec::with_capacity(piece.len() + 5);
        frame.push(self.kind);
        frame.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        frame.extend_from_slice(piece);
        let mut stream = self.stream;
        stream.write_all(&frame)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A number of places, each given back when its token is dropped.
struct Places {
    free: std::sync::Mutex<usize>,
    given_back: std::sync::Condvar,
}

struct Place(Arc<Places>);

impl Places {
    fn new(count: usize) -> Self {
        Self { free: std::sync::Mutex::new(count), given_back: std::sync::Condvar::new() }
    }

    /// Waits for a free place and takes it.
    fn take(self: &Arc<Self>) -> Place {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while *free == 0 {
            free = self.given_back.wait(free).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *free -= 1;
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}
