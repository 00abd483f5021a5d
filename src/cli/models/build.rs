//! `models build`: a model of the catalogue as a SavedModel.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::cli::model_options::DownloadOptions;
use crate::cli::session::runtime;
use crate::doctor::Failure;
use crate::models::built::VERSION;
use crate::models::catalogue::Entry;
use crate::models::weights::{self, Decision, Origin, Reachability, WeightsChoice};
use crate::ui::{duration, thousands};

/// Builds a model of the catalogue, as the version directory DIRECTORY/1
///
/// Synthetic weights are the same on every machine, and their SHA-256 is checked before they get their name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab models build resnet50 /tmp/resnet50
  canary-lab models build resnet50 /tmp/resnet50 --weights resnet50_weights_tf_dim_ordering_tf_kernels.h5
  canary-lab models build --from exported/1 /tmp/for-2.5")]
pub(super) struct Args {
    /// The name in the catalogue; with --from, the directory instead
    model: String,
    /// The directory that gets the version directory; it is created
    #[arg(required_unless_present = "from")]
    directory: Option<PathBuf>,
    /// Rewrite the SavedModel in this version directory for TensorFlow 2.5: the same signatures, weights and answers
    #[arg(long, value_name = "DIR", conflicts_with = "directory")]
    from: Option<PathBuf>,
    /// Where weights come from: auto (pretrained if they can be downloaded, else synthetic), pretrained, synthetic, a
    /// Keras .h5 file, or a folder with .h5 files or SavedModels
    #[arg(long, value_name = "WEIGHTS", default_value = "auto")]
    weights: WeightsChoice,
    #[command(flatten)]
    downloads: DownloadOptions,
    /// Do not compare the files with the catalogue's digests; for new calibration constants
    #[arg(long, hide = true)]
    unchecked: bool,
}

impl Args {
    /// The directory that gets the version directory: the last word.
    fn target(&self) -> &Path {
        self.directory.as_deref().unwrap_or(Path::new(&self.model))
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let directory = args.target();
    if let Some(from) = &args.from {
        return super::rewrite::run(from, directory, context);
    }
    let catalogue = super::catalogue()?;
    let mut entry = super::entry_named(&catalogue, &args.model)?.clone();
    let start = Instant::now();
    let decision = decide(args, &entry, context)?;
    if args.unchecked {
        entry.sources.clear();
    }
    let built = weights::make(&entry, &decision, directory, &mut |_| {})?;
    let directory = directory.join(VERSION);
    if context.output == Output::Json {
        let files =
            built.files.iter().map(|file| json!({"name": file.name, "bytes": file.bytes, "sha256": file.sha256_hex()}));
        return context.say_json(&json!({
            "model": args.model, "directory": directory, "weights": decision.origin.word(), "origin": decision.origin,
            "parameters": built.parameters, "bytes": built.bytes, "files": files.collect::<Vec<_>>(),
            "seconds": start.elapsed().as_secs_f64(),
        }));
    }
    if let Origin::Synthetic { because: Some(because) } = &decision.origin {
        context.remark(&format!("pretrained weights were not to be had: {because}"))?;
    }
    context.remark(&format!(
        "{} with {} in {}: {} parameters, {:.1} MB, {}",
        args.model,
        decision.origin,
        directory.display(),
        thousands(built.parameters),
        built.bytes as f64 / 1e6,
        duration(start.elapsed())
    ))?;
    for file in &built.files {
        context.say(&format!("{}  {}", file.sha256_hex(), file.name))?;
    }
    Ok(())
}

fn decide(args: &Args, entry: &Entry, context: &Context) -> Result<Decision, Failure> {
    if let WeightsChoice::File(path) = &args.weights {
        weights::require_fit(path, &[entry.network])?;
    }
    let choices = args.downloads.choices(context);
    // A folder of downloads is needed only where something is downloaded; without a home it lies beside the model.
    let store = match context.home() {
        Ok(home) => choices.store(&home),
        Err(_) => weights::Store::new(args.target().join(".downloads"), choices.mirror.as_deref()),
    };
    let runtime = runtime()?;
    let mut network = Reachability::default();
    let mut silent = |_| {};
    let decided = weights::decide(&args.model, entry, &args.weights, None, &store, &mut network, &mut silent);
    let decided = runtime.block_on(decided);
    runtime.shutdown_background();
    Ok(decided?)
}
