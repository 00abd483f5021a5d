//! `verify`: looks at everything that was proven, and changes nothing.

use super::Output;
use super::context::Context;
use super::options::ClusterOptions;
use super::session::Session;
use crate::cluster::ClusterChoice;
use crate::doctor::{Failure, Reason};
use crate::run::{Engine, Interrupt, StageOutcome};
use crate::ui::{Screen, plural};

/// Checks every stage again without changing anything in the cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "Ends with 0 if everything holds, else with the code of the first thing that does not.")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let lab = context.lab()?;
    let mut session = Session::begin(context, lab, "verify", &ClusterChoice::Auto, &ClusterOptions::default())?;
    if session.state.stages.is_empty() {
        return Err(Failure::new(Reason::ClusterNotRunning, "there is no lab in this home")
            .observed(session.home.root().display().to_string()));
    }
    let summary = session.drive(
        context,
        async |engine: &mut Engine<'_>, screen: &mut Screen<'_>, interrupt: &mut Interrupt| {
            engine.verify(screen, interrupt).await
        },
    )?;
    if context.output == Output::Json {
        context.say_json(&summary)?;
    }
    let failed = summary.stages.iter().filter(|stage| matches!(stage.outcome, StageOutcome::Failed { .. })).count();
    match summary.failure() {
        Some(failure) => {
            let mut failure = failure.clone();
            if failed > 1 {
                failure.observed.push(format!("{} do not hold", plural(failed as u64, "stage")));
            }
            Err(failure)
        }
        None => Ok(()),
    }
}
