//! What happens in a run, one typed event at a time.

use serde::{Deserialize, Serialize};

/// An event; a line of `events.jsonl` is one of these with `v` (the version of the format) and `at` (when).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The program's version.
        program: String,
        /// The lab.
        lab: String,
        /// `up`, `verify` or `reset`.
        command: String,
        /// The last stage of the run.
        until: String,
        /// The cluster's provider.
        provider: String,
    },
    /// A stage begins.
    StageStarted {
        /// Its id.
        stage: String,
    },
    /// A step is true already, or was made true, or was judged.
    StepDone {
        /// The stage.
        stage: String,
        /// The step's position in it, from 0.
        step: usize,
        /// The step's kind.
        kind: String,
        /// How it came out.
        outcome: StepOutcome,
    },
    /// A step is about to change something.
    StepChanging {
        /// The stage.
        stage: String,
        /// The step's position in it, from 0.
        step: usize,
        /// The step's kind.
        kind: String,
        /// Why a change is needed.
        why: String,
    },
    /// Something that a stage made was taken back.
    Undone {
        /// The stage.
        stage: String,
        /// What was done, a line each.
        lines: Vec<String>,
    },
    /// Something worth knowing that stops nothing.
    Warning {
        /// The reason's id.
        reason: String,
        /// One line.
        text: String,
    },
    /// A stage ended.
    StageEnded {
        /// Its id.
        stage: String,
        /// Whether it holds.
        proven: bool,
        /// One line.
        summary: String,
        /// Milliseconds.
        took_ms: u64,
    },
    /// The run ended.
    RunEnded {
        /// The exit code.
        exit: u8,
        /// The first failure's reason, if there was one.
        reason: Option<String>,
    },
}

/// How a step came out when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub enum StepOutcome {
    /// It was so.
    Satisfied,
    /// It was made so.
    Changed,
    /// It was judged.
    Judged,
    /// A later stage stands in its place.
    Superseded,
}
