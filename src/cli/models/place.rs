//! `models place`: a model of the lab, where pods can mount it.

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::cli::model_options::ModelOptions;
use crate::cli::session::runtime;
use crate::doctor::Failure;
use crate::models::weights::Reachability;
use crate::state::Lock;
use crate::steps::place_model;
use crate::ui::{Progress, thousands};

/// Builds a model of the lab, or takes over one of your own, where pods mount it; `up` does this in its models stage
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab models place resnet50 --weights pretrained
  canary-lab models place resnet101 --model-dir resnet101=./my-model

A pod that serves an earlier version of the model keeps it until it is made anew, which `up` sees to.")]
pub(super) struct Args {
    /// The model's name in the lab
    model: String,

    #[command(flatten)]
    options: ModelOptions,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let choices = args.options.choices(context);
    home.prepare()?;
    let _lock = Lock::take(&home, "models place", (context.io.clock)())?;
    let runtime = runtime()?;
    let mut network = Reachability::default();
    let placed = runtime.block_on(place_model(&args.model, &lab, &home, &choices, &mut network, &Progress::silent()));
    runtime.shutdown_background();
    let placed = placed?;
    if context.output == Output::Json {
        return context.say_json(&json!({
            "model": args.model, "directory": placed.directory, "origin": placed.origin,
            "parameters": placed.parameters, "bytes": placed.bytes,
        }));
    }
    context.say(&format!(
        "{}: {} parameters, {}, {:.1} MB",
        placed.directory.display(),
        thousands(placed.parameters),
        placed.origin,
        placed.bytes as f64 / 1e6
    ))?;
    for remark in &placed.remarks {
        context.remark(remark)?;
    }
    Ok(())
}
