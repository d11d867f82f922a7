//! `serve`: the HTTP API and the page, and the socket for commands.

use std::sync::Arc;

use anyhow::{Result, bail};
use cloister_appliance::Appliance;
use cloister_web as web;
use tracing_subscriber::EnvFilter;

use super::listen_for_commands;
use crate::args::{Global, ServeArgs};
use crate::context::{Context, Outcome};
use crate::{home, outside, remote};

/// What is logged when RUST_LOG says nothing: a line for each request would push the set-up code out of sight.
const LOG_DEFAULT: &str = "info,cloister_web::layers=warn";

pub(super) fn run(global: &Global, args: &ServeArgs, ctx: &mut Context<'_>) -> Result<Outcome> {
    log_to_stderr();
    let mut config = outside::config(global)?;
    config.generator.clone_from(&args.model);
    if let Some(place) = remote::running(&config.data_dir) {
        let dir = config.data_dir.display();
        bail!(
            "the data directory {dir} is in use: a server runs on it already, its page is {place}\n\
             hint: use that page, stop that server first, or give another --data"
        );
    }
    let listener = web::bind(args.listen)?;
    let page = format!("http://{}", listener.local_addr()?);
    home::look_at(&config.data_dir, true, ctx)?;
    outside::keep_private();
    let appliance = Appliance::open(config.clone())?;
    home::tell_tightened(&appliance, ctx);
    let _socket = listen_for_commands(&config, &page, &appliance)?;
    appliance.start_workers();
    ctx.note(format!("Cloister {} serves {page}", web::VERSION));
    ctx.note(format!("data: {}  models: {}", config.data_dir.display(), config.models_dir.display()));
    if let Some(code) = appliance.setup_code()? {
        ctx.note(format!(
            "\nNobody has an account yet. Open the page and enter this set-up code, which works once:\n\n    {code}\n"
        ));
    }
    warm(&appliance);
    let options = web::Options { behind_tls: args.behind_tls, ..web::Options::default() };
    let served = web::serve(Arc::clone(&appliance), listener, options, &web::Stop::new());
    appliance.shutdown();
    served?;
    ctx.note("stopped");
    Ok(Outcome::Done)
}

/// Loads the models while nobody waits; a model that cannot be loaded is told by the status, not by stopping.
fn warm(appliance: &Arc<Appliance>) {
    let appliance = Arc::clone(appliance);
    let load = move || {
        if let Err(error) = appliance.warm() {
            tracing::warn!(%error, "models are not loaded");
        }
    };
    drop(std::thread::Builder::new().name("warm".to_owned()).spawn(load));
}

/// Log lines on standard error, at the level that RUST_LOG says; without it `info`, but no line for each request. Never text of documents or questions.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    // A subscriber that is set already stays: only tests do that.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
}
