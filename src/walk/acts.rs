//! What the keys do: working on a stage, checking it, comparing, explaining, asking.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::Key;
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use super::changes;
use super::inputs::{Input, Inputs, SUSPEND};
use super::keyboard::{Ask, Heard};
use super::notice::{lab_namespaces, note_event};
use super::page::Standing;
use super::play::{Then, Walk, draw, no_terminal};
use super::terminal::Taken;
use super::view::{Look, Panel, Place, View, Work};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, StageSpec};
use crate::run::{Interrupt, Mode, StageOutcome, StageResult};
use crate::steps::{Memory, picture_of};
use crate::ui::{LiveNote, Paint, Progress, Screen, wrap};

/// How long after the lab's own work its changes may still be told by a watch.
const ECHO: Duration = Duration::from_secs(1);

/// What a key means while something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// It waits; q and escape leave what is done.
    Wait,
    /// It comes first: nobody asked for what is done.
    First,
}

/// Something that was done while inputs were heard, and whether a signal asked for the end meanwhile.
pub(super) struct Done<T> {
    pub(super) result: T,
    pub(super) signal: Option<&'static str>,
}

impl Walk<'_> {
    /// Does the stage, and the ones before it that are not done, after asking.
    pub(super) async fn do_it(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let first = view.board.standing.iter().position(|standing| *standing != Standing::Proven).unwrap_or(position);
        if first < position {
            let stages = &self.engine.lab.spec.stages;
            let text = if first + 1 == position {
                format!("Stage {} ({}) comes first. The lab does it as well.", first + 1, stages[first].title)
            } else {
                format!("Stages {} to {} come first. The lab does them as well.", first + 1, position)
            };
            let ask = Ask::Confirm { text: "Go on?".to_owned(), default: true };
            match self.prompt(&text, ask, view, inputs).await? {
                Answer::Confirmed(true) => {}
                Answer::Signal(signal) => return Ok(Then::Leave(Some(signal))),
                _ => return Ok(Then::Stay),
            }
        } else if let Then::Leave(signal) = match self.may_replace(position, view, inputs, memory).await? {
            Some(then) => then,
            None => return Ok(Then::Stay),
        } {
            return Ok(Then::Leave(signal));
        }
        for stage in first.min(position)..=position {
            view.place = Place::Stage(stage);
            let then = self.run(Mode::Up, stage, "working", view, inputs, memory).await?;
            if matches!(then, Then::Leave(_)) || !view.is_proven() {
                return Ok(then);
            }
        }
        Ok(Then::Stay)
    }

    /// Asks before an object that somebody shaped otherwise gets the lab's shape; none when the answer is no.
    pub(super) async fn may_replace(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Option<Then>, Failure> {
        let edited: Vec<String> = view.seen.edited().map(str::to_owned).collect();
        if edited.is_empty() {
            return Ok(Some(Then::Stay));
        }
        let lacking = {
            let made = self.engine.made(position, memory);
            // No key is asked for: a prompt may follow.
            Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::Wait, made).await?
        };
        if lacking.signal.is_some() {
            return Ok(Some(Then::Leave(lacking.signal)));
        }
        let Some(Ok(Err(failure))) = lacking.result else { return Ok(Some(Then::Stay)) };
        let touched = edited.iter().any(|label| {
            let name = label.rsplit([' ', '/']).next().unwrap_or(label);
            failure.headline.contains(&format!("/{name} ")) || failure.headline.contains(&format!(" {name} "))
        });
        if failure.reason != Reason::ObjectChanged || !touched {
            return Ok(Some(Then::Stay));
        }
        let text = format!("{}. Key d shows the difference. The lab's own would take its place.", failure.headline);
        let ask = Ask::Confirm { text: "Replace it?".to_owned(), default: true };
        match self.prompt(&text, ask, view, inputs).await? {
            Answer::Confirmed(true) => Ok(Some(Then::Stay)),
            Answer::Signal(signal) => Ok(Some(Then::Leave(Some(signal)))),
            _ => Ok(None),
        }
    }

    /// Runs one stage while everything else is heard.
    pub(super) async fn run(
        &mut self,
        mode: Mode,
        position: usize,
        what: &str,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let typical = self.engine.typical_time(position);
        inputs.key();
        view.panel = Panel::None;
        view.status = None;
        view.work = Some(work(what, typical));
        let (tell, mut notes) = unbounded_channel();
        let (stop, stopped) = unbounded_channel();
        let mut interrupt = Interrupt::told_by(stopped);
        let mut nowhere = io::sink();
        let mut screen = Screen::new(&mut nowhere, None, Paint::PLAIN, 80).told_to(tell);
        let lab = self.engine.lab;
        let mut signal = None;
        let outcome = {
            let running = self.engine.alone(mode, position, memory, &mut screen, &mut interrupt);
            let mut running = std::pin::pin!(running);
            loop {
                draw(self.out, &self.look, lab, view)?;
                tokio::select! {
                    biased;
                    outcome = &mut running => break outcome,
                    Some(note) = notes.recv() => if let Some(work) = &mut view.work { work.note = note },
                    input = inputs.next() => match input {
                        // What is worked on stops with the process, and goes on with it.
                        Input::Heard(Heard::Key(SUSPEND)) => inputs.suspend().map_err(no_terminal)?,
                        Input::Heard(Heard::Key(key)) => {
                            inputs.key();
                            match key {
                                Key::CtrlC | Key::Escape | Key::Char('q') => { let _ = stop.send("Ctrl-C"); }
                                Key::ArrowDown | Key::Char(' ') => view.scroll += 1,
                                Key::ArrowUp => view.scroll = view.scroll.saturating_sub(1),
                                _ => {}
                            }
                        }
                        Input::Heard(Heard::Gone) => { signal = Some("SIGHUP"); let _ = stop.send("SIGHUP"); }
                        Input::Heard(_) => inputs.key(),
                        Input::Signal(name) => { signal = Some(name); let _ = stop.send(name); }
                        Input::Cluster(event) => {
                            let by = if mode == Mode::Up { "the lab" } else { "you" };
                            if note_event(view, &event, by, &lab_namespaces(lab)) && mode != Mode::Up {
                                view.look_soon();
                            }
                        }
                        Input::Resized | Input::Tick => {}
                    },
                }
            }
        };
        view.work = None;
        if outcome.is_ok() {
            // Now there is a record of how it stands.
            view.fallen.remove(&position);
        }
        if mode == Mode::Up {
            view.own_until = Some((Instant::now() + ECHO, position));
        }
        self.refresh(view);
        match outcome {
            Ok(result) => self.tell(position, &result, view),
            Err(failure) if failure.reason == Reason::Interrupted => {
                self.engine.open("walk")?;
                view.status = Some("Stopped. What holds is kept; enter goes on from there.".to_owned());
            }
            Err(failure) => return Err(failure),
        }
        Ok(signal.map_or(Then::Stay, |signal| Then::Leave(Some(signal))))
    }

    /// Puts the outcome of a stage on the screen.
    fn tell(&self, position: usize, result: &StageResult, view: &mut View) {
        let panel = match &result.outcome {
            StageOutcome::Failed { failure } => Panel::Failed(failure.clone()),
            _ => self.proof(position),
        };
        if view.position() == Some(position) {
            Self::show(view, panel);
        }
    }

    /// What proved the stage.
    pub(super) fn proof(&self, position: usize) -> Panel {
        let stage = &self.engine.lab.spec.stages[position];
        let summary = self.engine.state.stages.get(&stage.id).map(|record| record.summary.clone());
        let picture = picture_of(self.engine.lab, self.engine.home);
        Panel::Proven(summary.unwrap_or_default(), Box::new(self.evidence(stage)), Arc::new(picture))
    }

    /// The evidence that the stage left, or null.
    pub(super) fn evidence(&self, stage: &StageSpec) -> Value {
        let record = self.engine.state.stages.get(&stage.id);
        let path = record.and_then(|record| record.evidence.as_ref()).map(|path| self.engine.home.root().join(path));
        let text = path.and_then(|path| std::fs::read(path).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Looks at what somebody did in the cluster: whether it completes the stage that is shown, which is then checked, and
    /// whether what was proven of others still holds.
    pub(super) async fn look(
        &mut self,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let shown = view.position().filter(|position| self.engine.is_visible(*position));
        if let Some(position) = shown
            && let Then::Leave(signal) = self.look_at(position, view, inputs, memory).await?
        {
            return Ok(Then::Leave(signal));
        }
        for position in 0..self.engine.lab.spec.stages.len() {
            let stage = &self.engine.lab.spec.stages[position];
            if inputs.is_key_kept() {
                break;
            }
            let counts = self.engine.is_visible(position) && self.engine.state.is_proven(&stage.id);
            if Some(position) == shown || !counts {
                continue;
            }
            let Done { result, signal } = {
                let made = self.engine.made(position, memory);
                Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::First, made).await?
            };
            if signal.is_some() {
                return Ok(Then::Leave(signal));
            }
            match result {
                Some(Ok(Ok(()))) => drop(view.fallen.remove(&position)),
                Some(Ok(Err(failure)) | Err(failure)) => drop(view.fallen.insert(position, failure.headline)),
                None => {}
            }
        }
        self.refresh(view);
        Ok(Then::Stay)
    }

    /// Looks whether the stage that is shown is complete, and then checks it.
    async fn look_at(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let Done { result, signal } = {
            let made = self.engine.made(position, memory);
            Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::First, made).await?
        };
        if signal.is_some() {
            return Ok(Then::Leave(signal));
        }
        match result {
            Some(Ok(Ok(()))) if view.is_proven() => Ok(Then::Stay),
            Some(Ok(Ok(()))) => self.run(Mode::Verify, position, "seen, checking", view, inputs, memory).await,
            Some(Ok(Err(failure))) => {
                view.status = Some(format!("Not yet: {}", failure.headline));
                if view.is_proven() {
                    view.fallen.insert(position, failure.headline);
                    view.panel = Panel::None;
                    self.refresh(view);
                }
                Ok(Then::Stay)
            }
            Some(Err(failure)) => {
                view.status = Some(failure.headline);
                Ok(Then::Stay)
            }
            None => Ok(Then::Stay),
        }
    }

    pub(super) async fn what_changes(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        inputs.key();
        view.work = Some(work("comparing with the cluster", None));
        let steps = &self.engine.lab.spec.stages[position].steps;
        let world = self.engine.surroundings(position, memory, Progress::silent());
        let done = {
            let changes = changes::of_stage(steps, &world);
            Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::Wait, changes).await?
        };
        view.work = None;
        match done.result {
            Some(Ok(changes)) => Self::show(view, Panel::Changes(changes)),
            Some(Err(failure)) => Self::show(view, Panel::Failed(Box::new(failure))),
            None => {}
        }
        Ok(done.signal.map_or(Then::Stay, |signal| Then::Leave(Some(signal))))
    }

    pub(super) async fn explain(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let stage = &self.engine.lab.spec.stages[position];
        let deeper = self.engine.lab.guide.stage(&stage.id).deeper.unwrap_or_else(|| stage.about.clone());
        let world = self.engine.surroundings(position, memory, Progress::silent());
        let story = async {
            let asked = crate::steps::prediction(world.lab);
            let api = world.api().await.ok()?;
            let facts = crate::steps::facts(&api, world.lab, world.environment, &asked, &[]).await.ok()?;
            // Before there is a Gateway a request is no part of the stage.
            facts.gateways().next()?;
            Some(crate::hints::explain(&facts, &asked).lines)
        };
        inputs.key();
        view.work = Some(work("looking", None));
        let done = Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::Wait, story).await?;
        view.work = None;
        if let Some(lines) = done.result {
            Self::show(view, Panel::Explained(lines.unwrap_or_default(), deeper));
        }
        Ok(done.signal.map_or(Then::Stay, |signal| Then::Leave(Some(signal))))
    }

    pub(super) async fn hint(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        inputs.key();
        view.work = Some(work("looking", None));
        let world = self.engine.surroundings(position, memory, Progress::silent());
        let engine = &self.engine;
        let looking = async {
            // Without a cluster there is nothing to judge; what is missing then is told by the stage's own first step.
            match crate::steps::hints(&world).await {
                Ok(found) if !found.is_empty() => Ok(found),
                _ => engine.made(position, memory).await.map(|made| made.err().into_iter().collect()),
            }
        };
        let done = Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::Wait, looking).await?;
        view.work = None;
        match done.result {
            Some(Ok(found)) => Self::show(view, Panel::Hints(found)),
            Some(Err(failure)) => Self::show(view, Panel::Hints(vec![failure])),
            None => {}
        }
        Ok(done.signal.map_or(Then::Stay, |signal| Then::Leave(Some(signal))))
    }

    pub(super) async fn question(
        &mut self,
        position: usize,
        view: &mut View,
        inputs: &mut Inputs,
    ) -> Result<Then, Failure> {
        let stage = &self.engine.lab.spec.stages[position];
        let questions = self.engine.lab.guide.stage(&stage.id).questions;
        let asked = match &view.panel {
            Panel::Answered { ask, .. } => {
                questions.iter().position(|question| question.ask == *ask).map_or(0, |at| at + 1)
            }
            _ => 0,
        };
        let Some(question) = questions.get(asked % questions.len().max(1)) else { return Ok(Then::Stay) };
        let ask =
            Ask::Choose {
                text: "Your answer (↑ ↓, enter or esc)".to_owned(), items: question.choices.clone(), at: 0
            };
        match self.prompt(&question.ask, ask, view, inputs).await? {
            Answer::Chosen(choice) => {
                let panel = Panel::Answered {
                    ask: question.ask.clone(),
                    right: choice == question.right,
                    because: question.because.clone(),
                };
                Self::show(view, panel);
                Ok(Then::Stay)
            }
            Answer::Signal(signal) => Ok(Then::Leave(Some(signal))),
            _ => Ok(Then::Stay),
        }
    }

    pub(super) async fn choose_stage(&mut self, view: &mut View, inputs: &mut Inputs) -> Result<Then, Failure> {
        let stages = &self.engine.lab.spec.stages;
        let sign = |standing: &Standing| match standing {
            Standing::Proven => '●',
            Standing::Failed => '✗',
            Standing::Open => '○',
        };
        let items = stages.iter().zip(&view.board.standing).enumerate();
        let items =
            items.map(|(index, (stage, standing))| format!("{} {:>2} {}", sign(standing), index + 1, stage.title));
        let at = view.position().unwrap_or(0);
        let ask = Ask::Choose { text: "Go to a stage (↑ ↓, enter or esc)".to_owned(), items: items.collect(), at };
        match self.prompt("", ask, view, inputs).await? {
            Answer::Chosen(position) => {
                self.go(view, Place::Stage(position));
                Ok(Then::Stay)
            }
            Answer::Signal(signal) => Ok(Then::Leave(Some(signal))),
            _ => Ok(Then::Stay),
        }
    }

    /// Shows a prompt on an empty screen and waits for its answer; signals are heard meanwhile.
    pub(super) async fn prompt(
        &mut self,
        lead: &str,
        ask: Ask,
        view: &mut View,
        inputs: &mut Inputs,
    ) -> Result<Answer, Failure> {
        let (_, columns) = Taken::size();
        let mut text = String::from("\x1b[2J\x1b[H");
        for line in wrap(lead, columns.saturating_sub(2).max(20)) {
            text.push_str(&format!(" {line}\r\n"));
        }
        if !lead.is_empty() {
            text.push_str("\r\n");
        }
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(no_terminal)?;
        inputs.ask(ask);
        let answer = loop {
            match inputs.next().await {
                Input::Heard(Heard::Confirmed(answer)) => break answer.map_or(Answer::Left, Answer::Confirmed),
                Input::Heard(Heard::Chosen(answer)) => break answer.map_or(Answer::Left, Answer::Chosen),
                Input::Heard(Heard::Gone) => break Answer::Signal("SIGHUP"),
                Input::Signal(signal) => break Answer::Signal(signal),
                Input::Cluster(event) => self.notice(view, &event),
                Input::Heard(Heard::Key(_)) | Input::Resized | Input::Tick => {}
            }
        };
        inputs.key();
        self.out.write_all(b"\x1b[?25l\x1b[2J").map_err(no_terminal)?;
        Ok(answer)
    }

    /// Drives something to its end while the screen is drawn and signals are heard. The result is none when a key or
    /// signal has stopped it. A key that means something else is kept for afterwards, so that none is lost.
    pub(super) async fn meanwhile<T>(
        out: &mut dyn Write,
        look: &Look,
        lab: &Lab,
        view: &mut View,
        inputs: &mut Inputs,
        keys: Keys,
        work: impl Future<Output = T>,
    ) -> Result<Done<Option<T>>, Failure> {
        let mut work = std::pin::pin!(work);
        let mut early = None;
        let done = loop {
            tokio::select! {
                biased;
                result = &mut work => break Done { result: Some(result), signal: None },
                input = inputs.next() => match input {
                    Input::Signal(signal) => break Done { result: None, signal: Some(signal) },
                    Input::Heard(Heard::Gone) => break Done { result: None, signal: Some("SIGHUP") },
                    Input::Heard(Heard::Key(Key::CtrlC)) => break Done { result: None, signal: Some("SIGINT") },
                    Input::Heard(Heard::Key(Key::Char('q') | Key::Escape)) if keys == Keys::Wait => {
                        inputs.key();
                        break Done { result: None, signal: None };
                    }
                    Input::Heard(Heard::Key(SUSPEND)) => {
                        inputs.suspend().map_err(no_terminal)?;
                        draw(out, look, lab, view)?;
                    }
                    // The next key stays in the terminal until this one was told.
                    Input::Heard(Heard::Key(key)) => {
                        early = Some(key);
                        if keys == Keys::First {
                            break Done { result: None, signal: None };
                        }
                    }
                    Input::Heard(_) => inputs.key(),
                    Input::Cluster(event) => if note_event(view, &event, "you", &lab_namespaces(lab)) {
                        view.look_soon();
                    },
                    Input::Resized | Input::Tick => draw(out, look, lab, view)?,
                },
            }
        };
        if let Some(key) = early {
            inputs.keep(key);
        }
        Ok(done)
    }
}

/// The answer to a prompt.
pub(super) enum Answer {
    Confirmed(bool),
    Chosen(usize),
    /// Left without an answer.
    Left,
    Signal(&'static str),
}

pub(super) fn work(what: &str, typical: Option<Duration>) -> Work {
    Work { what: what.to_owned(), note: LiveNote::default(), since: Instant::now(), typical }
}
