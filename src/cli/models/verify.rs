//! `models verify`: the checksums of a SavedModel, and whether the tutorial's server loads it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::Failure;
use crate::models::inspection::inspect;
use crate::models::place::{PlaceError, version_directory};
use crate::savedmodel::{LoadedSavedModel, SavedModelError};
use crate::ui::{plural, thousands};

/// Reads a SavedModel whole, compares every tensor with the checksum that was stored with it, and tells whether
/// tensorflow/serving:2.5.1 loads it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The version directory, or the one above it
    directory: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let directory = version_directory(&args.directory)?;
    let (tensors, bytes) = check(&directory)?;
    let obstacles = inspect(&directory)?.obstacles_for_2_5;
    if context.output == Output::Human {
        let tensors = plural(tensors, "tensor");
        context.say(&format!("{}: {tensors}, {} bytes, every checksum fits", directory.display(), thousands(bytes)))?;
    }
    if !obstacles.is_empty() {
        return Err(PlaceError::TooNew { directory, obstacles }.into());
    }
    match context.output {
        Output::Json => context.say_json(&json!({"directory": directory, "tensors": tensors, "bytes": bytes})),
        Output::Human => context.say("tensorflow/serving:2.5.1 knows all of its ops and attributes"),
    }
}

/// Tensors and bytes that were compared.
fn check(directory: &Path) -> Result<(u64, u64), SavedModelError> {
    let model = LoadedSavedModel::read(directory)?;
    let Some(variables) = &model.variables else { return Ok((0, 0)) };
    let (mut tensors, mut bytes) = (0, 0);
    for (key, _) in variables.iter() {
        bytes += variables.verify(key)?;
        tensors += 1;
    }
    Ok((tensors, bytes))
}
