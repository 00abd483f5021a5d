//! What can be wrong with a SavedModel on disk.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a SavedModel could not be read or written. Every variant names the path it is about.
#[derive(Debug, thiserror::Error)]
pub enum SavedModelError {
    /// The directory holds neither form of the model file.
    #[error("{dir} holds no SavedModel: there is neither saved_model.pb nor saved_model.pbtxt", dir = dir.display())]
    Missing {
        /// The version directory.
        dir: PathBuf,
    },
    /// A symbolic link leads out of the version directory.
    #[error("{path} leads out of the model's directory, to {target}", path = path.display(), target = target.display())]
    OutsideModel {
        /// The file as named in the directory.
        path: PathBuf,
        /// Where it really is.
        target: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No meta graph has just these tags.
    #[error("{path} has no meta graph with the tag {wanted:?}; it has {}", TagSets(found), path = path.display())]
    MissingTag {
        /// The model file.
        path: PathBuf,
        /// The tags looked for, separated by spaces.
        wanted: String,
        /// The tags of each meta graph.
        found: Vec<Vec<String>>,
    },
    /// A file does not hold what its format demands.
    #[error("{path}: {damage}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The bundle has no tensor of this key.
    #[error("{path} has no tensor {key:?}", path = path.display())]
    UnknownTensor {
        /// The index file.
        path: PathBuf,
        /// The key looked for.
        key: String,
    },
    /// The model says that it has variables, but has no bundle.
    #[error("{dir} has no variables/variables.index, but the graph needs the variable {key:?}", dir = dir.display())]
    NoVariables {
        /// The version directory.
        dir: PathBuf,
        /// The key looked for.
        key: String,
    },
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is shorter than its contents need.
    #[error("truncated: {actual} bytes where at least {needed} are needed")]
    Truncated {
        /// Bytes that must be there.
        needed: u64,
        /// Bytes that are.
        actual: u64,
    },
    /// The file is larger than any valid one that the lab reads.
    #[error("{actual} bytes are more than the {limit} that such a file may have")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes found.
        actual: u64,
    },
    /// Stored and computed checksums differ.
    #[error("the checksum of {what} is {computed:#010x}, but {stored:#010x} was stored with it")]
    Checksum {
        /// The part, for example a tensor's key.
        what: String,
        /// As stored (masked CRC-32C).
        stored: u32,
        /// As computed (masked CRC-32C).
        computed: u32,
    },
    /// It does not follow its format.
    #[error("not a valid {format}: {reason}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// Where it departs from it.
        reason: String,
    },
    /// It follows its format, but uses a part of it that is not supported here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A tensor of this kind was asked for in another form.
    #[error("{key:?} is {actual}, not {wanted}")]
    WrongType {
        /// The tensor.
        key: String,
        /// What it is.
        actual: String,
        /// What was needed.
        wanted: &'static str,
    },
}

/// Lists sets of tags in an error text.
struct TagSets<'a>(&'a [Vec<String>]);

impl fmt::Display for TagSets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no meta graph at all");
        }
        for (position, tags) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{tags:?}")?;
        }
        Ok(())
    }
}
