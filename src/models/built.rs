//! A model that was built, whatever its weights are: what it consists of, how far a build is, why one failed.

use std::path::Path;

use super::network::{Architecture, WeightSpec};
use super::network::{Network, saved_model};
use super::pretrained::Misfit;
use super::synthetic::CalibrationError;
use crate::models::hdf5::WeightsError;
use crate::savedmodel::proto::DataType;
use crate::savedmodel::{FinishedModel, SavedModelError, SavedModelWriter, WrittenFile};

/// The version directory that the lab writes; the tutorial's requests ask for it.
pub const VERSION: &str = "1";

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of weights written.
    pub written: u64,
    /// Bytes of weights in all.
    pub total: u64,
}

/// A model that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltModel {
    /// The number of parameters, stored statistics included.
    pub parameters: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files of the version directory with their SHA-256, sorted by name.
    pub files: Vec<WrittenFile>,
}

/// Why a model was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The calibration data does not fit the network.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The weights file could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its weights are not the network's.
    #[error("{file}: {misfit}", file = file.display())]
    Misfit {
        /// The weights file.
        file: std::path::PathBuf,
        /// What differs.
        misfit: Misfit,
    },
    /// The files could not be written.
    #[error(transparent)]
    Write(#[from] SavedModelError),
    /// A file does not have the bytes that it must have; nothing was put in place.
    #[error("{file} of {network} came out with SHA-256 {actual}, but must have {expected}", network = network.id())]
    Digest {
        /// The network.
        network: Network,
        /// The file's name in the version directory.
        file: String,
        /// What must have come out.
        expected: String,
        /// What did.
        actual: String,
    },
}

impl BuiltModel {
    /// Puts a finished model under its name.
    pub(super) fn publish(finished: FinishedModel, parameters: u64) -> Result<Self, SavedModelError> {
        let files = finished.publish()?;
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok(Self { parameters, bytes, files })
    }
}

/// Writes a network's SavedModel as `dir/1`, with the bytes of each weight as they come; nothing is visible under that
/// name before [`BuiltModel::publish`].
pub(super) fn write<B: AsRef<[u8]>>(
    architecture: &Architecture,
    weights: &[WeightSpec],
    values: impl IntoIterator<Item = B>,
    dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<FinishedModel, SavedModelError> {
    let total: u64 = weights.iter().map(|weight| 4 * weight.elements() as u64).sum();
    let mut writer = SavedModelWriter::create(&dir.join(VERSION))?;
    let mut written = 0;
    for (weight, bytes) in weights.iter().zip(values) {
        let bytes = bytes.as_ref();
        writer.add_variable(&weight.key, DataType::DtFloat, &weight.shape, bytes)?;
        written += bytes.len() as u64;
        progress(Progress { written, total });
    }
    writer.finish(&saved_model(architecture))
}
