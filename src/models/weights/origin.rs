//! What a model was made from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a model was made from; kept beside the model, so that it can be said, and compared with what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "weights", rename_all = "kebab-case")]
pub enum Origin {
    /// The lab's own weights.
    Synthetic {
        /// Why not a source that is preferred to them, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// The published weights.
    Pretrained {
        /// Where they were published.
        url: String,
        /// Their digest.
        md5: String,
    },
    /// Another weights file of Keras.
    File {
        /// The file.
        path: PathBuf,
        /// Its digest.
        md5: String,
    },
    /// A SavedModel that was there.
    SavedModel {
        /// Its version directory.
        path: PathBuf,
        /// One digest for all of its files.
        sha256: String,
    },
}

impl Origin {
    /// Whether what is published about the model's answers holds.
    pub fn is_pretrained(&self) -> bool {
        matches!(self, Self::Pretrained { .. })
    }

    /// A word for tables and scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Synthetic { .. } => "synthetic",
            Self::Pretrained { .. } => "pretrained",
            Self::File { .. } => "file",
            Self::SavedModel { .. } => "saved-model",
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Synthetic { .. } => f.write_str("synthetic weights"),
            Self::Pretrained { .. } => f.write_str("pretrained weights"),
            Self::File { path, .. } => write!(f, "weights of {}", path.display()),
            Self::SavedModel { path, .. } => write!(f, "the SavedModel of {}", path.display()),
        }
    }
}
