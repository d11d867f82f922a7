//! `bundle`: build, verify, install.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cloister_appliance::airgap::bundle::{self, BundleMember, BundlePlan, Manifest, MemberSource, PROGRAM_PATH, Role};
use cloister_appliance::airgap::keys;
use cloister_appliance::airgap::models::{APACHE_2_0_TEXT, ModelFile, ModelStore, catalogue};
use cloister_appliance::airgap::{PublicKey, SecretKey};
use cloister_appliance::{EMBEDDER_DEFAULT, GENERATOR_DEFAULT};
use serde_json::json;

use crate::args::{BundleCommand, Global};
use crate::context::{Context, Outcome};
use crate::outside;

/// Texts for people that every bundle carries.
const DOCUMENTS: [(&str, &str); 3] = [
    ("docs/README.md", include_str!("../../../README.md")),
    ("docs/SECURITY.md", include_str!("../../../SECURITY.md")),
    ("docs/dependencies.md", include_str!("../../../docs/dependencies.md")),
];
/// The machine this program was built for.
const TARGET: &str = concat!(env!("CLOISTER_TARGET"));

pub(super) fn run(global: &Global, command: &BundleCommand, ctx: &mut Context<'_>) -> Result<Outcome> {
    match command {
        BundleCommand::Build { out, key, models } => build(global, out, key, models, ctx),
        BundleCommand::Verify { file, public_key } => verify(file, public_key.as_deref(), ctx),
        BundleCommand::Install { file, prefix, public_key } => install(file, prefix, public_key.as_deref(), ctx),
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
    for (path, text) in DOCUMENTS {
        members.push(member(path, MemberSource::Bytes(text.as_bytes().to_vec()), Role::Document, "Apache-2.0"));
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
fn public_key(bundle_file: &Path, given: Option<&Path>, ctx: &mut Context<'_>) -> Result<PublicKey> {
    let path: PathBuf = given.map_or_else(|| bundle::public_key_path(bundle_file), |given| ctx.path(given));
    let key = keys::read_public(&path)?;
    if given.is_none() {
        ctx.note(format!(
            "key taken from {}; compare its fingerprint with the one you were given:\n    {}",
            path.display(),
            keys::fingerprint(&key)
        ));
    }
    Ok(key)
}

fn verify(file: &Path, given: Option<&Path>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let file = ctx.path(file);
    let key = public_key(&file, given, ctx)?;
    let manifest = bundle::verify(&file, &key)?;
    tell(&manifest, &file, &key, "holds", ctx)
}

fn install(file: &Path, prefix: &Path, given: Option<&Path>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let file = ctx.path(file);
    let key = public_key(&file, given, ctx)?;
    let report = bundle::install(&file, &ctx.path(prefix), &key)?;
    let line = json!({"version": report.version, "folder": report.folder, "unit": report.unit, "already_there": report.already_there});
    ctx.give(&line, || {
        let done = if report.already_there { "was installed already, complete and unchanged" } else { "is installed" };
        let unit = report.unit.display();
        format!(
            "Cloister {} {done} in {}\nTo run it as a service: make a user cloister that owns the data folder, link {unit} into /etc/systemd/system, then\nsystemctl enable --now cloister",
            report.version,
            report.folder.display()
        )
    })?;
    Ok(Outcome::Done)
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
