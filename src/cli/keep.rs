//! `keep`: the process in the background that keeps a tunnel or a port-forward running.

use super::context::Context;
use super::session::runtime;
use crate::cluster::Keeper;
use crate::doctor::{Failure, Reason};

/// Keeps a command running, and its log in the home
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let keeper = Keeper::of(&context.home()?);
    runtime()?.block_on(keeper.keep(&args.command)).map_err(|error| {
        Failure::new(Reason::ToolFailed, "the command cannot be kept running").observed(error.to_string())
    })
}
