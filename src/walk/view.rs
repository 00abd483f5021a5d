//! What is on the screen, and the pages that are made of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::changes::{self, Change};
use super::page::{Head, Page, Standing, command_lines, marked};
use super::proof;
use super::seen::Sightings;
use crate::doctor::{Failure, Next};
use crate::lab::{Guide, Lab, StageSpec, StepSpec};
use crate::models::picture::Picture;
use crate::ui::{Colours, LiveNote, Mark, Paint, duration, markdown, show_failure, wrap};

/// Columns of text at most: on longer lines the eye loses its place.
const MEASURE: usize = 120;
/// How long the cluster must be quiet before what somebody did in it is looked at.
const QUIET: Duration = Duration::from_millis(600);
/// Lines about what is not so yet, at most.
const STATUS: usize = 4;
/// Lines of sightings at the foot of the screen.
const SEEN: usize = 3;

/// How the screen is drawn, and what the commands on it need.
#[derive(Debug, Clone)]
pub struct Look {
    /// Colour or none.
    pub paint: Paint,
    /// How pictures are drawn.
    pub colours: Colours,
    /// Flags of this command that others need as well: ` --home DIR --lab DIR`.
    pub flags: String,
    /// The person's own home directory, for shortening paths.
    pub user_home: Option<PathBuf>,
    /// Whether kubectl is installed.
    pub kubectl: bool,
    /// Where the lab runs, and why there if nobody asked for it.
    pub cluster: String,
}

/// What the lab's records say, as of the last time that they changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    /// Every stage.
    pub(super) standing: Vec<Standing>,
    /// One line a stage: what was shown.
    pub(super) summaries: Vec<String>,
    /// How long the rest usually takes, from the shown stage on.
    pub(super) left: Duration,
}

/// Which page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first stage.
    Welcome,
    /// A stage.
    Stage(usize),
    /// After the last one.
    Closing,
}

/// What stands below the stage's text.
#[derive(Debug, Clone, Default)]
pub(super) enum Panel {
    /// Nothing.
    #[default]
    None,
    /// What the stage would change.
    Changes(Vec<Change>),
    /// More about it, and what becomes of a request at the moment.
    Explained(Vec<String>, String),
    /// What is wrong or missing, with what to do.
    Hints(Vec<Failure>),
    /// It was looked at and does not hold.
    Failed(Box<Failure>),
    /// It holds: what was shown, the evidence, and the picture that was asked about.
    Proven(String, Box<Value>, Arc<Picture>),
    /// A question was answered.
    Answered {
        /// The question.
        ask: String,
        /// Whether the answer was right.
        right: bool,
        /// Why.
        because: String,
    },
}

/// Something that goes on.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// What is being done, such as `checking`.
    pub(super) what: String,
    /// What is awaited at the moment.
    pub(super) note: LiveNote,
    /// Since when.
    pub(super) since: Instant,
    /// How long it usually takes.
    pub(super) typical: Option<Duration>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) place: Place,
    pub(super) board: Board,
    pub(super) panel: Panel,
    pub(super) scroll: usize,
    /// Whether the panel is to be scrolled into sight.
    pub(super) to_panel: bool,
    pub(super) work: Option<Work>,
    /// One line about what is not so yet.
    pub(super) status: Option<String>,
    pub(super) seen: Sightings,
    /// When what somebody did in the cluster is to be looked at: a while after the last of it.
    pub(super) look_at: Option<Instant>,
    /// Stages that were proven and do not hold any more, as a look has found that left no record; and why.
    pub(super) fallen: BTreeMap<usize, String>,
    /// Until when changes are still the lab's own, and of which stage: a watch tells of them a moment after they were made.
    pub(super) own_until: Option<(Instant, usize)>,
}

impl View {
    /// Somebody did something in the cluster: it is looked at when the cluster has been quiet for a while.
    pub(super) fn look_soon(&mut self) {
        self.look_at = Some(Instant::now() + QUIET);
    }

    /// Whether it is time to look.
    pub(super) fn is_time_to_look(&self) -> bool {
        self.look_at.is_some_and(|at| at <= Instant::now())
    }

    /// The stage that is shown.
    pub(super) fn position(&self) -> Option<usize> {
        match self.place {
            Place::Stage(position) => Some(position),
            Place::Welcome | Place::Closing => None,
        }
    }

    /// Whether the stage that is shown is proven.
    pub(super) fn is_proven(&self) -> bool {
        self.position().is_some_and(|position| self.board.standing.get(position) == Some(&Standing::Proven))
    }

    /// The page for a terminal of `columns` columns.
    pub(super) fn page(&self, lab: &Lab, look: &Look, columns: usize) -> Page {
        let width = columns.clamp(20, MEASURE);
        let (heading, body, focus) = match self.place {
            Place::Welcome => (lab.spec.title.clone(), welcome(&lab.guide, look, width), None),
            Place::Stage(position) => self.stage(lab, look, position, width),
            Place::Closing => ("What was learned".to_owned(), self.closing(lab, look, width), None),
        };
        let head = Head {
            stages: self.board.standing.clone(),
            position: self.position(),
            heading,
            left: if self.is_over() { Duration::ZERO } else { self.board.left },
        };
        Page { head, body, focus, foot: self.foot(lab, look, width), keys: self.keys(lab) }
    }

    fn stage(&self, lab: &Lab, look: &Look, position: usize, width: usize) -> (String, Vec<String>, Option<usize>) {
        let stage = &lab.spec.stages[position];
        let guide = lab.guide.stage(&stage.id);
        let (paint, room) = (look.paint, width.saturating_sub(2));
        let text = guide.story.as_deref().unwrap_or(&stage.about);
        let mut body = indented(markdown(text, room, paint));
        body.push(String::new());
        if !stage.commands.is_empty() {
            let by_hand = is_done_by_hand(stage);
            let lead = match (by_hand, self.is_proven()) {
                (true, false) if !is_seen_in_the_cluster(stage) => {
                    "Press enter; or type in a second terminal (`canary-lab shell` opens one), then press c here:"
                }
                (true, false) => "Press enter, or type in a second terminal (`canary-lab shell` opens one):",
                (true, true) => "The commands for it were:",
                (false, false) => "The lab does this one: press enter. To see it with your own eyes afterwards:",
                (false, true) => "To see it with your own eyes:",
            };
            let lead = lead.replace("canary-lab shell", &format!("canary-lab{} shell", look.flags));
            body.extend(indented(wrap(&lead, room)).iter().map(|line| paint.dim(line)));
            body.extend(stage.commands.iter().flat_map(|command| command_lines(command, width, paint)));
            if !look.kubectl && stage.commands.iter().any(|command| command.starts_with("kubectl")) {
                let note = "kubectl is not installed here; the lab does the same through the cluster's API.";
                body.extend(marked(Mark::Warning, note, width, paint));
            }
            body.push(String::new());
        }
        body.extend(indented(wrap(&format!("Expect: {}", stage.expect), room)));
        let focus = body.len();
        let mut panel = self.panel_lines(look, width);
        let focus = if panel.is_empty() { None } else { Some(focus) };
        if focus.is_some() {
            body.push(String::new());
        }
        body.append(&mut panel);
        (guide.heading.unwrap_or_else(|| stage.title.clone()), body, focus)
    }

    fn panel_lines(&self, look: &Look, width: usize) -> Vec<String> {
        let paint = look.paint;
        let titled = |title: &str, mut lines: Vec<String>| {
            let dashes = "─".repeat(width.saturating_sub(title.chars().count() + 5).min(60));
            lines.insert(0, paint.dim(&format!(" ── {title} {dashes}")));
            lines
        };
        match &self.panel {
            Panel::None => Vec::new(),
            Panel::Changes(changes) => titled("what changes", changes::lines(changes, width, paint)),
            Panel::Explained(request, deeper) => {
                let mut lines = indented(markdown(deeper, width.saturating_sub(2), paint));
                if !request.is_empty() {
                    if !lines.is_empty() {
                        lines.push(String::new());
                    }
                    lines.push(paint.bold(" A request at this moment:"));
                    lines.extend(request.iter().flat_map(|line| hanging(line, width)));
                }
                titled("explained", lines)
            }
            Panel::Hints(failures) => {
                let mut lines = Vec::new();
                if failures.is_empty() {
                    let text = "Nothing stands in the way: c checks the stage.";
                    lines.extend(marked(Mark::Fine, text, width, paint));
                }
                for (index, failure) in failures.iter().enumerate() {
                    if index > 0 {
                        lines.push(String::new());
                    }
                    lines.extend(failure_lines(failure, look, width));
                }
                titled("hint", lines)
            }
            Panel::Failed(failure) => titled("checked", failure_lines(failure, look, width)),
            Panel::Proven(summary, evidence, picture) => {
                let mut lines = summary_lines(summary, width, paint);
                lines.extend(proof::lines(evidence, picture, look, width));
                titled("checked", lines)
            }
            Panel::Answered { ask, right, because } => {
                let mut lines = indented(wrap(ask, width.saturating_sub(2)));
                let (mark, word) = if *right { (Mark::Fine, "Right.") } else { (Mark::Warning, "Not quite.") };
                lines.extend(marked(mark, &format!("{word} {because}"), width, paint));
                titled("question", lines)
            }
        }
    }

    /// Whether nothing is left to do.
    fn is_over(&self) -> bool {
        self.place == Place::Closing || self.board.standing.iter().all(|standing| *standing == Standing::Proven)
    }

    /// What does not hold any more of another stage than the one that is shown.
    fn fallen_elsewhere(&self, lab: &Lab) -> Option<String> {
        let (position, why) = self.fallen.iter().find(|(position, _)| Some(**position) != self.position())?;
        let title = &lab.spec.stages[*position].title;
        Some(format!("Stage {} ({title}) does not hold any more: {why}", position + 1))
    }

    fn foot(&self, lab: &Lab, look: &Look, width: usize) -> Vec<String> {
        let paint = look.paint;
        let fitted = |text: &str| console::truncate_str(text, width.saturating_sub(1), "…").into_owned();
        let mut foot: Vec<String> = Vec::new();
        for line in self.seen.lines(SEEN) {
            for (index, part) in wrap(line, width.saturating_sub(8).max(10)).iter().enumerate() {
                let lead = if index == 0 { paint.notable("seen") } else { "    ".to_owned() };
                foot.push(format!(" {lead}  {part}"));
            }
        }
        if let Some(work) = &self.work {
            if let Some(shares) = &work.note.shares {
                foot.extend(shares.lines(width, paint));
            }
            let mut text = format!(" {} · {}", work.what, duration(work.since.elapsed()));
            if let Some(typical) = work.typical {
                text.push_str(&format!(" of ~{}", duration(typical)));
            }
            if !work.note.awaited.is_empty() {
                text.push_str(&format!(" · {}", work.note.awaited));
            }
            if let Some(seen) = work.note.seen.as_ref().filter(|_| work.note.shares.is_none()) {
                text.push_str(&format!(" · {seen}"));
            }
            foot.push(fitted(&paint.notable(&text)));
        } else if let Some(status) = self.status.clone().or_else(|| self.fallen_elsewhere(lab)) {
            let lines = marked(Mark::Warning, &status, width, paint);
            foot.extend(lines.into_iter().take(STATUS));
        }
        foot
    }

    fn keys(&self, lab: &Lab) -> Vec<(&'static str, &'static str)> {
        if self.work.is_some() {
            return vec![("ctrl-c", "stop"), ("↑↓", "scroll")];
        }
        let mut keys = match self.place {
            Place::Welcome => vec![("enter", "begin")],
            Place::Closing => Vec::new(),
            Place::Stage(position) => {
                let mut keys = vec![
                    ("enter", if self.is_proven() { "go on" } else { "do it for me" }),
                    ("c", if self.is_proven() { "check" } else { "I did it, check" }),
                    ("d", "what changes"),
                    ("e", "explain"),
                    ("h", "hint"),
                ];
                if !lab.guide.stage(&lab.spec.stages[position].id).questions.is_empty() {
                    keys.push(("a", "a question"));
                }
                keys
            }
        };
        if !matches!(self.panel, Panel::None | Panel::Proven(..)) {
            keys.push(("esc", "close"));
        }
        keys.push(("l", "list"));
        if self.place != Place::Welcome {
            keys.push(("b", "back"));
        }
        keys.push(("q", "quit"));
        keys
    }

    fn closing(&self, lab: &Lab, look: &Look, width: usize) -> Vec<String> {
        let (paint, room) = (look.paint, width.saturating_sub(2));
        let mut body = indented(markdown(&lab.guide.learned, room, paint));
        body.extend([String::new(), paint.bold(" What was measured")]);
        for (stage, (standing, summary)) in
            lab.spec.stages.iter().zip(self.board.standing.iter().zip(&self.board.summaries))
        {
            let (mark, text) = match standing {
                Standing::Proven => (Mark::Fine, in_one_line(summary)),
                Standing::Failed => (Mark::Failed, in_one_line(summary)),
                Standing::Open => (Mark::Quiet, "not done".to_owned()),
            };
            body.extend(marked(mark, &format!("{}: {text}", stage.title), width, paint));
        }
        if !lab.guide.onward.is_empty() {
            body.extend([String::new(), paint.bold(" And now")]);
        }
        for onward in &lab.guide.onward {
            body.push(String::new());
            body.extend(indented(markdown(&format!("**{}.** {}", onward.title, onward.text), room, paint)));
            body.extend(onward.commands.iter().flat_map(|command| command_lines(command, width, paint)));
        }
        body.push(String::new());
        let after = "Take the lab down, when you have left with q:";
        for (text, command) in [("A report to keep:", "report -o report.html"), (after, "down")] {
            body.extend(indented(wrap(text, room)));
            body.extend(command_lines(&format!("canary-lab{} {command}", look.flags), width, paint));
        }
        body
    }
}

/// What a stage has shown, for an overview: without warnings, remarks and details, and without the objects that were
/// applied where something was shown about them.
fn in_one_line(summary: &str) -> String {
    const DETAILS: [&str; 4] = ["! ", "(", "top-10 ", "95 % "];
    let shown: Vec<&str> =
        summary.lines().filter(|line| !DETAILS.iter().any(|detail| line.starts_with(detail))).collect();
    let applied = |line: &&&str| [" created", " configured", " as applied"].iter().any(|end| line.ends_with(end));
    let kept: Vec<&str> = shown.iter().filter(|line| !applied(line)).copied().collect();
    if kept.is_empty() { shown } else { kept }.join("; ")
}

/// What a stage has shown, a mark before each line; a remark in brackets belongs to the line above it.
fn summary_lines(summary: &str, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for line in summary.lines() {
        match line.strip_prefix("! ") {
            Some(warning) => lines.extend(marked(Mark::Warning, warning, width, paint)),
            None if line.starts_with('(') => {
                lines.extend(wrap(line, width.saturating_sub(4).max(10)).iter().map(|line| format!("   {line}")));
            }
            None => lines.extend(marked(Mark::Fine, line, width, paint)),
        }
    }
    lines
}

fn welcome(guide: &Guide, look: &Look, width: usize) -> Vec<String> {
    let mut body = indented(markdown(&guide.welcome, width.saturating_sub(2), look.paint));
    body.push(String::new());
    body.extend(indented(wrap(&format!("Cluster: {}", look.cluster), width.saturating_sub(2))));
    if !look.flags.is_empty() {
        body.push(String::new());
        body.push(" The second terminal is opened with".to_owned());
        body.extend(command_lines(&format!("canary-lab{} shell", look.flags), width, look.paint));
    }
    body
}

/// Whether the stage's commands are what does it, and not only what looks at it.
pub(super) fn is_done_by_hand(stage: &StageSpec) -> bool {
    let does = |step: &StepSpec| {
        matches!(
            step,
            StepSpec::Apply(_) | StepSpec::Namespace(_) | StepSpec::Tunnel | StepSpec::Predict(_) | StepSpec::Preflight
        )
    };
    stage.steps.iter().any(does)
}

/// Whether doing the stage by hand changes something that the walk is told of.
fn is_seen_in_the_cluster(stage: &StageSpec) -> bool {
    let told = |step: &StepSpec| matches!(step, StepSpec::Apply(_) | StepSpec::Namespace(_) | StepSpec::Tunnel);
    stage.steps.iter().any(told)
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| if line.is_empty() { line } else { format!(" {line}") }).collect()
}

/// A line whose own indent is kept where it is broken; what follows a short word and two spaces hangs beside that word.
fn hanging(line: &str, width: usize) -> Vec<String> {
    const WORD: usize = 8;
    let text = line.trim_start();
    let lead = " ".repeat(line.len() - text.len() + 1);
    let (word, rest) = text.split_at(text.find("  ").filter(|at| *at <= WORD).map_or(0, |at| at + 2));
    let room = width.saturating_sub(lead.len() + word.len() + 1).max(10);
    let beside = |index| if index == 0 { word.to_owned() } else { " ".repeat(word.len()) };
    wrap(rest, room).iter().enumerate().map(|(index, line)| format!("{lead}{}{line}", beside(index))).collect()
}

/// The failure with the walk's own keys in place of commands that would have to wait for it: it holds the lab's lock.
fn in_the_walk(failure: &Failure) -> Failure {
    let mut failure = failure.clone();
    let steps = failure.next_steps().into_iter().filter(|next| !next.command.starts_with("canary-lab walk"));
    failure.next = steps
        .map(|next| {
            let locked = next.command == "canary-lab up";
            if locked {
                Next { command: "enter".to_owned(), effect: format!("does the stage: {}", next.effect) }
            } else {
                next
            }
        })
        .collect();
    failure
}

/// A failure as the block that every failure is shown as, with its headline above.
fn failure_lines(failure: &Failure, look: &Look, width: usize) -> Vec<String> {
    let mut out = Vec::new();
    let failure = &in_the_walk(failure);
    // Writing to memory cannot fail.
    let _ = show_failure(&mut out, failure, look.paint, width, look.user_home.as_deref().map(Path::new));
    let mut lines = marked(Mark::Failed, &failure.headline, width, look.paint);
    lines.extend(String::from_utf8_lossy(&out).lines().skip(1).map(str::to_owned));
    lines
}

#[cfg(test)]
mod tests {
    use super::hanging;

    #[test]
    fn what_follows_a_short_word_hangs_beside_it() {
        assert_eq!(hanging("yes  rule 1 takes every request", 20), [" yes  rule 1 takes", "      every request"]);
        assert_eq!(hanging("  100 %  resnet50 of x", 40), ["   100 %  resnet50 of x"]);
        assert_eq!(hanging("host 127.64.0.1 is taken", 16), [" host", " 127.64.0.1 is", " taken"]);
    }
}
