//! `shell`: a terminal that finds the lab.

use std::process::Command;

use super::context::Context;
use super::env::variables;
use crate::doctor::{Failure, Reason};

/// Opens a shell in the work folder, with the variables that `env` prints
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let variables = variables(context)?;
    let home = context.home()?;
    if !home.work().is_dir() {
        return Err(Failure::new(Reason::ClusterNotRunning, "there is no work folder yet")
            .observed(home.work().display().to_string())
            .because("the cluster stage makes it")
            .then("canary-lab walk", "goes there stage by stage")
            .then("canary-lab up --until cluster", "goes there at once"));
    }
    let shell = context.io.environment.text("SHELL").unwrap_or("/bin/sh").to_owned();
    context.remark(&format!("{shell} in {}; `exit` comes back", home.work().display()))?;
    let status = Command::new(&shell).current_dir(home.work()).envs(variables).status();
    status
        .map(|_| ())
        .map_err(|error| Failure::new(Reason::Internal, format!("cannot start {shell}")).observed(error.to_string()))
}
