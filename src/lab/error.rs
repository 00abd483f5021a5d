//! What is wrong with a lab's files, told with file, line and the nearest thing that would be right.

use std::path::PathBuf;

use thiserror::Error;

use crate::yaml::YamlError;
pub(super) use crate::yaml::nearest;

/// Why a lab cannot be used.
#[derive(Debug, Error)]
pub enum LabError {
    /// A file is not there or cannot be read.
    #[error("{file}: {reason}")]
    Missing {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A key that the schema does not have.
    #[error("{file}:{line}: unknown key `{key}`{}", nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The nearest valid key, if one is near.
        nearest: Option<String>,
        /// All valid keys at that place.
        known: Vec<String>,
    },
    /// Anything else that the schema does not allow.
    #[error("{file}:{line}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl LabError {
    /// Turns a YAML error into one that points into the file.
    pub(super) fn from_yaml(file: &str, text: &str, error: &serde_yaml::Error) -> Self {
        match YamlError::of(file, text, error) {
            YamlError::UnknownKey { file, line, key, nearest, known } => {
                Self::UnknownKey { file, line, key, nearest, known }
            }
            YamlError::Invalid { file, line, message } => Self::Invalid { file, line, message },
        }
    }

    /// An error about a value, at the line where the value stands.
    pub(super) fn about(file: &str, text: &str, value: &str, message: String) -> Self {
        let line = text.lines().position(|line| line.contains(value)).map_or(1, |index| index + 1);
        Self::Invalid { file: file.to_owned(), line, message }
    }
}
