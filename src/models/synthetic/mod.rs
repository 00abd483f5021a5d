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

use super::built::{self, BuildError, BuiltModel, Progress};
use super::network::{Architecture, Network};
use crate::savedmodel::WrittenFile;

/// Tensors that may be computed ahead of the writer; the largest has 10 MB.
const AHEAD: usize = 3;

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
    let finished = std::thread::scope(|scope| {
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
        built::write(&architecture, &weights, receive, dir, progress)
    })?;
    for (file, expected) in expected {
        let actual = finished.files().iter().find(|written| written.name == *file).map(WrittenFile::sha256_hex);
        let actual = actual.unwrap_or_else(|| "none".to_owned());
        if actual != *expected {
            return Err(BuildError::Digest { network, file: file.clone(), expected: expected.clone(), actual });
        }
    }
    Ok(BuiltModel::publish(finished, architecture.parameters() as u64)?)
}
