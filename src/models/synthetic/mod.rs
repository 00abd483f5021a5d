//! Synthetic weights: what the lab serves when the pretrained ones cannot be had.
//!
//! Every value is an integer from a counter-based hash times a power of two, so the files are byte for byte the same on
//! every machine, and their SHA-256 is asserted. Filters sum to zero over their inputs, which keeps deep layers from
//! answering alike for every picture; the statistics that batch normalisation needs, the scale of the classifier and the
//! seed of its bias are constants in `models/calibration/`, computed by `tests/reference/calibrate.py` with TensorFlow.
//! [`build`] writes a network's SavedModel; two threads share the work (one computes, one writes).

mod calibration;
mod hash;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;
use std::sync::mpsc::sync_channel;

pub use calibration::{Calibration, CalibrationError, Scale};
pub use values::Synthesis;

use super::network::{Architecture, Network, saved_model};
use crate::savedmodel::proto::DataType;
use crate::savedmodel::{SavedModelError, SavedModelWriter, WrittenFile};

/// The version that the lab writes.
pub const VERSION: &str = "1";
/// Tensors that may be computed ahead of the writer; the largest has 10 MB.
const AHEAD: usize = 3;

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
    pub parameters: usize,
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

/// Writes the SavedModel of `network` as `dir/1`, replacing what is there; `progress` is told after every tensor.
///
/// `expected` gives the SHA-256 of files that must come out, as lowercase hexadecimal.
pub fn build(
    network: Network,
    dir: &Path,
    expected: &[(String, String)],
    progress: &mut dyn FnMut(Progress),
) -> Result<BuiltModel, BuildError> {
    let architecture = Architecture::of(network);
    let calibration = Calibration::embedded(network)?;
    let synthesis = Synthesis::new(network, &architecture, &calibration)?;
    let weights = architecture.weights();
    let total: u64 = weights.iter().map(|weight| 4 * weight.elements() as u64).sum();
    let mut writer = SavedModelWriter::create(&dir.join(VERSION))?;
    let mut written = 0;
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        scope.spawn({
            let (weights, synthesis) = (&weights, &synthesis);
            move || {
                for (ordinal, weight) in weights.iter().enumerate() {
                    // The writer has given up when it no longer listens.
                    if send.send(synthesis.bytes(ordinal, weight)).is_err() {
                        return;
                    }
                }
            }
        });
        for (weight, bytes) in weights.iter().zip(receive) {
            writer.add_variable(&weight.key, DataType::DtFloat, &weight.shape, &bytes)?;
            written += bytes.len() as u64;
            progress(Progress { written, total });
        }
        Ok::<(), SavedModelError>(())
    })?;
    let finished = writer.finish(&saved_model(&architecture))?;
    for (file, expected) in expected {
        let actual = finished.files().iter().find(|written| written.name == *file).map(WrittenFile::sha256_hex);
        let actual = actual.unwrap_or_else(|| "none".to_owned());
        if actual != *expected {
            return Err(BuildError::Digest { network, file: file.clone(), expected: expected.clone(), actual });
        }
    }
    let files = finished.publish()?;
    let bytes = files.iter().map(|file| file.bytes).sum();
    Ok(BuiltModel { parameters: architecture.parameters(), bytes, files })
}
