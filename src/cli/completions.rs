//! `completions`: shell completion scripts.

use clap_complete::Shell;

use super::context::{Context, written};
use crate::doctor::Failure;

/// Prints a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  canary-lab completions bash > ~/.local/share/bash-completion/completions/canary-lab"
)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, context: &mut Context, command: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "canary-lab", &mut script);
    written(context.io.stdout.write_all(&script))
}
