//! Low-rank adapters that the caller names with `--adapter`.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cloister_appliance::engine::{Adapter, Generator, Sequence};

use crate::args::AdapterArg;
use crate::context::Context;

/// The adapters of a call, loaded for its model.
pub(super) struct Adapters {
    /// By the name that the caller gave them.
    loaded: Vec<(String, Arc<Adapter>)>,
}

impl Adapters {
    /// Loads them all, so that a bad one is refused before anything is computed.
    pub(super) fn load(model: &Generator, named: &[AdapterArg], ctx: &Context<'_>) -> Result<Self> {
        let load = |arg: &AdapterArg| {
            let adapter = model.load_adapter(&ctx.path(&arg.file), arg.scale);
            let adapter = adapter.with_context(|| format!("adapter {}", arg.file.display()))?;
            Ok((arg.file.to_string_lossy().into_owned(), adapter))
        };
        let loaded: Vec<_> = named.iter().map(load).collect::<Result<_>>()?;
        if let Some((name, _)) =
            loaded.iter().enumerate().find_map(|(at, one)| loaded[..at].iter().find(|other| other.0 == one.0))
        {
            bail!("adapter {name} is named twice");
        }
        Ok(Self { loaded })
    }

    /// The one that counts where none is asked for.
    pub(super) fn first(&self) -> Option<&Arc<Adapter>> {
        self.loaded.first().map(|(_, adapter)| adapter)
    }

    /// An empty sequence with the adapter of that name: with the first where none is asked for, without any for an empty name.
    pub(super) fn sequence(&self, model: &Generator, asked: Option<&str>) -> Result<Sequence> {
        let adapter = match asked {
            None => self.first(),
            Some("") => None,
            Some(name) => match self.loaded.iter().find(|(known, _)| known == name) {
                Some((_, adapter)) => Some(adapter),
                None => bail!("the adapter {name} was not named with --adapter"),
            },
        };
        Ok(match adapter {
            Some(adapter) => model.sequence_with(adapter)?,
            None => model.sequence(),
        })
    }
}
