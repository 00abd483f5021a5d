//! What `up`, `verify` and `reset` share: home, lock, state, cluster, journal and screen.

use std::io::Write;

use super::Output;
use super::choice::{self, Chosen};
use super::context::{Context, other_lab};
use super::options::ClusterOptions;
use crate::cluster::{ClusterChoice, Provider, models_need_claims};
use crate::doctor::{Failure, Reason};
use crate::lab::Lab;
use crate::run::{Engine, Interrupt, Journal};
use crate::state::{Home, Loaded, Lock, State, StateFile};
use crate::steps::Choices;
use crate::ui::{Mark, Paint, Screen, home_relative};

/// A command that holds the lab's lock.
pub(super) struct Session {
    pub(super) lab: Lab,
    pub(super) home: Home,
    pub(super) provider: Box<dyn Provider>,
    /// Why this provider, to be said after its name.
    pub(super) why_provider: String,
    pub(super) state: State,
    /// What was asked for about models and pictures.
    pub(super) choices: Choices,
    _lock: Lock,
}

impl Session {
    /// Prepares the home, takes the lock, reads the state and chooses the cluster.
    pub(super) fn begin(
        context: &mut Context,
        lab: Lab,
        command: &str,
        choice: &ClusterChoice,
        options: &ClusterOptions,
    ) -> Result<Self, Failure> {
        let home = context.home()?;
        let (choice, why_provider) = choice::decide(choice, &home, context)?;
        let mut settings = choice::settings(&home)?;
        let kept = settings.clone();
        options.merge(&mut settings, &choice, &lab)?;
        if let ClusterChoice::Context(name) = &choice
            && settings.models_on_node.is_none()
            && !settings.models_claim
        {
            // The lab's manifests depend on it, so it is found out before they are read.
            let asked = models_need_claims(name, &settings, &context.io.environment);
            settings.models_claim = runtime()?.block_on(asked).unwrap_or(false);
        }
        home.prepare()?;
        let lock = Lock::take(&home, command, (context.io.clock)())?;
        home.sweep();
        if settings != kept {
            settings.save(&home).map_err(|error| {
                Failure::new(Reason::HomeNotWritable, "the cluster's settings cannot be kept")
                    .observed(error.to_string())
            })?;
        }
        let lab = choice::adapted(lab, &home)?;
        let provider = choice::make(&choice, &home, &lab, context)?;
        let mut state = load_or_set_aside(&home, &lab, context)?;
        if state.lab != lab.spec.name {
            // Another command was faster.
            return Err(other_lab(&state.lab, &lab));
        }
        // Commands that come later find the lab without being told where it is.
        state.lab_directory = context.lab_directory();
        Ok(Self { lab, home, provider, why_provider, state, choices: Choices::default(), _lock: lock })
    }

    /// Runs the engine with a screen, listening to signals.
    pub(super) fn drive<T>(
        &mut self,
        context: &mut Context,
        work: impl AsyncFnOnce(&mut Engine<'_>, &mut Screen<'_>, &mut Interrupt) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = runtime()?;
        let mut journal = Journal::begin(&self.home, context.io.clock)?;
        let look = Look::of(context);
        let io = &mut context.io;
        let mut nowhere = std::io::sink();
        let mut screen = look.screen(&mut io.stdout, &mut io.stderr, &mut nowhere);
        let mut engine = Engine {
            lab: &self.lab,
            home: &self.home,
            provider: self.provider.as_ref(),
            environment: &io.environment,
            choices: &self.choices,
            state: &mut self.state,
            journal: &mut journal,
            clock: io.clock,
        };
        runtime.block_on(async { work(&mut engine, &mut screen, &mut listen()?).await })
    }
}

/// Does work that needs no engine with a screen, listening to signals.
pub(super) fn on_screen<T>(
    runtime: &tokio::runtime::Runtime,
    context: &mut Context,
    work: impl AsyncFnOnce(&mut Screen<'_>, &mut Interrupt) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let look = Look::of(context);
    let io = &mut context.io;
    let mut nowhere = std::io::sink();
    let mut screen = look.screen(&mut io.stdout, &mut io.stderr, &mut nowhere);
    runtime.block_on(async { work(&mut screen, &mut listen()?).await })
}

/// How a screen of this command looks.
struct Look {
    human: bool,
    live: bool,
    paint: Paint,
    width: usize,
}

impl Look {
    fn of(context: &Context) -> Self {
        let human = context.output == Output::Human;
        let live = human && context.io.terminal.stderr;
        Self { human, live, paint: context.paint_out(), width: context.width() }
    }

    /// Data goes to `out`, or nowhere when it is not for a person; the live line to `err`, on a terminal.
    fn screen<'a>(self, out: &'a mut dyn Write, err: &'a mut dyn Write, nowhere: &'a mut dyn Write) -> Screen<'a> {
        let out = if self.human { out } else { nowhere };
        Screen::new(out, if self.live { Some(err) } else { None }, self.paint, self.width)
    }
}

/// Begins to listen to signals.
pub(super) fn listen() -> Result<Interrupt, Failure> {
    Interrupt::listen()
        .map_err(|error| Failure::new(Reason::Internal, "signals cannot be heard").observed(error.to_string()))
}

/// The runtime of one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Reason::Internal, "the runtime cannot be started").observed(error.to_string()))
}

/// The cluster that was asked for, or the one that the home's lab stands on, and why it is this one.
pub(super) fn provider(choice: &ClusterChoice, home: &Home, context: &Context) -> Result<Chosen, Failure> {
    let (choice, why) = choice::decide(choice, home, context)?;
    Ok((choice::make(&choice, home, &context.lab()?, context)?, why))
}

/// The home's state. An unusable file is kept aside under a name that is told; the state is then found out anew.
pub(super) fn load_or_set_aside(home: &Home, lab: &Lab, context: &mut Context) -> Result<State, Failure> {
    let file = StateFile::of(home);
    match file.load()? {
        Loaded::Present(state) => Ok(state),
        Loaded::Absent => Ok(State::new(&lab.spec.name)),
        Loaded::Unusable(reason) => {
            let aside = file.set_aside(reason, (context.io.clock)())?;
            let kept = home_relative(&aside.kept, context.user_home().as_deref());
            let mark = context.paint_err().mark(Mark::Warning);
            context.remark(&format!("{mark} state.json could not be used: {}", aside.reason))?;
            context.remark(&format!(
                "  {}: kept as {kept}; what stands is found out anew\n",
                Reason::StateSetAside.id()
            ))?;
            Ok(State::new(&lab.spec.name))
        }
    }
}

/// The home's state for a command that takes the lab down: an unusable one is kept aside and stands for
/// an empty one.
pub(super) fn load_for_teardown(home: &Home, context: &mut Context) -> Result<State, Failure> {
    match StateFile::of(home).load()? {
        Loaded::Present(state) => Ok(state),
        Loaded::Absent => Ok(State::default()),
        Loaded::Unusable(reason) => {
            let aside = StateFile::of(home).set_aside(reason, (context.io.clock)())?;
            context.remark(&format!(
                "state.json could not be used: {}; kept as {}",
                aside.reason,
                aside.kept.display()
            ))?;
            Ok(State::default())
        }
    }
}
