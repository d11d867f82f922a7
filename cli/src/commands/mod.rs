//! The commands, one file a family.

mod adapters;
mod ask;
mod audit;
mod bench;
mod bundle;
mod documents;
mod eval;
mod extract;
mod ingest;
mod models;
mod people;
mod rerank;
mod search;
mod serve;
mod text;

use std::sync::Arc;

use anyhow::Result;
use cloister_appliance::{Appliance, Check, Config, Error, doctor_closed as closed_checks};
use cloister_web::wire;

use crate::args::{AuditCommand, CollectionCommand, Command, DataCommand, Global, UserCommand};
use crate::context::{Context, Outcome};
use crate::{RunEnd, remote};

/// Commands that do not work on the data directory, and `serve`.
pub(crate) fn local(global: &Global, command: &Command, ctx: &mut Context<'_>) -> Result<RunEnd> {
    let ended = match command {
        Command::Serve(args) => serve::run(global, args, ctx),
        Command::Extract(args) => extract::run(args, ctx),
        Command::Generate(args) => text::generate(global, args, ctx),
        Command::Tokenize(args) => text::tokenize(global, args, ctx),
        Command::Score(args) => text::score(global, args, ctx),
        Command::Perplexity(args) => text::perplexity(global, args, ctx),
        Command::Embed(args) => text::embed(global, args, ctx),
        Command::Rerank(args) => rerank::run(global, args, ctx),
        Command::Bench(command) => bench::run(global, command, ctx),
        Command::Models(command) => models::run(global, command, ctx),
        Command::Bundle(command) => bundle::run(global, command, ctx),
        Command::Data(_) => unreachable!("main sends commands on data another way"),
    };
    ended.map(RunEnd::Here)
}

/// A command on an open data directory.
pub(crate) fn data(command: &DataCommand, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        DataCommand::Ingest(args) => ingest::run(args, appliance, ctx),
        DataCommand::Search(args) => search::run(args, appliance, ctx),
        DataCommand::Ask(args) => ask::run(args, appliance, ctx),
        DataCommand::Document(command) => documents::document(command, appliance, ctx),
        DataCommand::Collection(command) => documents::collection(command, appliance, ctx),
        DataCommand::User(command) => people::user(command, appliance, ctx),
        DataCommand::Key(command) => people::key(command, appliance, ctx),
        DataCommand::Audit(command) => audit::run(command, appliance, ctx),
        DataCommand::Eval(args) => eval::run(args, appliance, ctx),
        DataCommand::BenchSearch(args) => bench::search(args, appliance, ctx),
        DataCommand::Doctor => checks(&appliance.doctor(), ctx),
    }
}

/// Whether the command can do without a data directory.
pub(crate) fn needs_no_installation(command: &DataCommand) -> bool {
    matches!(command, DataCommand::Audit(AuditCommand::Verify { file: Some(_), public_key: Some(_) }))
}

/// Carries out a command that [`needs_no_installation`].
pub(crate) fn without_installation(command: &DataCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        DataCommand::Audit(AuditCommand::Verify { file: Some(file), public_key: Some(key) }) => {
            audit::verify_alone(file, key, ctx)
        }
        _ => unreachable!("asked for with `needs_no_installation`"),
    }
}

/// Whether the command may begin a data directory: those that are a sensible first step.
pub(crate) fn makes_data(command: &DataCommand) -> bool {
    matches!(
        command,
        DataCommand::Ingest(_)
            | DataCommand::User(UserCommand::Add { .. })
            | DataCommand::Collection(CollectionCommand::Add { .. })
    )
}

/// Whether the command reads standard input, so that it must be sent along to a server.
pub(crate) fn reads_stdin(command: &DataCommand) -> bool {
    matches!(command, DataCommand::User(UserCommand::Add { .. } | UserCommand::Password { .. }))
}

/// Whether the command changes things one after the other and tells each, so that leaving it half-way leaves work undone.
pub(crate) fn changes_step_by_step(command: &DataCommand) -> bool {
    matches!(command, DataCommand::Ingest(_))
}

/// The checks that can be made when the data directory cannot be opened.
pub(crate) fn doctor_closed(config: &Config, error: &Error, ctx: &mut Context<'_>) -> Result<Outcome> {
    checks(&closed_checks(config, error), ctx)
}

fn checks(checks: &[Check], ctx: &mut Context<'_>) -> Result<Outcome> {
    for check in checks {
        let line = serde_json::json!({"name": check.name, "ok": check.ok, "detail": check.detail, "mend": check.mend});
        ctx.give(&line, || {
            let mend = check.mend.as_ref().map(|mend| format!("\n         mend: {mend}")).unwrap_or_default();
            format!("{:7}  {}: {}{mend}", if check.ok { "ok" } else { "NOT OK" }, check.name, check.detail)
        })?;
    }
    Ok(Outcome::of(checks.iter().any(|check| !check.ok)))
}

/// Keeps the names that other files of this folder use together.
type WirePassage = wire::Passage;

/// Opens the socket for commands while a server runs.
fn listen_for_commands(config: &Config, page: &str, appliance: &Arc<Appliance>) -> Result<remote::Socket> {
    remote::listen(&config.data_dir, page, appliance, config.threads)
}
