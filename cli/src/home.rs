//! The data directory before it is opened: whether it is there, and who hears that one is made.

use std::path::Path;

use anyhow::{Result, bail};
use cloister_appliance::{Appliance, DataFolder};

use crate::context::{Context, count};

/// Refuses a data directory that is not there to commands that only work on what is there; tells when one is about to be made.
pub(crate) fn look_at(dir: &Path, may_make: bool, ctx: &mut Context<'_>) -> Result<()> {
    let next = "give --data DIR, or start one with `cloister ingest` or `cloister serve`";
    match DataFolder::at(dir)? {
        DataFolder::Made => return Ok(()),
        // An empty folder was made for this, by an installation or by hand.
        DataFolder::Empty => {}
        DataFolder::Missing | DataFolder::Other if may_make => {}
        DataFolder::Missing => bail!("no data directory at {}: {next}", dir.display()),
        DataFolder::Other => bail!("no data directory at {}, which holds other things: {next}", dir.display()),
    }
    ctx.note(format!("new data directory: {}", dir.display()));
    Ok(())
}

/// Tells what was readable by others and no longer is.
pub(crate) fn tell_tightened(appliance: &Appliance, ctx: &mut Context<'_>) {
    let (dir, done) = (appliance.config().data_dir.display().to_string(), appliance.tightened());
    let files = |number: usize| count(number as u64, "file or folder", "files and folders");
    if done.changed > 0 {
        ctx.note(format!("{dir}: other users could read {}; now only their owner can", files(done.changed)));
    }
    if done.left > 0 {
        let left = files(done.left);
        ctx.note(format!(
            "warning: {dir}: other users may be able to read {left} that belong to another user: chmod -R go= {dir}"
        ));
    }
}
