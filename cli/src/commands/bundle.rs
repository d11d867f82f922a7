//! `bundle`: build, verify, install.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cloister_appliance::airgap::bundle::{
    self, BundleMember, BundlePlan, InstallReport, Manifest, MemberSource, PROGRAM_PATH, Role,
};
use cloister_appliance::airgap::keys;
use cloister_appliance::airgap::models::{APACHE_2_0_TEXT, ModelFile, ModelStore, catalogue};
use cloister_appliance::airgap::{PublicKey, SecretKey};
use cloister_appliance::{EMBEDDER_DEFAULT, GENERATOR_DEFAULT};
use serde_json::json;

use crate::args::{BundleCommand, Global, KeyArgs};
use crate::context::{Context, Outcome, Usage};
use crate::outside;

// Texts and pictures for people that every bundle carries: `DOCUMENTS`, path and bytes each.
include!(concat!(env!("OUT_DIR"), "/documents.rs"));

/// The machine this program was built for.
const TARGET: &str = concat!(env!("CLOISTER_TARGET"));

pub(super) fn run(global: &Global, command: &BundleCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        BundleCommand::Build { out, key, models } => build(global, out, key, models, ctx),
        BundleCommand::Verify { file, key } => verify(file, key, ctx),
        BundleCommand::Install { file, prefix, key } => install(file, prefix, key, ctx),
        BundleCommand::Key { file } => make_key(file, ctx),
    }
}

fn make_key(file: &Path, ctx: &mut Context<'_>) -> Result<Outcome> {
    let random = outside::random();
    let key = SecretKey::generate(&mut |buffer| {
        random(buffer);
        Ok(())
    })?;
    let path = ctx.path(file);
    keys::write_secret(&path, &key)?;
    let fingerprint = keys::fingerprint(&key.public());
    ctx.give(&json!({"key": path, "fingerprint": fingerprint}), || {
        format!("{}: fingerprint {fingerprint}; keep it secret", path.display())
    })?;
    Ok(Outcome::Done)
}

fn build(global: &Global, out: &Path, key: &Path, models: &[String], ctx: &mut Context<'_>) -> Result<Outcome> {
    let defaults = [GENERATOR_DEFAULT.to_owned(), EMBEDDER_DEFAULT.to_owned()];
    let wanted = if models.is_empty() { &defaults[..] } else { models };
    let mut members = vec![
        member(PROGRAM_PATH, MemberSource::File(std::env::current_exe()?), Role::Program, "Apache-2.0"),
        member(
            "licences/Apache-2.0.txt",
            MemberSource::Bytes(APACHE_2_0_TEXT.as_bytes().to_vec()),
            Role::Licence,
            "Apache-2.0",
        ),
    ];
    for (path, bytes) in DOCUMENTS {
        members.push(member(path, MemberSource::Bytes(bytes.to_vec()), Role::Document, "Apache-2.0"));
    }
    let store = ModelStore::new(&std::path::absolute(&global.models)?);
    for id in wanted {
        members.extend(model_members(&store, id)?);
    }
    let plan = BundlePlan {
        name: "cloister".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        target: TARGET.into(),
        members,
    };
    let key = keys::read_secret(&ctx.path(key))?;
    let out = ctx.path(out);
    let manifest = bundle::build(&plan, &out, &key)?;
    tell(&manifest, &out, &key.public(), "built", ctx)
}

fn member(path: &str, source: MemberSource, role: Role, licence: &str) -> BundleMember {
    BundleMember { path: path.into(), source, role, licence: licence.into() }
}

/// The files of a model, verified before they are packed.
fn model_members(store: &ModelStore, id: &str) -> Result<Vec<BundleMember>> {
    let record = store.verify(id).with_context(|| format!("model {id} cannot be packed"))?;
    let listed = catalogue().iter().find(|entry| entry.id == id);
    let files: &[ModelFile] = listed.map_or(&record.files, |entry| &entry.files);
    let licence = record.licence.clone().or_else(|| listed.map(|entry| entry.licence.id.clone())).unwrap_or_default();
    Ok(files
        .iter()
        .map(|file| {
            let source = MemberSource::File(store.dir().join(id).join(&file.path));
            member(&format!("models/{id}/{}", file.path), source, Role::Model, &licence)
        })
        .collect())
}

/// The key to check with: as given, or the one beside the bundle, whose fingerprint is then shown to be compared.
fn public_key(bundle_file: &Path, given: &KeyArgs, ctx: &mut Context<'_>) -> Result<PublicKey> {
    if let Some(path) = &given.public_key {
        return Ok(keys::read_public(&ctx.path(path))?);
    }
    if let Some(typed) = &given.fingerprint {
        return key_within(bundle_file, typed);
    }
    let beside = bundle::public_key_path(bundle_file);
    if !beside.exists() {
        bail!("{}", no_key(bundle_file, &beside));
    }
    let key = keys::read_public(&beside)?;
    ctx.note(format!(
        "key taken from {}; compare its fingerprint with the one you were given:\n    {}",
        beside.display(),
        keys::fingerprint(&key)
    ));
    Ok(key)
}

/// The key that the bundle carries, when its fingerprint is the one that came another way.
fn key_within(bundle_file: &Path, typed: &str) -> Result<PublicKey> {
    let key = bundle::signer(bundle_file)?;
    match keys::has_fingerprint(&key, typed) {
        Some(true) => Ok(key),
        Some(false) => bail!(
            "{} is not signed with the key whose fingerprint was given\n    signed with  {}\n    given        {typed}",
            bundle_file.display(),
            keys::fingerprint(&key)
        ),
        None => Err(Usage(format!("no fingerprint: {typed}; it has 40 hexadecimal digits, in groups or not")).into()),
    }
}

/// What is missing, why, and how to give it.
fn no_key(bundle_file: &Path, beside: &Path) -> String {
    let name = bundle_file.file_name().unwrap_or_default().display();
    format!(
        "no key to check {name} with. Whoever made it has the key's fingerprint (40 digits; `make bundle` shows it), and it has to\n\
         reach you another way than the bundle: who could change the bundle could change a key beside it. Give one of\n    \
         the fingerprint   sh ./install {name} DIR FINGERPRINT   (cloister bundle ...: --fingerprint FINGERPRINT)\n    \
         the key file      sh ./install {name} DIR KEY_FILE      (cloister bundle ...: --public-key KEY_FILE)\n    \
         or put it beside the bundle as {}",
        beside.display()
    )
}

fn verify(file: &Path, given: &KeyArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let file = ctx.path(file);
    let key = public_key(&file, given, ctx)?;
    let manifest = bundle::verify(&file, &key)?;
    tell(&manifest, &file, &key, "holds", ctx)
}

fn install(file: &Path, prefix: &Path, given: &KeyArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    let file = ctx.path(file);
    let key = public_key(&file, given, ctx)?;
    let report = bundle::install(&file, &ctx.path(prefix), &key)?;
    let line = json!({"version": report.version, "folder": report.folder, "program": report.program, "unit": report.unit,
        "already_there": report.already_there});
    ctx.give(&line, || how_to_start(&report))?;
    Ok(Outcome::Done)
}

/// The last words of an installation.
fn how_to_start(report: &InstallReport) -> String {
    let done = if report.already_there { "was installed already, complete and unchanged" } else { "is installed" };
    let (program, unit) = (report.program.display(), report.unit.display());
    let data = report.unit.with_file_name("data");
    let data = data.display();
    format!(
        "Cloister {} {done} in {}\n\
         \n\
         Start it by hand:\n    {program} serve\n\
         or with the machine, by systemd (as root, once):\n    \
         useradd --system --home-dir {data} --shell /usr/sbin/nologin cloister\n    \
         chown -R cloister: {data}\n    \
         systemctl enable --now {unit}\n\
         The page is then at http://127.0.0.1:8080; the set-up code it asks for is shown by `serve`, or by `journalctl -u cloister`.\n\
         The program finds its data and models by itself: {program} doctor",
        report.version,
        report.folder.display()
    )
}

fn tell(manifest: &Manifest, file: &Path, key: &PublicKey, word: &str, ctx: &mut Context<'_>) -> Result<Outcome> {
    let members: Vec<_> = manifest
        .members
        .iter()
        .map(|member| json!({"path": member.path, "bytes": member.size, "sha256": member.sha256, "licence": member.licence}))
        .collect();
    let line = json!({
        "bundle": file, "name": manifest.name, "version": manifest.version, "target": manifest.target, "bytes": manifest.bytes(),
        "signed_by": keys::fingerprint(key), "members": members,
    });
    ctx.give(&line, || {
        format!(
            "{} {word}: {} {} for {}, {} members, {} bytes, signed by {}",
            file.display(),
            manifest.name,
            manifest.version,
            manifest.target,
            manifest.members.len(),
            manifest.bytes(),
            keys::fingerprint(key)
        )
    })?;
    Ok(Outcome::Done)
}
