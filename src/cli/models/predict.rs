//! `models predict`: one answer of a SavedModel, in process.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Output;
use crate::cli::context::Context;
use crate::cli::payload::read_picture;
use crate::doctor::Failure;
use crate::models::labels::{Labels, MEAN_NOTHING};
use crate::models::place::version_directory;
use crate::models::prediction::{Classifier, top};

/// Asks a SavedModel about a picture, without a server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The picture goes in as it is, neither resized nor scaled, as the lab's requests do. The labels are those of\nImageNet; with synthetic weights they mean nothing."
)]
pub(super) struct Args {
    /// The version directory, or the one above it
    directory: PathBuf,
    /// A JPEG or PNG, or `portrait` or `small` for the ones that canary-lab carries
    picture: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let picture = read_picture(&args.picture)?;
    let directory = version_directory(&args.directory)?;
    let named = |error| {
        let mut failure = Failure::from(error);
        failure.headline = format!("{} gives no answer", directory.display());
        failure.then(format!("canary-lab models inspect {}", directory.display()), "shows what the model is made of")
    };
    let scores = Classifier::load(&directory).and_then(|model| model.answer(&picture)).map_err(named)?;
    let labels = Labels::for_outputs(scores.len());
    let label = |class: usize| labels.and_then(|labels| labels.of(class));
    let synthetic = super::catalogue()?.is_synthetic(&directory);
    let best = top(&scores, 10);
    if context.output == Output::Json {
        let labels: Vec<_> = best.iter().map(|class| label(*class)).collect();
        return context.say_json(&json!({
            "picture": {"width": picture.width, "height": picture.height},
            "top_10": best, "labels": labels, "synthetic": synthetic, "probabilities": scores,
        }));
    }
    let heading = if labels.is_some() { "CLASS  PROBABILITY  LABEL" } else { "CLASS  PROBABILITY" };
    context.say(heading)?;
    for class in best {
        let names = label(class).map_or("", |label| label.names);
        context.say(format!("{class:>5}     {:.6}  {names}", scores[class]).trim_end())?;
    }
    if synthetic && labels.is_some() {
        context.remark(MEAN_NOTHING)?;
    }
    Ok(())
}
