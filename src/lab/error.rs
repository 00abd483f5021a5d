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
    /// A file does not follow its schema.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

impl LabError {
    /// An error about a value, at the line where the value stands.
    pub(super) fn about(file: &str, text: &str, value: &str, message: String) -> Self {
        let line = text.lines().position(|line| line.contains(value)).map_or(1, |index| index + 1);
        Self::invalid(file, line, message)
    }

    /// An error at a line of a file.
    pub(super) fn invalid(file: &str, line: usize, message: String) -> Self {
        YamlError::Invalid { file: file.to_owned(), line, message }.into()
    }
}
