//! `models`: the catalogue and SavedModels on disk.

mod build;
mod inspect;
mod list;
mod place;
mod predict;
mod rewrite;
mod verify;

use super::context::Context;
use crate::doctor::{Failure, Reason};
use crate::models::catalogue::{Catalogue, Entry};

/// Builds, checks and asks SavedModels, without a cluster
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Build(build::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Place(place::Args),
    Predict(predict::Args),
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Place(args) => place::run(args, context),
        Command::Predict(args) => predict::run(args, context),
    }
}

fn catalogue() -> Result<Catalogue, Failure> {
    Catalogue::embedded().map_err(|error| Failure::new(Reason::Internal, error.to_string()))
}

/// The entry that a name on the command line means.
fn entry_named<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a Entry, Failure> {
    catalogue.entry(name).ok_or_else(|| {
        let known: Vec<&str> = catalogue.entries.iter().map(|entry| entry.name.as_str()).collect();
        Failure::new(Reason::ModelUnknown, format!("there is no model {name} in the catalogue"))
            .observed(format!("the catalogue has {}", known.join(", ")))
    })
}
