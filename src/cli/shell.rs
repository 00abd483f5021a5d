//! `shell`: a terminal that finds the lab.

use std::process::Command;

use super::context::Context;
use super::env::{Variables, say_what_lacks, variables};
use crate::doctor::{Failure, Reason};
use crate::state::HomeError;

/// Opens a shell in the work folder, with the variables that `env` prints
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let Variables { known, lacking } = variables(context)?;
    let home = context.home()?;
    // The cluster stage fills the folder; a terminal that was opened before is in the right place then.
    let work = home.work();
    home.prepare()?;
    std::fs::create_dir_all(&work).map_err(|source| HomeError::NotWritable { path: work.clone(), source })?;
    let shell = context.io.environment.text("SHELL").unwrap_or("/bin/sh").to_owned();
    context.remark(&format!("{shell} in {}; `exit` comes back", work.display()))?;
    if let Some(why) = lacking {
        say_what_lacks(&why, context)?;
    }
    let status = Command::new(&shell).current_dir(work).envs(known).status();
    status
        .map(|_| ())
        .map_err(|error| Failure::new(Reason::Internal, format!("cannot start {shell}")).observed(error.to_string()))
}
