//! `walk`: the lab as a guided workshop.

use super::context::Context;
use super::model_options::ModelOptions;
use super::options::ClusterOptions;
use super::session::{Session, runtime};
use crate::cluster::ClusterChoice;
use crate::doctor::{Failure, Reason};
use crate::run::{Engine, Journal};
use crate::steps::{PictureChoice, choose_picture};
use crate::ui::{Colours, Io};
use crate::walk::{Ended, Look, Walk};

/// Goes through the lab screen by screen: read, do it yourself or let the lab do it, see it verified
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
The screen needs a terminal. A second one, opened by `canary-lab shell`, is for typing the commands yourself;
`walk` sees what you do there and checks it. Leave with q at any time: the next `walk` goes on from what stands.")]
pub(super) struct Args {
    /// Where to run: auto, embedded, minikube or context:NAME
    #[arg(long, value_name = "CLUSTER", default_value = "auto")]
    cluster: Option<ClusterChoice>,

    /// The picture of predictions from now on: a JPEG or PNG, `tutorial` (downloaded) or `portrait` (the lab's own)
    #[arg(long, value_name = "FILE")]
    picture: Option<PictureChoice>,

    #[command(flatten)]
    models: ModelOptions,

    #[command(flatten)]
    options: ClusterOptions,
}

/// Whether the streams are a terminal on which pages can be drawn.
pub(super) fn is_possible(io: &Io) -> bool {
    io.terminal.stdin && io.terminal.stdout && io.environment.text("TERM").is_some_and(|term| term != "dumb")
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    if !is_possible(&context.io) {
        return Err(Failure::new(Reason::Usage, "`walk` needs a terminal")
            .observed("standard input or output is no terminal, or TERM is `dumb` or not set")
            .because("pages are drawn over each other, and keys are read one by one")
            .then("canary-lab up", "does the whole lab without questions")
            .then("canary-lab help", "lists the commands"));
    }
    let lab = context.lab()?;
    let choice = args.cluster.clone().unwrap_or(ClusterChoice::Auto);
    let mut session = Session::begin(context, lab, "walk", &choice, &args.options)?;
    session.choices = args.models.choices(context);
    let runtime = runtime()?;
    if let Some(picture) = &args.picture {
        runtime.block_on(choose_picture(&session.lab, &session.home, &session.choices, picture))?;
    }
    let mut journal = Journal::begin(&session.home, context.io.clock)?;
    let look = Look {
        paint: context.paint_out(),
        colours: Colours::of(context.io.terminal, &context.io.environment),
        flags: context.flag_words(),
        user_home: context.user_home(),
        kubectl: which::which("kubectl").is_ok(),
        cluster: format!("{}{}", session.provider.name(), session.why_provider),
    };
    let engine = Engine {
        lab: &session.lab,
        home: &session.home,
        provider: session.provider.as_ref(),
        environment: &context.io.environment,
        choices: &session.choices,
        state: &mut session.state,
        journal: &mut journal,
        clock: context.io.clock,
    };
    let walk = Walk { engine, out: &mut context.io.stdout, look };
    let ended = runtime.block_on(walk.play());
    // The keyboard's thread may wait for a key that never comes; nobody waits for it.
    runtime.shutdown_background();
    farewell(context, ended?)
}

fn farewell(context: &mut Context, ended: Ended) -> Result<(), Failure> {
    let Ended { proven, of, signal } = ended;
    let flags = context.flag_words();
    if let Some(signal) = signal {
        let failure = Failure::new(Reason::Interrupted, "stopped; nothing that holds is lost");
        return Err(failure
            .observed(format!("{signal} was received"))
            .then(format!("canary-lab{flags} walk"), "goes on from here"));
    }
    let paint = context.paint_out();
    context.say(&format!("{proven} of {of} stages are proven; the lab stays as it is."))?;
    for (label, command) in [("Go on", "walk"), ("See where", "status"), ("Take it down", "down")] {
        context.say(&format!("  {label:<14} {}", paint.command(&format!("canary-lab{flags} {command}"))))?;
    }
    Ok(())
}
