//! What every command gets: streams, home, lab and the way to print.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::choice::adapted;
use super::{Format, Output};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, LabError, Source};
use crate::state::{Home, Loaded, State, StateFile};
use crate::tools::{SharedWriter, Trace};
use crate::ui::{self, Io, Paint};

/// The surroundings of one command.
pub(super) struct Context {
    pub(super) io: Io,
    pub(super) output: Output,
    /// The finer choice among what a person may read.
    pub(super) format: Format,
    /// Where commands of other programs are shown.
    pub(super) trace: Trace,
    /// Whether the failure that the command ends with was told already.
    pub(super) shown_already: bool,
    home_flag: Option<PathBuf>,
    lab_flag: Option<PathBuf>,
}

impl Context {
    pub(super) fn new(io: Io, home_flag: Option<PathBuf>, lab_flag: Option<PathBuf>, format: Format) -> Self {
        let output = format.output();
        Self { io, output, format, trace: Trace::default(), shown_already: false, home_flag, lab_flag }
    }

    /// Shows other programs' commands on standard error, which the live line then leaves alone.
    pub(super) fn start_trace(&mut self) {
        let stream = std::mem::replace(&mut self.io.stderr, Box::new(std::io::sink()));
        let shared = SharedWriter::new(stream);
        self.io.stderr = Box::new(shared.clone());
        self.trace = Trace::to(shared);
        self.io.terminal.stderr = false;
    }

    /// Ends the command with a failure's exit code, for one that was shown as part of the output.
    pub(super) fn exit_quietly(&mut self, failure: Failure) -> Result<(), Failure> {
        self.shown_already = true;
        Err(failure)
    }

    /// The lab's home: the flag, else CANARY_LAB_HOME, else the XDG data directory.
    pub(super) fn home(&self) -> Result<Home, Failure> {
        Ok(Home::resolve(self.home_flag.as_deref(), &self.io.environment)?)
    }

    /// ` --home DIR` when the home was named by a flag, so that commands which are shown can be pasted.
    pub(super) fn home_words(&self) -> String {
        let quoted = |path: &PathBuf| shell_quoted(&path.display().to_string());
        self.home_flag.as_ref().map(|path| format!(" --home {}", quoted(path))).unwrap_or_default()
    }

    /// Like [`Context::home_words`], with ` --lab DIR` as well, for commands that look at the lab's data.
    pub(super) fn flag_words(&self) -> String {
        let quoted = |path: &PathBuf| shell_quoted(&path.display().to_string());
        let lab = self.lab_flag.as_ref().map(|path| format!(" --lab {}", quoted(path))).unwrap_or_default();
        self.home_words() + &lab
    }

    /// Where another lab than the built-in one is: what was asked for, else where this home's lab was read from.
    pub(super) fn lab_directory(&self) -> Option<PathBuf> {
        let asked = self.asked_lab_directory().map(|path| std::path::absolute(&path).unwrap_or(path));
        asked.or_else(|| self.state()?.lab_directory)
    }

    /// The flag, else CANARY_LAB_LAB, which terminals of `env` and `shell` have.
    fn asked_lab_directory(&self) -> Option<PathBuf> {
        self.lab_flag.clone().or_else(|| self.io.environment.absolute_path("CANARY_LAB_LAB"))
    }

    /// What this home remembers, if it is there and can be read; whoever needs it loads it and says why it cannot be.
    fn state(&self) -> Option<State> {
        match StateFile::of(&self.home().ok()?).load() {
            Ok(Loaded::Present(state)) => Some(state),
            _ => None,
        }
    }

    /// The lab that was asked for, else this home's, else the built-in one, as this home has it. A home that holds another
    /// lab than the one that was asked for has no place for it.
    pub(super) fn lab(&self) -> Result<Lab, Failure> {
        let source = self.lab_directory().map_or(Source::Builtin, Source::Directory);
        let lab = Lab::load(&source).map_err(|error| self.not_loaded(error, &source))?;
        if let Some(held) = self.state().map(|state| state.lab)
            && !held.is_empty()
            && held != lab.spec.name
        {
            let failure = other_lab(&held, &lab);
            return Err(match source {
                Source::Directory(_) => failure,
                // Nobody asked for the built-in one.
                Source::Builtin => failure
                    .because("the home's records do not say where the files of its lab are")
                    .then("canary-lab --lab DIR status", "says where they are")
                    .then("canary-lab --home DIR up", "builds the built-in lab elsewhere"),
            });
        }
        match self.home() {
            Ok(home) => adapted(lab, &home),
            // A lab can be looked at where there is no place for one.
            Err(_) => Ok(lab),
        }
    }

    /// Why the lab cannot be had; of one that nobody has named just now, also where it comes from.
    fn not_loaded(&self, error: LabError, source: &Source) -> Failure {
        let failure = Failure::from(error);
        match source {
            Source::Directory(directory) if self.asked_lab_directory().is_none() => failure
                .observed(format!("this home's lab was read from {}", directory.display()))
                .because("the files of this home's lab are not where they were")
                .then("canary-lab --lab DIR status", "finds the lab where its files are now")
                .then("canary-lab down", "takes a lab on the embedded cluster down without its files"),
            _ => failure,
        }
    }

    /// The person's own home directory, for shortening paths.
    pub(super) fn user_home(&self) -> Option<PathBuf> {
        self.io.environment.absolute_path("HOME")
    }

    /// Columns to write into; a stream that is no terminal has plenty.
    pub(super) fn width(&self) -> usize {
        usize::from(self.io.terminal.width.unwrap_or(100)).clamp(20, 110)
    }

    pub(super) fn paint_out(&self) -> Paint {
        Paint::stdout(self.io.terminal, &self.io.environment)
    }

    pub(super) fn paint_err(&self) -> Paint {
        Paint::stderr(self.io.terminal, &self.io.environment)
    }

    /// A line of data.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        written(writeln!(self.io.stdout, "{text}").and_then(|()| self.io.stdout.flush()))
    }

    /// A line that is not data.
    pub(super) fn remark(&mut self, text: &str) -> Result<(), Failure> {
        written(writeln!(self.io.stderr, "{text}").and_then(|()| self.io.stderr.flush()))
    }

    /// A JSON document on standard output.
    pub(super) fn say_json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Reason::Internal, format!("cannot write JSON: {error}")))?;
        self.say(&text)
    }

    /// Prints a failure: the block for a person, and an object on standard output for a script.
    pub(super) fn show(&mut self, failure: &Failure) {
        let (paint, width, user_home) = (self.paint_err(), self.width(), self.user_home());
        if self.output == Output::Json {
            let object = json!({"failure": {
                "reason": failure.reason, "exit": failure.exit_code(), "headline": failure.headline,
                "observed": failure.observed, "cause": failure.cause_text(), "evidence": failure.evidence,
                "next": failure.next_steps(), "situation": failure.situation,
            }});
            // Nothing is left to be told where even the streams are gone.
            let _ = self.say_json(&object);
            return;
        }
        let mark = paint.mark(ui::Mark::Failed);
        let _ = writeln!(self.io.stderr, "{mark} {}", failure.headline);
        let _ = ui::show_failure(&mut self.io.stderr, failure, paint, width, user_home.as_deref());
        let _ = self.io.stderr.flush();
    }
}

/// The home holds another lab than the one that was asked for.
pub(super) fn other_lab(held: &str, asked: &Lab) -> Failure {
    Failure::new(Reason::HomeOtherLab, format!("this home holds the lab `{held}`"))
        .observed(format!("asked for `{}`", asked.spec.name))
}

/// Quotes a word for a POSIX shell, if it needs it.
pub(super) fn shell_quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-=:@%+,~".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A reader that has gone away, as in `canary-lab status | head -1`, has read enough; any other error is a failure.
pub(super) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Reason::Internal, "the output cannot be written").observed(error.to_string()))
        }
        _ => Ok(()),
    }
}
