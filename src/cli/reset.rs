//! `reset`: back to a stage, or to the start.

use super::Output;
use super::context::Context;
use super::down;
use super::options::ClusterOptions;
use super::session::{Session, provider};
use crate::cluster::ClusterChoice;
use crate::doctor::{Failure, Reason};
use crate::lab::Lab;
use crate::run::{Engine, Interrupt, ResetSummary, UndoneStage, plan_reset};
use crate::ui::{Mark, Screen, duration, plural};
use std::time::Duration;

/// Brings cluster, files and records back to what they were after a stage, and proves it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without `--to` the lab is as before its first stage: the cluster goes with everything in it. Models, downloads and the
record of runs stay, so that the next `up` or `walk` is quick. With `--keep-cluster` cluster, mesh and models stay, and
only the lab's own objects go.

Whatever state the lab is in, behind the stage or ahead of it, cut off or changed by hand, it ends as after that stage:
what later stages made goes, objects get that stage's shape back, and every stage up to it is proven. What is changed or
removed is written to the run's directory first.

Examples:
  canary-lab reset --to canary-0   the split and the routing by header have not happened
  canary-lab reset --keep-cluster  the tutorial from its first object on
  canary-lab reset                 from the very start
  canary-lab reset --to predict --dry-run")]
pub(super) struct Args {
    /// The last stage that is to stand; `canary-lab status` lists the stages
    #[arg(long, value_name = "STAGE")]
    to: Option<String>,

    /// Keep cluster, mesh and models; only the lab's own objects go
    #[arg(long, conflicts_with = "to")]
    keep_cluster: bool,

    /// Remove objects of other people that stand where the lab's are to go
    #[arg(long)]
    force: bool,

    /// List what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let lab = context.lab()?;
    let target = match &args.to {
        Some(id) => Some(stage_position(&lab, id)?),
        None if args.keep_cluster => lab.first_with_objects().checked_sub(1),
        None => None,
    };
    let Some(target) = target else { return down::to_the_start(args.force, args.dry_run, context) };
    let title = lab.spec.stages[target].id.clone();
    if args.dry_run {
        let (provider, _) = provider(&ClusterChoice::Auto, &context.home()?, context)?;
        return show_plan(&plan_reset(&lab, target, provider.name()), &title, context);
    }
    let mut session = Session::begin(context, lab, "reset", &ClusterChoice::Auto, &ClusterOptions::default())?;
    let force = args.force;
    let done = session.drive(
        context,
        async |engine: &mut Engine<'_>, screen: &mut Screen<'_>, interrupt: &mut Interrupt| {
            engine.reset(target, force, screen, interrupt).await
        },
    )?;
    finish(&done, &title, context)
}

/// The position of a stage, or a failure that names the nearest one.
pub(super) fn stage_position(lab: &Lab, id: &str) -> Result<usize, Failure> {
    lab.position(id).ok_or_else(|| {
        let near = lab.nearest_stage(id).map(|near| format!("did you mean `{near}`?"));
        let failure = Failure::new(Reason::StageUnknown, format!("there is no stage `{id}`"));
        let failure = near.into_iter().fold(failure, Failure::observed);
        failure.observed(format!("stages: {}", lab.stage_ids().join(", ")))
    })
}

fn show_plan(plan: &[UndoneStage], title: &str, context: &mut Context) -> Result<(), Failure> {
    if context.output == Output::Json {
        return context.say_json(&plan);
    }
    let mark = context.paint_out().mark(Mark::Quiet);
    for stage in plan {
        for line in &stage.lines {
            context.say(&format!("{mark} {:<12} would {line}", stage.stage))?;
        }
    }
    context.say(&format!("{mark} then every stage up to `{title}` would be made and proven"))
}

fn finish(summary: &ResetSummary, title: &str, context: &mut Context) -> Result<(), Failure> {
    if context.output == Output::Json {
        context.say_json(summary)?;
    }
    if let Some(failure) = summary.proven.failure() {
        return Err(failure.clone());
    }
    if context.output == Output::Json {
        return Ok(());
    }
    let stages = plural(summary.proven.stages.len() as u64, "stage");
    let took = duration(Duration::from_secs_f64(summary.proven.seconds));
    context.say(&format!("\nThe lab is as after `{title}`: {stages} proven in {took}, nothing later stands."))?;
    let home = context.home_words();
    let command = context.paint_out().command(&format!("canary-lab{home} up"));
    context.say(&format!("  {:<14} {command}", "Go on"))
}
