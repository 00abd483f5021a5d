//! From input to input.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use console::Key;

use super::acts::{Done, Keys, work};
use super::inputs::{Input, Inputs, SUSPEND};
use super::keyboard::Heard;
use super::notice::{lab_namespaces, note_event};
use super::page::Standing;
use super::seen::Sightings;
use super::terminal::Taken;
use super::view::{Board, Look, Panel, Place, View};
use crate::cluster::Watched;
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, StageSpec, StepSpec};
use crate::objects::meta;
use crate::run::{Engine, Mode};
use crate::state::{Creator, StageStanding};
use crate::steps::Memory;

/// How many events may be taken in before the screen is drawn.
const SWALLOW: usize = 64;

/// A walk through a lab.
pub struct Walk<'a> {
    /// Runs the stages.
    pub engine: Engine<'a>,
    /// Where pages are drawn: a terminal.
    pub out: &'a mut dyn Write,
    /// How they are drawn.
    pub look: Look,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How many stages are proven.
    pub proven: usize,
    /// Of how many.
    pub of: usize,
    /// The signal that ended it, if it was one.
    pub signal: Option<&'static str>,
}

/// What the loop does next.
pub(super) enum Then {
    Stay,
    Leave(Option<&'static str>),
}

impl Walk<'_> {
    /// Plays until the person leaves. The terminal is as before when this returns, whatever happened.
    pub async fn play(mut self) -> Result<Ended, Failure> {
        let since = (self.engine.clock)();
        let kubeconfig = self.engine.provider.kubeconfig().to_path_buf();
        let taken = Taken::take().map_err(no_terminal)?;
        let mut inputs = Inputs::start(kubeconfig, self.look.paint.is_coloured()).map_err(no_terminal)?;
        self.engine.open("walk")?;
        let mut usual = lab_namespaces(self.engine.lab);
        usual.push(self.engine.lab.spec.ingress.namespace.clone());
        let mut view = View {
            place: Place::Welcome,
            board: Board::default(),
            panel: Panel::None,
            scroll: 0,
            to_panel: false,
            work: None,
            status: None,
            seen: Sightings::since(since, usual),
            look_at: None,
            fallen: BTreeMap::new(),
            own_until: None,
        };
        let memory = Memory::default();
        let played = self.turns(&mut view, &mut inputs, &memory).await;
        let closed = self.engine.close(played.as_ref().err());
        inputs.settle().await;
        taken.give_back();
        closed?;
        let signal = played?;
        let proven = view.board.standing.iter().filter(|standing| **standing == Standing::Proven).count();
        Ok(Ended { proven, of: view.board.standing.len(), signal })
    }

    async fn turns(
        &mut self,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Option<&'static str>, Failure> {
        self.refresh(view);
        if let Then::Leave(signal) = self.find_place(view, inputs, memory).await? {
            return Ok(signal);
        }
        loop {
            inputs.key();
            self.draw(view)?;
            let mut input = inputs.next().await;
            for _ in 0..SWALLOW {
                // A burst of events is one change of the screen.
                match input {
                    Input::Cluster(event) => self.notice(view, &event),
                    Input::Tick => {}
                    other => {
                        input = other;
                        break;
                    }
                }
                if view.is_time_to_look() {
                    input = Input::Tick;
                    break;
                }
                input = inputs.next().await;
                if matches!(input, Input::Tick) && view.seen.is_news() {
                    break;
                }
            }
            let then = match input {
                Input::Signal(signal) => Then::Leave(Some(signal)),
                Input::Heard(heard) => self.heard(heard, view, inputs, memory).await?,
                Input::Cluster(event) => {
                    self.notice(view, &event);
                    Then::Stay
                }
                Input::Resized | Input::Tick => Then::Stay,
            };
            if let Then::Leave(signal) = then {
                return Ok(signal);
            }
            if view.is_time_to_look() {
                view.look_at = None;
                if let Then::Leave(signal) = self.look(view, inputs, memory).await? {
                    return Ok(signal);
                }
                if inputs.is_key_kept() {
                    // The look gave way to a key, and comes after it.
                    view.look_soon();
                }
            }
        }
    }

    /// The first stage that is not proven, or does not hold any more.
    async fn find_place(&mut self, view: &mut View, inputs: &mut Inputs, memory: &Memory) -> Result<Then, Failure> {
        let count = view.board.standing.len();
        if view.board.standing.iter().all(|standing| *standing == Standing::Open) {
            return Ok(Then::Stay);
        }
        view.place = Place::Stage(0);
        for position in 0..count {
            view.place = Place::Stage(position);
            view.board.left = self.time_left(position);
            if view.board.standing[position] != Standing::Proven {
                if view.board.standing[position] == Standing::Failed {
                    let summary = &view.board.summaries[position];
                    view.status = Some(format!("It did not succeed last time: {summary}"));
                }
                return Ok(Then::Stay);
            }
            view.work = Some(work("looking at what stands", None));
            let Done { result, signal } = {
                let made = self.engine.made(position, memory);
                Self::meanwhile(self.out, &self.look, self.engine.lab, view, inputs, Keys::Wait, made).await?
            };
            view.work = None;
            if signal.is_some() {
                return Ok(Then::Leave(signal));
            }
            let lacking = match result {
                None => return Ok(Then::Leave(None)),
                Some(Ok(Ok(()))) => continue,
                Some(Ok(Err(failure)) | Err(failure)) => failure,
            };
            view.fallen.insert(position, lacking.headline);
            self.go(view, Place::Stage(position));
            return Ok(Then::Stay);
        }
        view.place = Place::Closing;
        Ok(Then::Stay)
    }

    async fn heard(
        &mut self,
        heard: Heard,
        view: &mut View,
        inputs: &mut Inputs,
        memory: &Memory,
    ) -> Result<Then, Failure> {
        let key = match heard {
            Heard::Key(key) => key,
            Heard::Gone => return Ok(Then::Leave(Some("SIGHUP"))),
            // An answer that nobody waits for any more.
            Heard::Confirmed(_) | Heard::Chosen(_) => return Ok(Then::Stay),
        };
        match (&key, view.place) {
            (Key::CtrlC, _) => return Ok(Then::Leave(Some("SIGINT"))),
            (Key::Char('q'), _) => return Ok(Then::Leave(None)),
            (&SUSPEND, _) => {
                inputs.suspend().map_err(no_terminal)?;
                return Ok(Then::Stay);
            }
            // These may prompt, and a prompt reads keys itself.
            (Key::Char('l'), _) => return self.choose_stage(view, inputs).await,
            (Key::Char('a'), Place::Stage(position)) => return self.question(position, view, inputs).await,
            (Key::Enter, Place::Stage(position)) if !view.is_proven() => {
                return self.do_it(position, view, inputs, memory).await;
            }
            _ => inputs.key(),
        }
        match (key, view.place) {
            (Key::ArrowDown | Key::Char('j'), _) => Self::scroll(view, 1),
            (Key::ArrowUp | Key::Char('k'), _) => Self::scroll(view, -1),
            (Key::PageDown | Key::Char(' '), _) => Self::scroll(view, 10),
            (Key::PageUp, _) => Self::scroll(view, -10),
            (Key::Home, _) => view.scroll = 0,
            (Key::End, _) => Self::scroll(view, 10_000),
            (Key::Escape, _) => Self::show(view, Panel::None),
            (Key::Enter, Place::Welcome) => self.go(view, Place::Stage(0)),
            (Key::Char('b') | Key::ArrowLeft, place) => self.go(view, self.before(place)),
            (Key::ArrowRight | Key::Char('n'), place) => self.go(view, self.after(place)),
            (Key::Enter, Place::Stage(_)) => self.go(view, self.after(view.place)),
            (Key::Char('c'), Place::Stage(position)) => {
                return self.run(Mode::Verify, position, "checking", view, inputs, memory).await;
            }
            (Key::Char('d'), Place::Stage(position)) => return self.what_changes(position, view, inputs, memory).await,
            (Key::Char('e'), Place::Stage(position)) => return self.explain(position, view, inputs, memory).await,
            (Key::Char('h'), Place::Stage(position)) => return self.hint(position, view, inputs, memory).await,
            _ => {}
        }
        Ok(Then::Stay)
    }

    fn before(&self, place: Place) -> Place {
        match place {
            Place::Welcome | Place::Stage(0) => Place::Welcome,
            Place::Stage(position) => Place::Stage(position - 1),
            Place::Closing => Place::Stage(self.engine.lab.spec.stages.len() - 1),
        }
    }

    fn after(&self, place: Place) -> Place {
        match place {
            Place::Welcome => Place::Stage(0),
            Place::Stage(position) if position + 1 < self.engine.lab.spec.stages.len() => Place::Stage(position + 1),
            Place::Stage(_) | Place::Closing => Place::Closing,
        }
    }

    /// Shows another page. What was proven before is shown with its proof.
    pub(super) fn go(&mut self, view: &mut View, place: Place) {
        view.place = place;
        view.scroll = 0;
        view.seen.clear();
        view.panel = Panel::None;
        self.refresh(view);
        if let (Place::Stage(position), true) = (place, view.is_proven()) {
            view.panel = self.proof(position);
        }
        let fallen = view.position().and_then(|position| view.fallen.get(&position));
        view.status = fallen.map(|why| format!("It was proven before and does not hold any more: {why}"));
    }

    pub(super) fn show(view: &mut View, panel: Panel) {
        view.panel = panel;
        view.to_panel = true;
    }

    fn scroll(view: &mut View, lines: isize) {
        view.to_panel = false;
        view.scroll = view.scroll.saturating_add_signed(lines);
    }

    /// Takes in a change of the cluster; what somebody decided that concerns the lab is looked at soon.
    pub(super) fn notice(&self, view: &mut View, event: &Watched) {
        let own =
            view.own_until.is_some_and(|(until, stage)| Instant::now() < until && self.is_labs(view, event, stage));
        let decided = note_event(view, event, if own { "the lab" } else { "you" }, &lab_namespaces(self.engine.lab));
        // What does not hold may come to hold by itself: pods get ready.
        if (decided || !view.fallen.is_empty()) && !own {
            view.look_soon();
        }
    }

    /// Whether a change may be the echo of the lab's work on a stage: of an object that the lab remembers, or of the mesh,
    /// which it makes, and whose address it changes where it runs the tunnel. Nothing is deleted by a stage.
    fn is_labs(&self, view: &View, event: &Watched, stage: usize) -> bool {
        let Watched::Is(object) = event else { return false };
        let tunnel = || self.engine.lab.spec.stages[stage].steps.iter().any(|step| matches!(step, StepSpec::Tunnel));
        if meta::namespace(object) == Some(&self.engine.lab.spec.ingress.namespace) {
            return tunnel() || !view.seen.knows(object);
        }
        let uid = meta::uid(object);
        self.engine.state.inventory.iter().any(|item| item.uid == uid && item.creator != Creator::Learner)
    }

    /// Reads the records anew.
    pub(super) fn refresh(&self, view: &mut View) {
        let stages = &self.engine.lab.spec.stages;
        let record = |stage: &StageSpec| self.engine.state.stages.get(&stage.id);
        view.board = Board {
            standing: stages
                .iter()
                .enumerate()
                .map(|(position, stage)| match record(stage).map(|record| record.standing) {
                    Some(StageStanding::Proven) if view.fallen.contains_key(&position) => Standing::Failed,
                    Some(StageStanding::Proven) => Standing::Proven,
                    Some(StageStanding::Failed) => Standing::Failed,
                    Some(StageStanding::Begun) | None => Standing::Open,
                })
                .collect(),
            summaries: stages
                .iter()
                .map(|stage| record(stage).map(|record| record.summary.clone()).unwrap_or_default())
                .collect(),
            left: self.time_left(view.position().unwrap_or(0)),
        };
    }

    /// How long the rest takes from that stage on: working, and reading.
    fn time_left(&self, position: usize) -> Duration {
        self.engine.time_left(position) + reading_time(self.engine.lab.spec.stages.len() - position)
    }

    fn draw(&mut self, view: &mut View) -> Result<(), Failure> {
        draw(self.out, &self.look, self.engine.lab, view)
    }
}

/// Marks a page that is drawn, so that a terminal which knows them shows it at once and not line by line
/// (synchronized output, DEC private mode 2026); others ignore them.
const FRAME_BEGINS: &str = "\x1b[?2026h";
const FRAME_ENDS: &str = "\x1b[?2026l";

/// A page is read in about this time; the progress line counts it in.
fn reading_time(pages: usize) -> Duration {
    Duration::from_secs(20) * u32::try_from(pages).unwrap_or(0)
}

/// Draws the page over the old one.
pub(super) fn draw(out: &mut dyn Write, look: &Look, lab: &Lab, view: &mut View) -> Result<(), Failure> {
    let (rows, columns) = Taken::size();
    let page = view.page(lab, look, columns);
    if std::mem::take(&mut view.to_panel)
        && let Some(focus) = page.focus
    {
        // As much of the text above as leaves the panel whole; a long panel begins at the top.
        let whole = page.lay_out((rows, columns), usize::MAX, look.paint);
        view.scroll = focus.min(whole.furthest);
    }
    let frame = page.lay_out((rows, columns), view.scroll, look.paint);
    view.scroll = frame.scroll;
    view.seen.drawn();
    let mut text = String::from(FRAME_BEGINS);
    text.push_str("\x1b[?25l\x1b[H");
    for (index, line) in frame.lines.iter().take(rows).enumerate() {
        if index > 0 {
            text.push_str("\r\n");
        }
        text.push_str(line);
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    text.push_str(FRAME_ENDS);
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(no_terminal)
}

pub(super) fn no_terminal(error: io::Error) -> Failure {
    Failure::new(Reason::Internal, "the terminal cannot be used").observed(error.to_string())
}
