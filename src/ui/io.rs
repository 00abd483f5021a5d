//! Streams, terminal, environment and clock, passed in and never reached for.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use jiff::Timestamp;

/// Everything of the process that a command may use.
pub struct Io {
    /// Where answers and piped input come from.
    pub stdin: Box<dyn Read + Send>,
    /// Data: what a script would read.
    pub stdout: Box<dyn Write + Send>,
    /// Progress, warnings and failures.
    pub stderr: Box<dyn Write + Send>,
    /// The environment variables.
    pub environment: Environment,
    /// What the streams are connected to.
    pub terminal: Terminal,
    /// The time of day.
    pub clock: fn() -> Timestamp,
    /// This program's own file, from which daemon and children are started.
    pub executable: PathBuf,
}

impl Io {
    /// The real streams, environment and clock.
    pub fn of_this_process() -> Self {
        let environment = Environment(std::env::vars_os().collect());
        let width = environment
            .text("COLUMNS")
            .and_then(|columns| columns.parse().ok())
            .or_else(|| console::Term::stderr().size_checked().map(|(_, columns)| columns));
        Self {
            stdin: Box::new(std::io::stdin()),
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
            terminal: Terminal {
                stdin: std::io::stdin().is_terminal(),
                stdout: std::io::stdout().is_terminal(),
                stderr: std::io::stderr().is_terminal(),
                width,
            },
            environment,
            clock: Timestamp::now,
            executable: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("canary-lab")),
        }
    }
}

/// Which streams are terminals, and how wide the terminal is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal.
    pub stderr: bool,
    /// Columns, when known.
    pub width: Option<u16>,
}

/// The environment variables that the process was given.
#[derive(Debug, Clone, Default)]
pub struct Environment(pub BTreeMap<OsString, OsString>);

impl Environment {
    /// The variable's value, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The variable's value as text, unless it is unset, empty or not Unicode.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// The variable's value as an absolute path; a relative one is ignored, as the XDG base directory rules want.
    pub fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
