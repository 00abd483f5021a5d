//! `models verify`: the checksums of a SavedModel.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::Failure;
use crate::savedmodel::{LoadedSavedModel, SavedModelError};
use crate::ui::{plural, thousands};

/// Reads a SavedModel whole and compares every tensor with the checksum that was stored with it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The version directory, which holds saved_model.pb
    directory: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (tensors, bytes) = check(args).map_err(|error| super::unreadable(&error))?;
    if context.output == Output::Json {
        return context.say_json(&json!({"directory": args.directory, "tensors": tensors, "bytes": bytes}));
    }
    let tensors = plural(tensors, "tensor");
    context.say(&format!("{}: {tensors}, {} bytes, every checksum fits", args.directory.display(), thousands(bytes)))
}

/// Tensors and bytes that were compared.
fn check(args: &Args) -> Result<(u64, u64), SavedModelError> {
    let model = LoadedSavedModel::read(&args.directory)?;
    let Some(variables) = &model.variables else { return Ok((0, 0)) };
    let (mut tensors, mut bytes) = (0, 0);
    for (key, _) in variables.iter() {
        bytes += variables.verify(key)?;
        tensors += 1;
    }
    Ok((tensors, bytes))
}
