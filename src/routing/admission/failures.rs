//! Error texts collected and printed as Istio's validation does with Go's `multierror`.

/// A lone error prints bare; several, or one that was put into a list on purpose, print as a counted list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    texts: Vec<String>,
    listed: bool,
}

impl Failures {
    /// One bare error.
    pub(crate) fn one(text: impl Into<String>) -> Self {
        Self { texts: vec![text.into()], listed: false }
    }

    /// One error in a list of its own: `1 error occurred:`.
    pub(crate) fn listed(text: impl Into<String>) -> Self {
        Self { texts: vec![text.into()], listed: true }
    }

    /// Adds what another check found; lists are joined into one.
    pub(crate) fn add(&mut self, other: Self) {
        if other.texts.is_empty() {
            return;
        }
        self.listed = self.listed || other.listed || !self.texts.is_empty();
        self.texts.extend(other.texts);
    }

    /// Adds one bare error.
    pub(crate) fn push(&mut self, text: impl Into<String>) {
        self.add(Self::one(text));
    }

    /// Adds one bare error where the condition holds.
    pub(crate) fn push_if(&mut self, condition: bool, text: impl Into<String>) {
        if condition {
            self.push(text);
        }
    }

    /// Adds the error of a check that gives at most one.
    pub(crate) fn check(&mut self, outcome: Result<(), String>) {
        if let Err(text) = outcome {
            self.push(text);
        }
    }

    /// The message, or `None` where nothing failed.
    pub(crate) fn message(&self) -> Option<String> {
        match (self.texts.len(), self.listed) {
            (0, _) => None,
            (1, false) => Some(self.texts[0].clone()),
            (count, _) => {
                let noun = if count == 1 { "error" } else { "errors" };
                Some(format!("{count} {noun} occurred:\n\t* {}\n\n", self.texts.join("\n\t* ")))
            }
        }
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.texts
    }
}
