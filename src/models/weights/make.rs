//! From a decision to a model in its place.

use std::path::Path;

use super::decide::Decision;
use super::error::WeightsFailure;
use super::origin::Origin;
use crate::models::built::{BuiltModel, Progress};
use crate::models::catalogue::Entry;
use crate::models::{place, pretrained, synthetic};

/// Makes `dir/1` as decided, replacing what is there. CPU-bound: seconds for a network of a hundred megabytes.
pub fn make(
    entry: &Entry,
    decision: &Decision,
    dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<BuiltModel, WeightsFailure> {
    Ok(match (&decision.origin, &decision.path) {
        (Origin::SavedModel { .. }, Some(directory)) => place::place(directory, dir)?,
        (_, Some(weights)) => pretrained::build(entry.network, weights, dir, progress)?,
        (_, None) => synthetic::build(entry.network, dir, &entry.synthetic_files(), progress)?,
    })
}
