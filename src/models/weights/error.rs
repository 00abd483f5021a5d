//! Why weights could not be had.

use std::path::PathBuf;

use crate::download::DownloadError;
use crate::models::built::BuildError;
use crate::models::hdf5::WeightsError;
use crate::models::place::PlaceError;

/// Why weights could not be had, or were not taken.
#[derive(Debug, thiserror::Error)]
pub enum WeightsFailure {
    /// The catalogue has no source of that kind for the model.
    #[error("the catalogue knows no {wanted} weights for {model}")]
    NoSource {
        /// The model.
        model: String,
        /// The kind.
        wanted: &'static str,
    },
    /// The download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// No client could be set up.
    #[error("downloads are not possible: {0}")]
    Client(#[from] reqwest::Error),
    /// A weights file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] WeightsError),
    /// What `--weights` names is no word and not there.
    #[error("neither `auto`, `pretrained` or `synthetic`, nor a file or folder: there is no {}", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// A weights file fits none of the lab's models.
    #[error("{path} fits none of the lab's models: {why}", path = path.display())]
    FitsNone {
        /// The file.
        path: PathBuf,
        /// What differs, for each model.
        why: String,
    },
    /// A folder has nothing for the model.
    #[error("{folder} has nothing for {model}: looked for {}", wanted.join(", "), folder = folder.display())]
    NothingInFolder {
        /// The folder.
        folder: PathBuf,
        /// The model.
        model: String,
        /// The names that were looked for.
        wanted: Vec<String>,
    },
    /// The model could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The SavedModel could not be taken over.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file could not be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}
