//! The parent side: starts children, takes their frames, keeps the clock, and starts anew after a page that broke one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::READER_SUBCOMMAND;
use super::child::Order;
use super::frame::{Frame, Note, read_frame};
use crate::event::{FaultCode, IngestError, ReadEvent, ReadLimits, ReadReport};
use crate::page::Page;
use crate::read::{Fault, Selection};

/// Frames waiting between the pipe and the caller.
const FRAMES_WAITING: usize = 4;
/// How often the caller is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);
/// How long a child may take to end after its last frame.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes kept of what a child says on its standard error.
const LAST_WORDS: usize = 8 << 10;
/// Most warnings taken from a child.
const WARNINGS_MAX: usize = 16;

/// Starts reader children.
#[derive(Debug, Clone)]
pub struct ReaderCommand {
    /// The program that calls [`crate::reader_main`] when its first argument is [`READER_SUBCOMMAND`].
    pub executable: PathBuf,
    /// What a reading may use.
    pub limits: ReadLimits,
}

impl ReaderCommand {
    /// Reads a file through a child process and passes on what it tells.
    ///
    /// Never fails for what the file holds: that ends in a `Failed` event. Pages come in ascending order; one that broke the
    /// child is tried once more by a fresh child, then reported as failed, and the others go on. `cancel` is asked several
    /// times a second; when it says yes the child is killed. Time spent in `on_event` is not counted against the limits.
    pub fn read(
        &self,
        file: &File,
        name: &str,
        cancel: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(ReadEvent),
    ) -> Result<ReadReport, IngestError> {
        let extension = Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase());
        let extension: String =
            extension.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(10).collect();
        let mut reading = Reading::new(&self.limits, on_event);
        loop {
            let order =
                Order { limits: self.limits.clone(), extension: extension.clone(), selection: reading.selection() };
            let mut running = Running::start(&self.executable, file, &order)?;
            reading.report.starts += 1;
            let end = reading.follow(&mut running, cancel)?;
            let end = match end {
                End::Told => return Ok(reading.close(None)),
                End::Broken(fault) => fault,
                End::Gone => running.post_mortem(self.limits.memory_bytes),
            };
            drop(running);
            if let Some(fault) = reading.after_break(end) {
                return Ok(reading.close(Some(fault)));
            }
        }
    }
}

impl ReaderCommand {
    /// Reads a file and throws away what it tells; for measuring.
    pub fn count(&self, file: &File, name: &str) -> Result<ReadReport, IngestError> {
        self.read(file, name, &|| false, &mut |_| {})
    }
}

/// How a child ended.
enum End {
    /// With a last frame.
    Told,
    /// By us: out of time, or what it sent was no frame.
    Broken(Fault),
    /// By itself without a last frame.
    Gone,
}

/// A running child and the threads at its pipes. Dropping it kills and reaps the child.
struct Running {
    child: Child,
    frames: Option<Receiver<std::io::Result<Frame>>>,
    pump: Option<JoinHandle<()>>,
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    fn start(executable: &Path, file: &File, order: &Order) -> Result<Running, IngestError> {
        let io = |attempt| move |source| IngestError::Io { attempt, source };
        let input = file.try_clone().map_err(io("hand the file to the reader"))?;
        let order_text =
            serde_json::to_string(order).map_err(std::io::Error::from).map_err(io("write the reader's order"))?;
        let start = |source| IngestError::Start { executable: executable.to_owned(), source };
        let mut child = Command::new(executable)
            .arg(READER_SUBCOMMAND)
            .arg(order_text)
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, frames) = sync_channel(FRAMES_WAITING);
        let limits = order.limits.clone();
        let mut running = Running { child, frames: Some(frames), pump: None, words: None };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let pump = thread("reader-frames").spawn(move || {
            if let Some(out) = stdout {
                pump(&mut BufReader::new(out), &limits, &sender);
            }
        });
        running.pump = Some(pump.map_err(io("start a thread for the reader"))?);
        let words = thread("reader-words").spawn(move || stderr.map(last_words).unwrap_or_default());
        running.words = Some(words.map_err(io("start a thread for the reader"))?);
        Ok(running)
    }

    /// Waits for a child whose pipe has ended; kills it where it lingers.
    fn wait(&mut self) -> Option<ExitStatus> {
        let since = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if since.elapsed() < FAREWELL => std::thread::park_timeout(Duration::from_millis(2)),
                _ => {
                    let _gone_already = self.child.kill();
                    return self.child.wait().ok();
                }
            }
        }
    }

    /// Why a child ended without saying so.
    fn post_mortem(&mut self, memory_bytes: u64) -> Fault {
        let status = self.wait();
        let words = self.words.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        if words.contains("memory allocation of") {
            let message = format!("it needs more memory than the {} MiB allowed", memory_bytes >> 20);
            return Fault::new(FaultCode::Limit, message);
        }
        if words.contains("overflowed its stack") {
            return Fault::new(FaultCode::Crashed, "the reader ran out of stack; the file nests too deeply");
        }
        match status.and_then(|s| s.signal()) {
            Some(libc::SIGXCPU) => Fault::new(FaultCode::Limit, "it needs more processor time than allowed"),
            Some(libc::SIGKILL) => {
                Fault::new(FaultCode::Limit, "the system ended the reader, most likely for want of memory")
            }
            Some(libc::SIGSYS) => Fault::new(FaultCode::Crashed, "the reader made a forbidden system call"),
            Some(signal) => Fault::new(FaultCode::Crashed, format!("the reader was ended by signal {signal}")),
            None => {
                let code = status.and_then(|s| s.code()).map_or_else(|| "unknown".to_owned(), |c| c.to_string());
                Fault::new(FaultCode::Crashed, format!("the reader ended with code {code}"))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped_already = self.child.wait();
        // The pump must not wait for a receiver that no longer takes frames.
        self.frames = None;
        for thread in [self.pump.take()].into_iter().flatten() {
            let _panicked = thread.join();
        }
        if let Some(words) = self.words.take() {
            let _panicked = words.join();
        }
    }
}

fn pump(input: &mut dyn Read, limits: &ReadLimits, sender: &SyncSender<std::io::Result<Frame>>) {
    loop {
        let message = match read_frame(input, limits) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = message.is_err();
        if sender.send(message).is_err() || last {
            return;
        }
    }
}

fn last_words(mut stderr: impl Read) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::new();
    let mut step = [0_u8; 4096];
    while let Ok(got) = stderr.read(&mut step) {
        if got == 0 {
            break;
        }
        kept.extend(&step[..got]);
        if kept.len() > 2 * LAST_WORDS {
            kept.drain(..kept.len() - LAST_WORDS);
        }
    }
    kept
}

/// What is known of a file across the children that read it.
struct Reading<'r> {
    limits: &'r ReadLimits,
    on_event: &'r mut dyn FnMut(ReadEvent),
    report: ReadReport,
    started: bool,
    paged: bool,
    /// Page that the child is at; none while the page list is made.
    current: Option<u32>,
    delivered: u32,
    /// Pages that broke a child once.
    tried: BTreeSet<u32>,
    /// Pages given up, not yet reported.
    lost: BTreeMap<u32, Fault>,
    skipped: BTreeSet<u32>,
    attachments: u32,
    attachments_again: u32,
    attachment_bytes: u64,
    text_bytes: u64,
    waited: Duration,
}

impl<'r> Reading<'r> {
    fn new(limits: &'r ReadLimits, on_event: &'r mut dyn FnMut(ReadEvent)) -> Self {
        Reading {
            limits,
            on_event,
            report: ReadReport::default(),
            started: false,
            paged: false,
            current: None,
            delivered: 0,
            tried: BTreeSet::new(),
            lost: BTreeMap::new(),
            skipped: BTreeSet::new(),
            attachments: 0,
            attachments_again: 0,
            attachment_bytes: 0,
            text_bytes: 0,
            waited: Duration::ZERO,
        }
    }

    fn selection(&self) -> Selection {
        Selection { first: self.delivered + 1, skipped: self.skipped.clone() }
    }

    /// Takes frames until the child ends, runs out of time, or sends something odd.
    fn follow(&mut self, running: &mut Running, cancel: &dyn Fn() -> bool) -> Result<End, IngestError> {
        self.current = None;
        self.attachments_again = 0;
        let frames = running.frames.take();
        let Some(frames) = frames else { return Ok(End::Gone) };
        let mut quiet = Duration::ZERO;
        loop {
            if cancel() {
                return Err(IngestError::Cancelled);
            }
            let since = Instant::now();
            let message = frames.recv_timeout(TICK);
            let passed = since.elapsed();
            self.waited += passed;
            quiet += passed;
            match message {
                Ok(Ok(frame)) => {
                    quiet = Duration::ZERO;
                    match self.take(frame) {
                        Ok(true) => return Ok(End::Told),
                        Ok(false) => {}
                        Err(fault) => return Ok(End::Broken(fault)),
                    }
                }
                Ok(Err(error)) => return Ok(broken_pipe(&error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Gone),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(fault) = self.overdue(quiet) {
                return Ok(End::Broken(fault));
            }
        }
    }

    fn overdue(&self, quiet: Duration) -> Option<Fault> {
        let (page, total) = (Duration::from_millis(self.limits.page_ms), Duration::from_millis(self.limits.total_ms));
        if self.waited > total {
            return Some(Fault::new(FaultCode::Limit, format!("it takes longer than {} s", total.as_secs())));
        }
        (quiet > page).then(|| Fault::new(FaultCode::Limit, format!("it takes longer than {} ms", page.as_millis())))
    }

    /// Takes one frame; true after the last. What a sound child would not send is a fault.
    fn take(&mut self, frame: Frame) -> Result<bool, Fault> {
        let odd = || Fault::new(FaultCode::Crashed, "the reader said what it should not");
        match frame {
            Frame::Note(Note::Ready { warnings }) => {
                if self.report.starts == 1 {
                    self.report.warnings = warnings.into_iter().take(WARNINGS_MAX).collect();
                }
            }
            Frame::Note(Note::Started { format, pages, title }) => {
                // One more than is read says that there are more; a number nobody can check must reserve nothing.
                let pages = pages.map(|pages| pages.min(self.limits.pages_max.saturating_add(1)));
                self.paged = pages.is_some();
                if !std::mem::replace(&mut self.started, true) {
                    (self.on_event)(ReadEvent::Started { format, pages, title });
                }
            }
            Frame::Note(Note::Begins { page }) => {
                if page <= self.current.unwrap_or(self.delivered) || page > self.limits.pages_max {
                    return Err(odd());
                }
                self.current = Some(page);
            }
            Frame::Page(page) => self.page(*page)?,
            Frame::Note(Note::PageFailed { page, code, message }) => {
                if page <= self.delivered || page > self.limits.pages_max {
                    return Err(odd());
                }
                self.lost.insert(page, Fault { code, message });
                self.report_lost(page);
                self.delivered = page;
            }
            Frame::Attachment { name, bytes } => self.attachment(name, bytes)?,
            Frame::Note(Note::Failed { code, message }) => {
                self.report_lost(u32::MAX);
                self.report.fault = Some(code);
                (self.on_event)(ReadEvent::Failed { code, message });
                return Ok(true);
            }
            Frame::Note(Note::Finished { pages }) => {
                self.report_lost(u32::MAX);
                let pages = pages.max(self.delivered).min(self.limits.pages_max);
                (self.on_event)(ReadEvent::Finished { pages });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn page(&mut self, page: Page) -> Result<(), Fault> {
        let known = self.started && page.number > self.delivered && self.current.is_some_and(|at| page.number <= at);
        if !known {
            return Err(Fault::new(FaultCode::Crashed, "the reader sent pages out of order"));
        }
        self.text_bytes += page.text.len() as u64;
        if self.text_bytes > self.limits.text_bytes_max {
            return Err(Fault::new(
                FaultCode::Limit,
                format!("more than {} bytes of text", self.limits.text_bytes_max),
            ));
        }
        self.report_lost(page.number);
        self.delivered = page.number;
        self.report.pages += 1;
        (self.on_event)(ReadEvent::Page(page));
        Ok(())
    }

    /// Passes on an attachment, unless an earlier child sent it already.
    fn attachment(&mut self, name: String, bytes: Vec<u8>) -> Result<(), Fault> {
        self.attachments_again += 1;
        if self.attachments_again <= self.attachments {
            return Ok(());
        }
        self.attachments += 1;
        self.attachment_bytes += bytes.len() as u64;
        if self.attachments > self.limits.attachments_max || self.attachment_bytes > self.limits.attachment_bytes_max {
            return Err(Fault::new(FaultCode::Limit, "more attachments than allowed"));
        }
        (self.on_event)(ReadEvent::Attachment { name, bytes });
        Ok(())
    }

    /// Reports the pages given up that come before `page`, or are it.
    fn report_lost(&mut self, page: u32) {
        let later = self.lost.split_off(&page.saturating_add(1));
        for (page, Fault { code, message }) in std::mem::replace(&mut self.lost, later) {
            self.report.pages_failed += 1;
            (self.on_event)(ReadEvent::PageFailed { page, code, message });
        }
    }

    /// Decides what follows a broken child: the fault of the whole file, or nothing if another child is to go on.
    fn after_break(&mut self, fault: Fault) -> Option<Fault> {
        let out_of_time = self.waited > Duration::from_millis(self.limits.total_ms);
        let too_much = self.text_bytes > self.limits.text_bytes_max
            || self.attachments > self.limits.attachments_max
            || self.attachment_bytes > self.limits.attachment_bytes_max;
        let Some(page) = self.current.filter(|_| self.paged && !out_of_time && !too_much) else { return Some(fault) };
        if self.report.starts > self.limits.restarts_max {
            return Some(Fault::new(fault.code, format!("the reader broke down too often, last: {}", fault.message)));
        }
        let in_vain = fault.message.starts_with("it takes longer");
        if in_vain || !self.tried.insert(page) {
            self.skipped.insert(page);
            self.lost.insert(page, fault);
        }
        None
    }

    fn close(mut self, fault: Option<Fault>) -> ReadReport {
        self.report_lost(u32::MAX);
        if let Some(Fault { code, message }) = fault {
            self.report.fault = Some(code);
            (self.on_event)(ReadEvent::Failed { code, message });
        }
        self.report
    }
}

/// A pipe that ends within a frame is a child that died; anything else is a child that talks nonsense.
fn broken_pipe(error: &std::io::Error) -> End {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        End::Gone
    } else {
        End::Broken(Fault::new(FaultCode::Crashed, "the reader said what cannot be understood"))
    }
}
