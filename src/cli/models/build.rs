//! `models build`: a SavedModel of a catalogue entry.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::{Failure, Reason};
use crate::models::synthetic;
use crate::ui::{duration, thousands};

/// Builds a model of the catalogue with synthetic weights, as the version directory DIRECTORY/1
///
/// The files are the same on every machine, and their SHA-256 is checked before they get their name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  canary-lab models build resnet50 /tmp/resnet50")]
pub(super) struct Args {
    /// The name in the catalogue
    model: String,
    /// The directory that gets the version directory; it is created
    directory: PathBuf,
    /// Do not compare the files with the catalogue's digests; for new calibration constants
    #[arg(long, hide = true)]
    unchecked: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let catalogue = super::catalogue()?;
    let entry = super::entry_named(&catalogue, &args.model)?;
    let expected = if args.unchecked { Vec::new() } else { entry.synthetic_files() };
    let start = Instant::now();
    let built = synthetic::build(entry.network, &args.directory, &expected, &mut |_| {}).map_err(|error| {
        Failure::new(Reason::ModelNotBuilt, format!("{} was not built", args.model)).observed(error.to_string())
    })?;
    let directory = args.directory.join(synthetic::VERSION);
    if context.output == Output::Json {
        let files =
            built.files.iter().map(|file| json!({"name": file.name, "bytes": file.bytes, "sha256": file.sha256_hex()}));
        return context.say_json(&json!({
            "model": args.model, "directory": directory, "weights": "synthetic", "parameters": built.parameters,
            "bytes": built.bytes, "files": files.collect::<Vec<_>>(), "seconds": start.elapsed().as_secs_f64(),
        }));
    }
    context.remark(&format!(
        "{} with synthetic weights in {}: {} parameters, {:.1} MB, {}",
        args.model,
        directory.display(),
        thousands(built.parameters as u64),
        built.bytes as f64 / 1e6,
        duration(start.elapsed())
    ))?;
    for file in &built.files {
        context.say(&format!("{}  {}", file.sha256_hex(), file.name))?;
    }
    Ok(())
}
