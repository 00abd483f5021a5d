//! `canary-lab daemon`: the embedded cluster's process, started by `up` and never typed by a learner.

use clap::Args as ClapArgs;

use super::context::Context;
use crate::doctor::Failure;
use crate::embedded::daemon::{DaemonOptions, process_main};

/// Runs the embedded cluster of a home in this process.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The address block 127.N.0.0/16 to claim instead of the one from before or any free one
    #[arg(long, value_name = "N")]
    block: Option<u8>,
}

/// Runs until the daemon ends; returns the process's exit code.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<u8, Failure> {
    let home = context.home()?;
    home.prepare()?;
    let options = DaemonOptions { home: home.root().to_owned(), block: args.block, program: None };
    Ok(process_main(options, &mut context.io.stdout))
}
