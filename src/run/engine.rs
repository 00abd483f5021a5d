//! Running stages: probe, apply, look again; judge; record; go on.

use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::event::{Event, StepOutcome};
use super::interrupt::Interrupt;
use super::journal::Journal;
use super::plan::Plan;
use crate::cluster::{ObjectRef, Provider};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, StageSpec, StepSpec};
use crate::objects::{Gvk, meta};
use crate::state::{Creator, Home, Item, Place, StageRecord, StageStanding, State, StateFile};
use crate::steps::{self, Choices, Memory, Probe, Seen, World};
use crate::ui::{Environment, LiveNote, Mark, Progress, Screen, age, plural};

/// How often the live line's time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// What a run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make true what is not.
    Up,
    /// Look only.
    Verify,
}

/// One lab in one home on one cluster, being run.
pub struct Engine<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its home.
    pub home: &'a Home,
    /// Its cluster.
    pub provider: &'a dyn Provider,
    /// The environment variables.
    pub environment: &'a Environment,
    /// What a person asked for about models and pictures.
    pub choices: &'a Choices,
    /// What is remembered; saved after every change.
    pub state: &'a mut State,
    /// Where it happens to be told.
    pub journal: &'a mut Journal,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// How a stage came out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
#[must_use]
pub enum StageOutcome {
    /// Everything held already.
    Satisfied,
    /// It holds now; something had to be changed.
    Changed,
    /// It does not hold.
    Failed {
        /// Why.
        failure: Box<Failure>,
    },
    /// It was never begun, and nothing was looked at.
    NotBegun,
}

/// One stage of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StageResult {
    /// The stage.
    pub stage: String,
    /// How it came out.
    #[serde(flatten)]
    pub outcome: StageOutcome,
    /// One line: what was shown.
    pub summary: String,
    /// Seconds.
    pub seconds: f64,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The run's number.
    pub run: u32,
    /// Every stage of it, in order.
    pub stages: Vec<StageResult>,
    /// Seconds in all.
    pub seconds: f64,
}

impl Summary {
    /// The first failure.
    pub fn failure(&self) -> Option<&Failure> {
        self.stages.iter().find_map(|stage| match &stage.outcome {
            StageOutcome::Failed { failure } => Some(failure.as_ref()),
            _ => None,
        })
    }

    /// Whether anything was changed.
    pub fn changed(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage.outcome, StageOutcome::Changed))
    }
}

/// What the steps of one stage brought.
#[derive(Default)]
struct StageWork {
    /// What was shown, a line each.
    lines: Vec<String>,
    /// What was applied, as kubectl says it.
    applied: Vec<String>,
    unchanged: u64,
    superseded: Option<String>,
    /// Whether what a later stage supersedes was a verdict, whose figures only the records have.
    verdict_superseded: bool,
    changed: bool,
    evidence: Vec<Value>,
}

impl StageWork {
    fn summary(&self) -> String {
        let mut applied = self.applied.clone();
        if self.unchanged > 0 {
            applied.push(format!("{} as applied", plural(self.unchanged, "object")));
        }
        let mut lines = self.lines.clone();
        if !applied.is_empty() {
            lines.insert(0, applied.join(", "));
        }
        if let Some(by) = &self.superseded {
            lines.push(format!("its routes are now those of {by}"));
        }
        if lines.is_empty() { "done".to_owned() } else { lines.join("\n") }
    }
}

impl Engine<'_> {
    /// Runs the stages up to and including `until` (a position), and stops at the first that fails.
    pub async fn up(
        &mut self,
        until: usize,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Summary, Failure> {
        self.run(Mode::Up, until, screen, interrupt).await
    }

    /// Looks at every stage that was begun, to the last one, and changes nothing in the cluster.
    pub async fn verify(&mut self, screen: &mut Screen<'_>, interrupt: &mut Interrupt) -> Result<Summary, Failure> {
        self.run(Mode::Verify, self.lab.spec.stages.len() - 1, screen, interrupt).await
    }

    async fn run(
        &mut self,
        mode: Mode,
        until: usize,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Summary, Failure> {
        self.begin(if mode == Mode::Up { "up" } else { "verify" }, until)?;
        let summary = self.stages(mode, until, &Memory::default(), screen, interrupt).await?;
        self.end(summary.failure())?;
        Ok(summary)
    }

    /// Tells that a run begins.
    pub(super) fn begin(&mut self, command: &str, until: usize) -> Result<(), Failure> {
        Ok(self.journal.record(&Event::RunStarted {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            lab: self.lab.spec.name.clone(),
            command: command.to_owned(),
            until: self.lab.spec.stages[until].id.clone(),
            provider: self.provider.name().to_owned(),
        })?)
    }

    /// Tells that a run has ended.
    pub(super) fn end(&mut self, failure: Option<&Failure>) -> Result<(), Failure> {
        Ok(self.journal.record(&Event::RunEnded {
            exit: failure.map_or(0, Failure::exit_code),
            reason: failure.map(|failure| failure.reason.id().to_owned()),
        })?)
    }

    /// Works through the stages up to and including `until`.
    pub(super) async fn stages(
        &mut self,
        mode: Mode,
        until: usize,
        memory: &Memory,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Summary, Failure> {
        let started = Instant::now();
        let lab = self.lab;
        let mut summary = Summary { run: self.journal.number(), stages: Vec::new(), seconds: 0.0 };
        let of = lab.spec.stages.len();
        for (position, stage) in lab.spec.stages.iter().enumerate().take(until + 1) {
            if mode == Mode::Verify && !self.state.stages.contains_key(&stage.id) {
                screen.stage(position + 1, of, &stage.title, Mark::Quiet, "not begun", None).map_err(screen_gone)?;
                let result = StageResult {
                    stage: stage.id.clone(),
                    outcome: StageOutcome::NotBegun,
                    summary: String::new(),
                    seconds: 0.0,
                };
                summary.stages.push(result);
                continue;
            }
            let begun = Instant::now();
            screen.begin(stage.title.clone(), self.typical(stage)).map_err(screen_gone)?;
            let result = self.stage(mode, position, stage, memory, screen, interrupt).await?;
            let took = begun.elapsed();
            let (mark, text) = match &result.outcome {
                StageOutcome::Failed { failure } => (Mark::Failed, failure.headline.as_str()),
                _ => (Mark::Fine, result.summary.as_str()),
            };
            screen.stage(position + 1, of, &stage.title, mark, text, Some(took)).map_err(screen_gone)?;
            let stops = match &result.outcome {
                StageOutcome::Failed { failure } => mode == Mode::Up || hides_the_rest(failure.reason),
                _ => false,
            };
            summary.stages.push(result);
            if stops {
                break;
            }
        }
        summary.seconds = started.elapsed().as_secs_f64();
        Ok(summary)
    }

    /// How long the stage took when it last had to be worked on, else what the lab says.
    pub(super) fn typical(&self, stage: &StageSpec) -> Option<Duration> {
        let measured = self.state.stages.get(&stage.id).and_then(|record| record.took_ms).map(Duration::from_millis);
        measured.or(stage.typical_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }

    pub(super) async fn stage(
        &mut self,
        mode: Mode,
        position: usize,
        stage: &StageSpec,
        memory: &Memory,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<StageResult, Failure> {
        let begun = Instant::now();
        self.journal.record(&Event::StageStarted { stage: stage.id.clone() })?;
        if mode == Mode::Up && !self.state.is_proven(&stage.id) {
            self.stand(stage, StageStanding::Begun, String::new(), None, None)?;
        }
        let mut work = StageWork::default();
        let done = self.steps(mode, position, stage, memory, &mut work, screen, interrupt).await;
        let done = match done {
            Err(failure) if failure.reason != Reason::Interrupted => {
                Err(steps::with_cause(failure, &self.surroundings(position, memory, Progress::silent())).await)
            }
            done => done,
        };
        let took = begun.elapsed();
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if let Err(failure) = &done
            && failure.reason == Reason::Interrupted
        {
            screen.clear().map_err(screen_gone)?;
            self.end(Some(failure))?;
            return Err(failure.clone());
        }
        let mut summary = match &done {
            Ok(()) => work.summary(),
            Err(failure) => failure.headline.clone(),
        };
        let before =
            self.state.stages.get(&stage.id).filter(|record| record.standing == StageStanding::Proven).cloned();
        let evidence = json!({
            "version": 1, "lab": self.lab.spec.name, "stage": stage.id, "run": self.journal.number(), "at": (self.clock)(),
            "proven": done.is_ok(), "summary": summary, "took_ms": took_ms, "steps": work.evidence,
            "failure": done.as_ref().err(),
        });
        let (path, relative) = self.journal.keep(position, &stage.id, &evidence)?;
        let standing = if done.is_ok() { StageStanding::Proven } else { StageStanding::Failed };
        let took_ms_to_remember = if work.changed {
            Some(took_ms)
        } else {
            self.state.stages.get(&stage.id).and_then(|record| record.took_ms)
        };
        match before {
            // The verdict was given when the routes were this stage's: its figures, evidence and age stay the stage's.
            Some(record) if done.is_ok() && work.verdict_superseded => {
                let ago = Duration::try_from((self.clock)().duration_since(record.at)).unwrap_or_default();
                summary = format!("proven {} ago; {}", age(ago), summary.replace('\n', ", "));
            }
            _ => self.stand(stage, standing, summary.clone(), Some(relative), took_ms_to_remember)?,
        }
        self.journal.record(&Event::StageEnded {
            stage: stage.id.clone(),
            proven: done.is_ok(),
            summary: summary.clone(),
            took_ms,
        })?;
        let outcome = match done {
            Ok(()) if work.changed => StageOutcome::Changed,
            Ok(()) => StageOutcome::Satisfied,
            Err(mut failure) => {
                failure.evidence = Some(path);
                StageOutcome::Failed { failure: Box::new(failure) }
            }
        };
        Ok(StageResult { stage: stage.id.clone(), outcome, summary, seconds: took.as_secs_f64() })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a stage's surroundings, taken apart so that each can be borrowed alone"
    )]
    async fn steps(
        &mut self,
        mode: Mode,
        position: usize,
        stage: &StageSpec,
        memory: &Memory,
        work: &mut StageWork,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<(), Failure> {
        let (progress, mut notes) = Progress::channel();
        let mut found: Option<Failure> = None;
        for (index, step) in stage.steps.iter().enumerate() {
            let kind = steps::kind(step);
            let plan = Plan::new(self.lab, self.state);
            if let Some(by) = plan.superseded_by(position, step) {
                work.superseded = Some(by.to_owned());
                work.verdict_superseded |= matches!(step, StepSpec::Traffic(_));
                work.evidence.push(json!({"step": index, "kind": kind, "outcome": StepOutcome::Superseded, "by": by}));
                self.done(stage, index, kind, StepOutcome::Superseded)?;
                continue;
            }
            let changed_by = plan.routes_changed_by(position).map(str::to_owned);
            if changed_by.is_some() && matches!(step, StepSpec::Predict(_)) {
                self.mend_ahead(mode, position, memory, &progress, &mut notes, screen, interrupt).await?;
            }
            let world = self.world(position, changed_by.is_some(), memory, progress.clone());
            if found.is_some() && steps::only_judges(step) {
                continue;
            }
            world.progress.awaiting(steps::subject(step, &world), None);
            let probe = drive(steps::probe(step, &world), screen, &mut notes, interrupt).await??;
            let (outcome, seen) = match probe {
                Probe::Satisfied(seen) if memory.was_mended(position, index) => {
                    work.changed = true;
                    (StepOutcome::Changed, seen)
                }
                Probe::Satisfied(seen) => (StepOutcome::Satisfied, seen),
                Probe::Judge => match drive(steps::judge(step, &world), screen, &mut notes, interrupt).await? {
                    Ok(seen) => (StepOutcome::Judged, seen),
                    Err(failure) if mode == Mode::Up && steps::can_mend(step, &failure) => {
                        self.changing(&stage.id, index, kind, failure.headline)?;
                        let change = drive(steps::apply(step, &world), screen, &mut notes, interrupt).await??;
                        let mut seen = drive(steps::judge(step, &world), screen, &mut notes, interrupt).await??;
                        seen.text = [change.text, seen.text].into_iter().flatten().reduce(|a, b| format!("{a}\n{b}"));
                        work.changed = true;
                        (StepOutcome::Changed, seen)
                    }
                    Err(failure) => return Err(failure),
                },
                // Whatever else of the stage is not as it was is named too; to judge it by what it does is idle then.
                Probe::Needed(failure) if mode == Mode::Verify => {
                    if hides_the_rest(failure.reason) {
                        return Err(failure);
                    }
                    match &mut found {
                        None => found = Some(failure),
                        Some(first) => {
                            first.observed.push(failure.headline);
                            first.observed.extend(failure.observed);
                        }
                    }
                    continue;
                }
                Probe::Needed(failure) => {
                    self.intend(steps::about_to_make(step, &failure, &world).await?)?;
                    self.changing(&stage.id, index, kind, failure.headline)?;
                    let change = drive(steps::apply(step, &world), screen, &mut notes, interrupt).await??;
                    self.remember_files(change.kept_files)?;
                    let mut seen = drive(steps::judge(step, &world), screen, &mut notes, interrupt).await??;
                    seen.text = change.text.or(seen.text);
                    self.remember(stage, change.created, Creator::Lab)?;
                    work.changed = true;
                    (StepOutcome::Changed, seen)
                }
            };
            self.account(stage, step, index, outcome, seen, work)?;
        }
        found.map_or(Ok(()), Err)
    }

    /// Puts back what later stages applied and somebody has changed since, before a step of an earlier stage judges by
    /// requests: these follow the routes of the last stage that was begun. Where nothing may be changed, what is not as
    /// it was is the reason why there is nothing to judge.
    #[expect(clippy::too_many_arguments, reason = "the surroundings of `steps`, and where in them it is called")]
    async fn mend_ahead(
        &mut self,
        mode: Mode,
        position: usize,
        memory: &Memory,
        progress: &Progress,
        notes: &mut UnboundedReceiver<LiveNote>,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<(), Failure> {
        let lab = self.lab;
        let mut last = position;
        for (later, stage) in lab.spec.stages.iter().enumerate().skip(position + 1) {
            if !self.state.stages.contains_key(&stage.id) {
                continue;
            }
            last = later;
            for (index, step) in stage.steps.iter().enumerate() {
                let counts = matches!(step, StepSpec::Namespace(_) | StepSpec::Apply(_) | StepSpec::Rollout(_));
                if !counts || Plan::new(lab, self.state).superseded_by(later, step).is_some() {
                    continue;
                }
                let world = self.world(later, false, memory, progress.clone());
                world.progress.awaiting(steps::subject(step, &world), None);
                let needed = match drive(steps::probe(step, &world), screen, notes, interrupt).await?? {
                    Probe::Needed(failure) => failure,
                    Probe::Satisfied(_) => continue,
                    Probe::Judge => match drive(steps::judge(step, &world), screen, notes, interrupt).await? {
                        Err(failure) if steps::can_mend(step, &failure) => failure,
                        // Its own stage judges it; here it only had to be waited for.
                        _ => continue,
                    },
                };
                if mode == Mode::Verify {
                    return Err(needed);
                }
                self.intend(steps::about_to_make(step, &needed, &world).await?)?;
                self.changing(&stage.id, index, steps::kind(step), needed.headline)?;
                let change = drive(steps::apply(step, &world), screen, notes, interrupt).await??;
                self.remember(stage, change.created, Creator::Lab)?;
                memory.mended(later, index);
            }
        }
        let world = self.world(last, false, memory, progress.clone());
        drive(steps::await_routes(&world), screen, notes, interrupt).await?
    }

    /// Tells that a step is about to change something.
    fn changing(&mut self, stage: &str, step: usize, kind: &str, why: String) -> Result<(), Failure> {
        let event = Event::StepChanging { stage: stage.to_owned(), step, kind: kind.to_owned(), why };
        Ok(self.journal.record(&event)?)
    }

    /// What a step of the stage at `position` may look at and change.
    pub(super) fn world<'w>(
        &self,
        position: usize,
        routes_changed_since: bool,
        memory: &'w Memory,
        progress: Progress,
    ) -> World<'w>
    where
        Self: 'w,
    {
        World {
            lab: self.lab,
            home: self.home,
            provider: self.provider,
            environment: self.environment,
            choices: self.choices,
            progress,
            stage: position,
            routes_changed_since,
            memory,
        }
    }

    /// Takes what a step has shown into records and summary.
    fn account(
        &mut self,
        stage: &StageSpec,
        step: &StepSpec,
        index: usize,
        outcome: StepOutcome,
        seen: Seen,
        work: &mut StageWork,
    ) -> Result<(), Failure> {
        let kind = steps::kind(step);
        self.done(stage, index, kind, outcome)?;
        for warning in &seen.warnings {
            self.journal
                .record(&Event::Warning { reason: warning.reason.id().to_owned(), text: warning.headline.clone() })?;
        }
        match step {
            StepSpec::Cluster(_) => self.same_cluster_or_forget(&seen.facts)?,
            StepSpec::WorkFolder | StepSpec::Model(_) => self.remember_written(&seen.facts)?,
            _ => {}
        }
        let mut objects = seen.objects;
        if let StepSpec::Model(_) = step {
            // What a model lies in is the lab's only if the lab made it; another's is used, and nobody adopts it.
            let intended = &self.state.intended;
            objects.retain(|object| ObjectRef::of(object).is_some_and(|found| intended.contains(&found.label())));
        }
        self.remember(stage, objects, Creator::Learner)?;
        work.evidence.push(json!({"step": index, "kind": kind, "outcome": outcome, "seen": seen.facts}));
        match seen.text {
            Some(text) if matches!(step, StepSpec::Apply(_)) => work.applied.push(text),
            Some(text) => work.lines.push(text),
            None if matches!(step, StepSpec::Apply(_)) => work.unchanged += 1,
            None => {}
        }
        Ok(())
    }

    fn done(&mut self, stage: &StageSpec, step: usize, kind: &str, outcome: StepOutcome) -> Result<(), Failure> {
        Ok(self.journal.record(&Event::StepDone { stage: stage.id.clone(), step, kind: kind.to_owned(), outcome })?)
    }

    pub(super) fn save(&self) -> Result<(), Failure> {
        Ok(StateFile::of(self.home).save(self.state)?)
    }

    fn stand(
        &mut self,
        stage: &StageSpec,
        standing: StageStanding,
        summary: String,
        evidence: Option<String>,
        took_ms: Option<u64>,
    ) -> Result<(), Failure> {
        let took_ms = took_ms.or_else(|| self.state.stages.get(&stage.id).and_then(|record| record.took_ms));
        let record =
            StageRecord { standing, at: (self.clock)(), run: self.journal.number(), summary, evidence, took_ms };
        self.state.stages.insert(stage.id.clone(), record);
        self.save()
    }

    /// Notes the objects that are about to be made, so that they are known as the lab's even if the run ends before they
    /// are in the inventory.
    fn intend(&mut self, labels: Vec<String>) -> Result<(), Failure> {
        let before = self.state.intended.len();
        for label in labels {
            if !self.state.intended.contains(&label) {
                self.state.intended.push(label);
            }
        }
        if self.state.intended.len() == before { Ok(()) } else { self.save() }
    }

    /// Puts objects into the inventory; ones that nobody intended are their `creator`'s.
    fn remember(&mut self, stage: &StageSpec, objects: Vec<Value>, creator: Creator) -> Result<(), Failure> {
        let before = (self.state.inventory.clone(), self.state.intended.len());
        for object in objects {
            let Some(gvk) = Gvk::of(&object) else { continue };
            let mut item = Item {
                api_version: gvk.api_version(),
                kind: gvk.kind,
                namespace: meta::namespace(&object).map(str::to_owned),
                name: meta::name(&object).to_owned(),
                uid: meta::uid(&object).to_owned(),
                creator,
                stage: stage.id.clone(),
                generation: meta::integer_at(&object, &["metadata", "generation"]),
            };
            let label = item.label();
            // The stage that needs it first, also when it is one that shapes it later by which it is found.
            if let Some(first) = self.lab.first_to_apply(&label) {
                item.stage.clone_from(&first.id);
            }
            if let Some(index) = self.state.intended.iter().position(|intended| *intended == label) {
                self.state.intended.remove(index);
                // An intended object that was there before belongs to whoever made it.
                if self.state.creator_of(&item).is_none() {
                    item.creator = Creator::Lab;
                }
            }
            self.state.remember(item);
        }
        if before == (self.state.inventory.clone(), self.state.intended.len()) { Ok(()) } else { self.save() }
    }

    fn remember_files(&mut self, kept: Vec<(String, String)>) -> Result<(), Failure> {
        if kept.is_empty() {
            return Ok(());
        }
        self.state.kept_files.extend(kept.into_iter().map(|(was, is)| Place { was, is }));
        self.save()
    }

    /// Notes what the lab's files in the work folder are, so that a changed one is told from the lab's when they go.
    fn remember_written(&mut self, facts: &Value) -> Result<(), Failure> {
        let files = facts["files"].as_object().into_iter().flatten();
        let files = files.filter_map(|(name, digest)| Some((name.clone(), digest.as_str()?.to_owned())));
        let mut known = self.state.work_files.clone();
        known.extend(files);
        if self.state.work_files == known {
            return Ok(());
        }
        self.state.work_files = known;
        self.save()
    }

    /// Another cluster than the one that the records speak of has none of their objects.
    fn same_cluster_or_forget(&mut self, facts: &Value) -> Result<(), Failure> {
        let uid = facts["cluster"].as_str().map(str::to_owned);
        if self.state.cluster.is_some() && self.state.cluster != uid {
            self.state.forget_cluster(&["preflight", "cluster", "models"]);
        }
        self.state.provider = Some(self.provider.name().to_owned());
        self.state.cluster = uid;
        self.save()
    }
}

/// Whether, after this failure, looking further would only repeat it.
fn hides_the_rest(reason: Reason) -> bool {
    matches!(reason, Reason::ClusterNotRunning | Reason::ApiUnreachable)
}

/// Drives work to its end while the live line is drawn and signals are heard.
pub(super) async fn drive<T>(
    work: impl Future<Output = T>,
    screen: &mut Screen<'_>,
    notes: &mut UnboundedReceiver<LiveNote>,
    interrupt: &mut Interrupt,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            biased;
            signal = interrupt.heard() => {
                return Err(Failure::new(Reason::Interrupted, "stopped; nothing that holds is lost").observed(format!("{signal} was received")));
            }
            result = &mut work => return Ok(result),
            Some(note) = notes.recv() => screen.note(note).map_err(screen_gone)?,
            _ = ticks.tick() => screen.tick().map_err(screen_gone)?,
        }
    }
}

/// A screen that cannot be written to.
pub(super) fn screen_gone(error: std::io::Error) -> Failure {
    Failure::new(Reason::Internal, "the output cannot be written").observed(error.to_string())
}
