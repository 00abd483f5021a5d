//! Weights that Keras saved, as a SavedModel that `tensorflow/serving:2.5.1` loads.
//!
//! Keras gives a file's layers to a model's by order, not by name (`load_weights` without `by_name`), so [`fit`] does:
//! a file of the same network fits whatever its layers are called. Every shape is compared, every value must be a
//! number; what does not fit is told with the layer that differs. [`build`] writes the SavedModel.

mod fit;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use fit::{Misfit, fit};

use super::built::{self, BuildError, BuiltModel, Progress};
use super::hdf5::{WeightsError, read_layers};
use super::network::{Architecture, Network};

/// Writes the SavedModel of `network` with the weights of a Keras file as `dir/1`, replacing what is there.
pub fn build(
    network: Network,
    weights: &Path,
    dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<BuiltModel, BuildError> {
    let architecture = Architecture::of(network);
    let finished = read_layers(weights, |saved| {
        let values =
            fit(&architecture, saved).map_err(|misfit| BuildError::Misfit { file: weights.to_owned(), misfit })?;
        let values = values.into_iter().map(|data| data.bytes);
        Ok::<_, BuildError>(built::write(&architecture, &architecture.weights(), values, dir, progress)?)
    })??;
    Ok(BuiltModel::publish(finished, architecture.parameters() as u64)?)
}

/// The networks among `candidates` that a weights file fits by its shapes; values are not looked at.
pub fn fitting(weights: &Path, candidates: &[Network]) -> Result<Vec<Network>, WeightsError> {
    read_layers(weights, |saved| {
        let fits = |network: &&Network| fit::shapes(&Architecture::of(**network), &saved).is_ok();
        candidates.iter().filter(fits).copied().collect()
    })
}

/// Why a weights file does not fit each of `candidates`.
pub fn misfits(weights: &Path, candidates: &[Network]) -> Result<Vec<Misfit>, WeightsError> {
    read_layers(weights, |saved| {
        candidates.iter().filter_map(|network| fit::shapes(&Architecture::of(*network), &saved).err()).collect()
    })
}
