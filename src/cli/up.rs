//! `up`: the lab, every outcome proven.

use super::Output;
use super::context::Context;
use super::model_options::ModelOptions;
use super::options::ClusterOptions;
use super::reset::stage_position;
use super::session::{Session, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::{Failure, Next};
use crate::run::{Engine, Interrupt, Summary};
use crate::steps::{PictureChoice, choose_picture};
use crate::ui::{Screen, duration, home_relative, plural};
use std::time::Duration;

/// Builds the lab stage by stage and proves each; a second run finds everything in place
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab up                     all thirteen stages
  canary-lab up --until predict     up to the first prediction
  canary-lab up --weights pretrained               the published weights, or nothing
  canary-lab up --model-dir resnet101=./my-model   a SavedModel of your own as the canary
  canary-lab --home /tmp/b up       a second lab beside the first
  canary-lab up --cluster minikube --kubernetes-version v1.24.3
  canary-lab up --cluster context:prod --namespace team-a --ingress-host a.example

Interrupted with Ctrl-C, or cut off in any other way, the next `up` goes on from what stands.")]
pub(super) struct Args {
    /// The last stage to run; `canary-lab status` lists the stages
    #[arg(long, value_name = "STAGE")]
    until: Option<String>,

    /// Where to run: auto, embedded, minikube or context:NAME
    #[arg(long, value_name = "CLUSTER", default_value = "auto")]
    cluster: ClusterChoice,

    /// The picture of predictions from now on: a JPEG or PNG, `tutorial` (downloaded) or `portrait` (the lab's own)
    #[arg(long, value_name = "FILE")]
    picture: Option<PictureChoice>,

    #[command(flatten)]
    models: ModelOptions,

    #[command(flatten)]
    options: ClusterOptions,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let lab = context.lab()?;
    let until = match &args.until {
        None => lab.spec.stages.len() - 1,
        Some(id) => stage_position(&lab, id)?,
    };
    let choice = args.cluster.clone();
    let choices = args.models.choices(context);
    let downloads = choices.cache.as_ref().and_then(|folder| std::path::absolute(folder).ok());
    let options = ClusterOptions { downloads, ..args.options.clone() };
    let mut session = Session::begin(context, lab, "up", &choice, &options)?;
    session.choices = choices;
    if let Some(picture) = &args.picture {
        let chosen = choose_picture(&session.lab, &session.home, &session.choices, picture);
        runtime()?.block_on(chosen)?;
    }
    let human = context.output == Output::Human;
    if human {
        let name = &session.lab.spec.name;
        let why = &session.why_provider;
        context.say(&format!(
            "canary-lab {}   lab {name}   cluster {}{why}",
            env!("CARGO_PKG_VERSION"),
            session.provider.name()
        ))?;
        let home = home_relative(session.home.root(), context.user_home().as_deref());
        context.say(&format!("home {home}\n"))?;
    }
    let done = session.drive(
        context,
        async |engine: &mut Engine<'_>, screen: &mut Screen<'_>, interrupt: &mut Interrupt| {
            engine.up(until, screen, interrupt).await
        },
    )?;
    finish(context, &session, &done, until)
}

fn finish(context: &mut Context, session: &Session, summary: &Summary, until: usize) -> Result<(), Failure> {
    if context.output == Output::Json {
        context.say_json(summary)?;
    }
    if let Some(failure) = summary.failure() {
        return Err(with_bundle(failure.clone(), context));
    }
    if context.output == Output::Json {
        return Ok(());
    }
    let took = duration(Duration::from_secs_f64(summary.seconds));
    let proven = plural(summary.stages.len() as u64, "stage");
    let whole = until + 1 == session.lab.spec.stages.len();
    let what = if whole { "The lab stands." } else { "Done up to there." };
    context.say(&format!("\n{what} {proven} proven in {took}."))?;
    let home_flag = context.home_words();
    let mut lines = vec![(
        "Use it",
        format!(
            "eval \"$(canary-lab{home_flag} env)\"; kubectl get pods -n {}",
            session.lab.namespace().unwrap_or("default")
        ),
    )];
    if whole {
        lines.push(("Ask it", format!("canary-lab{home_flag} request --header user-group=canary")));
        lines.push(("Learn it", format!("canary-lab{home_flag} walk")));
        lines.push(("Report", format!("canary-lab{home_flag} report --open")));
    } else {
        lines.push(("Go on", format!("canary-lab{home_flag} up")));
    }
    lines.push(("Look again", format!("canary-lab{home_flag} verify")));
    lines.push(("Take it down", format!("canary-lab{home_flag} down")));
    let paint = context.paint_out();
    for (label, command) in lines {
        context.say(&format!("  {label:<14} {}", paint.command(&command)))?;
    }
    Ok(())
}

/// Names the command that packs what explains a failure of a stage.
fn with_bundle(mut failure: Failure, context: &Context) -> Failure {
    failure.next = failure.next_steps();
    failure.next.push(Next {
        command: format!("canary-lab{} diagnose", context.home_words()),
        effect: "packs logs, events and objects into one file, for whoever helps".to_owned(),
    });
    failure
}
