//! `export`: the lab's sources.

use std::path::PathBuf;

use super::context::Context;
use crate::doctor::{Failure, Reason};
use crate::lab::builtin_files;
use crate::ui::plural;

/// Writes the lab's sources, lab.yaml, manifests and model catalogue, into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  canary-lab export mine\n  canary-lab up --lab mine/lab/tensorflow-canary")]
pub(super) struct Args {
    /// The directory; it is created, and existing files are left as they are
    directory: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let failed = |path: &std::path::Path, error: std::io::Error| {
        Failure::new(Reason::HomeNotWritable, format!("cannot write {}", path.display())).observed(error.to_string())
    };
    let mut written = 0;
    for (name, text) in builtin_files() {
        let path = args.directory.join(name);
        let folder = path.parent().unwrap_or(&args.directory);
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        if path.exists() {
            context.remark(&format!("kept  {} (it exists)", path.display()))?;
            continue;
        }
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
        written += 1;
    }
    context.remark(&format!("{} written to {}", plural(written, "file"), args.directory.display()))?;
    context.remark(&format!("next  canary-lab up --lab {}", args.directory.join("lab/tensorflow-canary").display()))
}
