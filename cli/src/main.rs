//! The `cloister` binary: arguments in, use case called, lines out.
//!
//! Commands are functions over a [`context::Context`]. Those that work on the data directory run here, or, while a server holds
//! the directory, in that server behind its socket ([`remote`]), with the same output. This crate holds no rules of the product.

mod args;
mod commands;
mod context;
mod home;
mod lines;
mod outside;
mod remote;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use cloister_appliance::{Appliance, CancelFlag, Error, ErrorKind, ingest};

use args::{Cli, Command, DataCommand};
use context::{Context, Outcome, ReaderGone, Usage, with_causes};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == ingest::READER_SUBCOMMAND) {
        let order = words.next().unwrap_or_default();
        return ExitCode::from(u8::try_from(ingest::reader_main(&order.to_string_lossy())).unwrap_or(1));
    }
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no mistake; clap knows which is which.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ended = with_terminal(&cli, |ctx| match &cli.command {
        Command::Data(command) => data_command(&cli, command, ctx),
        other => commands::local(&cli.global, other, ctx),
    });
    ExitCode::from(report(ended, &mut std::io::stderr()))
}

/// Runs `work` with this process's own input and output.
fn with_terminal<T>(cli: &Cli, work: impl FnOnce(&mut Context<'_>) -> Result<T>) -> Result<T> {
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let terminal = stderr.is_terminal();
    work(&mut Context {
        stdout: &mut stdout,
        stderr: &mut stderr,
        stdin: Box::new(std::io::stdin()),
        cwd: std::env::current_dir()?,
        json: cli.global.json,
        umask: outside::umask(),
        terminal,
        threads: outside::threads(&cli.global),
        cancel: CancelFlag::new(),
        caller: cloister_appliance::Caller::operator(&outside::system_user()),
    })
}

/// A command on the data directory: by the server that holds it, or here.
fn data_command(cli: &Cli, command: &DataCommand, ctx: &mut Context<'_>) -> Result<RunEnd> {
    if commands::needs_no_installation(command) {
        return commands::without_installation(command, ctx).map(RunEnd::Here);
    }
    if let Some(code) = remote::forward(&cli.global.data, command, ctx)? {
        return Ok(RunEnd::Elsewhere(code));
    }
    let config = outside::config(&cli.global)?;
    home::look_at(&config.data_dir, commands::makes_data(command), ctx)?;
    outside::keep_private();
    // These have to tell how a broken log is broken, so it does not keep them out.
    let open = match command {
        DataCommand::Doctor | DataCommand::Audit(_) => Appliance::open_for_audit,
        _ => Appliance::open,
    };
    match open(config.clone()) {
        Ok(appliance) => {
            home::tell_tightened(&appliance, ctx);
            let ended = commands::data(command, &appliance, ctx);
            appliance.shutdown();
            ended.map(RunEnd::Here)
        }
        Err(error) if matches!(command, DataCommand::Doctor) => {
            commands::doctor_closed(&config, &error, ctx).map(RunEnd::Here)
        }
        Err(error) => Err(error.into()),
    }
}

/// Where a command ran and how it ended.
enum RunEnd {
    Here(Outcome),
    Elsewhere(u8),
}

impl From<Outcome> for RunEnd {
    fn from(outcome: Outcome) -> Self {
        Self::Here(outcome)
    }
}

/// Tells what went wrong, if anything, and gives the exit code: 0 done, 1 failed, 2 wrong usage.
fn report(ended: Result<impl Into<RunEnd>>, stderr: &mut dyn Write) -> u8 {
    match ended.map(Into::into) {
        Ok(RunEnd::Here(Outcome::Done)) => 0,
        Ok(RunEnd::Here(Outcome::PartFailed)) => 1,
        Ok(RunEnd::Elsewhere(code)) => code,
        Err(error) => tell(&error, stderr),
    }
}

/// Prints an error with its causes and, where there is one, what to do about it.
fn tell(error: &anyhow::Error, stderr: &mut dyn Write) -> u8 {
    if error.is::<ReaderGone>() {
        return 0;
    }
    let _ = writeln!(stderr, "error: {}", with_causes(error));
    if let Some(hint) = error.downcast_ref::<Error>().and_then(hint) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    let usage =
        error.is::<Usage>() || error.downcast_ref::<Error>().is_some_and(|known| known.kind() == ErrorKind::Invalid);
    if usage { 2 } else { 1 }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::InUse(_) => Some("another command works on this data directory; wait for it, or give another --data"),
        Error::DiskFull(_) => {
            Some("free some space on the disk of the data directory, then try again; nothing was lost")
        }
        Error::Model { .. } => Some("see `cloister models list`"),
        Error::Damaged(_) => Some("run `cloister doctor`; restore the data directory from a copy if it says so"),
        Error::NotFound { what, .. } => whereabouts(what),
        Error::Audit(_) => Some("nothing is done while the audit log cannot be written; see `cloister doctor`"),
        _ => None,
    }
}

/// Where the things of a kind are listed.
fn whereabouts(what: &str) -> Option<&'static str> {
    match what {
        "collection" => Some("see `cloister collection list`"),
        "document" => Some("see `cloister document list`"),
        "user" => Some("see `cloister user list`"),
        "key" => Some("see `cloister key list`"),
        _ => None,
    }
}
