//! Colour: decided once, never the only carrier of a meaning.

use super::io::{Environment, Terminal};

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
}

/// The sign at the start of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Fine.
    Fine,
    /// Worth knowing, nothing stops.
    Warning,
    /// Failed.
    Failed,
    /// Neither: skipped or only noted.
    Quiet,
}

impl Paint {
    /// No colour at all.
    pub const PLAIN: Self = Self { colour: false };
    /// Colour, whatever the stream is.
    pub const COLOUR: Self = Self { colour: true };

    /// Colour for a stream that is a terminal (or when CLICOLOR_FORCE asks for it), unless NO_COLOR is set or the terminal is dumb.
    pub fn for_stream(is_terminal: bool, environment: &Environment) -> Self {
        let forced = environment.text("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let dumb = environment.text("TERM") == Some("dumb");
        Self { colour: environment.get("NO_COLOR").is_none() && (forced || (is_terminal && !dumb)) }
    }

    /// Colour for standard output.
    pub fn stdout(terminal: Terminal, environment: &Environment) -> Self {
        Self::for_stream(terminal.stdout, environment)
    }

    /// Colour for standard error.
    pub fn stderr(terminal: Terminal, environment: &Environment) -> Self {
        Self::for_stream(terminal.stderr, environment)
    }

    /// Whether colour is on.
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Stands out.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Steps back.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// A command or a path to paste.
    pub fn command(self, text: &str) -> String {
        self.wrap("36", text)
    }

    /// Something that was added, or is well.
    pub fn added(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Something that was removed, or is wrong.
    pub fn removed(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Something to act upon.
    pub fn notable(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// The coloured sign of `mark`.
    pub fn mark(self, mark: Mark) -> String {
        match mark {
            Mark::Fine => self.wrap("32", "✔"),
            Mark::Warning => self.wrap("33", "!"),
            Mark::Failed => self.wrap("31", "✗"),
            Mark::Quiet => self.wrap("2", "○"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn colour_follows_terminal_and_variables() {
        for (is_terminal, pairs, expected) in [
            (true, vec![], true),
            (false, vec![], false),
            (true, vec![("NO_COLOR", "1")], false),
            (true, vec![("NO_COLOR", "")], true),
            (true, vec![("TERM", "dumb")], false),
            (false, vec![("CLICOLOR_FORCE", "1")], true),
            (false, vec![("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ] {
            let paint = Paint::for_stream(is_terminal, &environment(&pairs));
            assert_eq!(paint.is_coloured(), expected, "{is_terminal} {pairs:?}");
        }
    }
}
