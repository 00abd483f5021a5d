//! `models predict`: one answer of a SavedModel, in process.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::doctor::{Failure, Reason};
use crate::models::picture;
use crate::models::prediction::{Classifier, PredictionError, top};

/// Asks a SavedModel about a picture, without a server
#[derive(Debug, clap::Args)]
#[command(after_help = "The picture goes in as it is, neither resized nor scaled, as the lab's requests do.")]
pub(super) struct Args {
    /// The version directory, which holds saved_model.pb
    directory: PathBuf,
    /// A JPEG or PNG, or `portrait` or `small` for the ones that canary-lab carries
    picture: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let picture = match args.picture.to_str() {
        Some("portrait") if !args.picture.exists() => picture::portrait(),
        Some("small") if !args.picture.exists() => picture::small(),
        _ => {
            let failed = |reason: String| {
                Failure::new(Reason::PictureUnreadable, format!("{} cannot be used", args.picture.display()))
                    .observed(reason)
            };
            let bytes = std::fs::read(&args.picture).map_err(|error| failed(error.to_string()))?;
            picture::decode(&bytes).map_err(|error| failed(error.to_string()))?
        }
    };
    let failed = |error: PredictionError| {
        Failure::new(Reason::ModelDamaged, format!("{} gives no answer", args.directory.display()))
            .observed(error.to_string())
            .because("the model is damaged, or it is not one that takes a picture and scores classes")
            .then("canary-lab models inspect DIRECTORY", "shows what the model is made of")
    };
    let scores = Classifier::load(&args.directory).and_then(|model| model.answer(&picture)).map_err(failed)?;
    let best = top(&scores, 10);
    if context.output == Output::Json {
        return context.say_json(&json!({
            "picture": {"width": picture.width, "height": picture.height},
            "top_10": best, "probabilities": scores,
        }));
    }
    context.say("CLASS  PROBABILITY")?;
    for class in best {
        context.say(&format!("{class:>5}  {:.6}", scores[class]))?;
    }
    Ok(())
}
