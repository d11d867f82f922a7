//! `audit`: list, export, verify.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::PublicKey;
use cloister_appliance::airgap::keys::{self, fingerprint};
use cloister_appliance::{Appliance, AuditFault, AuditFilter, AuditFormat, AuditVerdict, verify_export};
use cloister_web::wire;
use serde_json::json;

use crate::args::{AuditCommand, ExportFormat};
use crate::context::{Context, Outcome, ReaderGone};

/// Records asked for at a time.
const LIST_PAGE: usize = 1_000;

pub(super) fn run(command: &AuditCommand, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let caller = ctx.caller.clone();
    match command {
        AuditCommand::List { after, limit, action, actor } => {
            let filter =
                AuditFilter { after: *after, action: action.clone(), actor: actor.clone(), ..AuditFilter::default() };
            list(filter, limit.unwrap_or(usize::MAX), appliance, ctx)
        }
        AuditCommand::Export { format, from, to, out } => {
            let format = match format {
                ExportFormat::Jsonl => AuditFormat::Jsonl,
                ExportFormat::Csv => AuditFormat::Csv,
            };
            let times = (from.as_deref(), to.as_deref());
            export(format, times, out.as_deref(), appliance, ctx)
        }
        AuditCommand::Verify { file: None, public_key } => {
            let key = public_key.as_ref().map(|key| keys::read_public(&ctx.path(key))).transpose()?;
            let verdict = appliance.audit_verify(&caller)?;
            tell(signed_with(verdict, key.as_ref()), ctx)
        }
        AuditCommand::Verify { file: Some(file), public_key } => {
            let path = ctx.path(file);
            let mut export = open(&path)?;
            let key = public_key.as_ref().map(|key| ctx.path(key));
            let verdict = appliance.audit_verify_export(&caller, &mut export, key.as_deref())?;
            tell(verdict, ctx)
        }
    }
}

/// The records that a filter lets through, oldest first, at most `limit`.
fn list(mut filter: AuditFilter, limit: usize, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let mut left = limit;
    loop {
        ctx.cancel.check()?;
        filter.limit = left.min(LIST_PAGE);
        let page = appliance.audit_records(&ctx.caller, &filter)?;
        left -= page.records.len();
        for record in page.records {
            let line = wire::AuditRecord::from(record);
            ctx.give(&line, || {
                format!(
                    "{:>6}  {}  {:20}  {:16}  {}  {}",
                    line.seq, line.time, line.actor, line.action, line.outcome, line.object
                )
            })?;
        }
        filter.after = page.next;
        if left == 0 || filter.after.is_none() {
            return Ok(Outcome::Done);
        }
    }
}

/// A log that holds is refused all the same when its key is not the one that was given to compare.
fn signed_with(mut verdict: AuditVerdict, key: Option<&PublicKey>) -> AuditVerdict {
    let Some(wanted) = key.map(fingerprint).filter(|wanted| verdict.ok && *wanted != verdict.signed_by) else {
        return verdict;
    };
    let why = format!("it is signed with the key {}, the key given is {wanted}", verdict.signed_by);
    verdict.ok = false;
    verdict.bad = Some(AuditFault { seq: None, why });
    verdict
}

/// Verifies an export with a public key alone, without an installation.
pub(super) fn verify_alone(file: &Path, key: &Path, ctx: &mut Context<'_>) -> Result<Outcome> {
    let mut export = open(&ctx.path(file))?;
    let verdict = verify_export(&mut export, &ctx.path(key))?;
    tell(verdict, ctx)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?))
}

fn export(
    format: AuditFormat,
    (from, to): (Option<&str>, Option<&str>),
    out: Option<&Path>,
    appliance: &Arc<Appliance>,
    ctx: &mut Context<'_>,
) -> Result<Outcome> {
    let Some(out) = out.map(|out| ctx.path(out)) else {
        let mut stdout = Watched { inner: ctx.stdout, gone: false };
        let ended = appliance.audit_export(&ctx.caller.clone(), format, from, to, &mut stdout);
        anyhow::ensure!(!stdout.gone, ReaderGone);
        ended?;
        return Ok(Outcome::Done);
    };
    let file = ctx.create(&out)?;
    let mut writer = BufWriter::new(file);
    let records = appliance.audit_export(&ctx.caller, format, from, to, &mut writer)?;
    writer.flush().with_context(|| format!("cannot write {}", out.display()))?;
    ctx.give(&json!({"records": records, "out": out}), || format!("{records} records in {}", out.display()))?;
    Ok(Outcome::Done)
}

/// An output that remembers whether its reader went away, as `head` does: that is no failure of the export.
struct Watched<'a> {
    inner: &'a mut dyn Write,
    gone: bool,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.inner.write(bytes).inspect_err(|error| self.gone |= error.kind() == ErrorKind::BrokenPipe)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush().inspect_err(|error| self.gone |= error.kind() == ErrorKind::BrokenPipe)
    }
}

fn tell(verdict: AuditVerdict, ctx: &mut Context<'_>) -> Result<Outcome> {
    let line = wire::AuditVerdict::from(verdict);
    let failed = !line.ok;
    ctx.give(&line, || match &line.bad {
        None => format!("the log holds: {} records, head {}, signed by {}", line.records, line.head, line.signed_by),
        Some(bad) => {
            let place = bad.seq.map(|seq| format!("record {seq}: ")).unwrap_or_default();
            format!("THE LOG DOES NOT HOLD: {place}{}", bad.why)
        }
    })?;
    Ok(Outcome::of(failed))
}
