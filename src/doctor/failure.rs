//! A failure that can be explained: reason, observation, cause, evidence, and what to do next.

use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use super::reasons::Reason;
use super::situations::Situation;

/// One thing that a person can do about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// The command to paste.
    pub command: String,
    /// What it does.
    pub effect: String,
}

/// What went wrong, told by its reason and by what was observed this time.
#[derive(Debug, Clone, Error, Serialize)]
#[error("{headline}")]
pub struct Failure {
    /// The entry of the table.
    pub reason: Reason,
    /// One line: what happened.
    pub headline: String,
    /// What was seen, in the order that explains it.
    pub observed: Vec<String>,
    /// A more precise cause than the table's, when one is known.
    pub cause: Option<String>,
    /// More precise commands than the table's, when there are some.
    pub next: Vec<Next>,
    /// The file that keeps what was seen.
    pub evidence: Option<PathBuf>,
    /// Which case of the reason it is, when that was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub situation: Option<Situation>,
}

impl Failure {
    /// A failure with the table's cause and commands.
    pub fn new(reason: Reason, headline: impl Into<String>) -> Self {
        Self {
            reason,
            headline: headline.into(),
            observed: Vec::new(),
            cause: None,
            next: Vec::new(),
            evidence: None,
            situation: None,
        }
    }

    /// Adds an observation.
    #[must_use]
    pub fn observed(mut self, line: impl Into<String>) -> Self {
        self.observed.push(line.into());
        self
    }

    /// Says what caused it this time.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a command that helps this time, before the table's.
    #[must_use]
    pub fn then(mut self, command: impl Into<String>, effect: impl Into<String>) -> Self {
        self.next.push(Next { command: command.into(), effect: effect.into() });
        self
    }

    /// The cause to show: the precise one, else the table's.
    pub fn cause_text(&self) -> &str {
        self.cause.as_deref().unwrap_or_else(|| self.reason.cause())
    }

    /// The commands to show: the precise ones, else the table's.
    pub fn next_steps(&self) -> Vec<Next> {
        if !self.next.is_empty() {
            return self.next.clone();
        }
        let table = self.reason.next().iter();
        table.map(|(command, effect)| Next { command: (*command).to_owned(), effect: (*effect).to_owned() }).collect()
    }

    /// The code that the process ends with.
    pub fn exit_code(&self) -> u8 {
        self.reason.layer().exit_code()
    }
}
