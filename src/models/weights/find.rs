//! What a folder holds for a model.

use std::path::{Path, PathBuf};

use super::error::WeightsFailure;
use crate::models::catalogue::{Entry, file_name};
use crate::models::{place, pretrained};

/// What was found for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A weights file of Keras.
    Weights(PathBuf),
    /// A SavedModel: the version directory, or the one above it.
    SavedModel(PathBuf),
}

/// Looks in a folder for a model's weights file under its published name, then under the model's, then for a SavedModel
/// in a folder of the model's name, at last for any weights file that fits.
pub(super) fn find(folder: &Path, model: &str, entry: &Entry) -> Result<Found, WeightsFailure> {
    let published = entry.pretrained().and_then(|remote| file_name(&remote.url)).map(str::to_owned);
    let names: Vec<String> =
        published.into_iter().chain([format!("{model}.h5"), format!("{model}.weights.h5")]).collect();
    if let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(Found::Weights(path));
    }
    let own = folder.join(model);
    if own.is_dir() {
        return Ok(Found::SavedModel(place::version_directory(&own)?));
    }
    let io = |source| WeightsFailure::Io { path: folder.to_owned(), source };
    let mut others = Vec::new();
    for item in std::fs::read_dir(folder).map_err(io)? {
        let path = item.map_err(io)?.path();
        if path.extension().is_some_and(|ending| ending == "h5") && path.is_file() {
            others.push(path);
        }
    }
    others.sort();
    let fits = |path: &PathBuf| pretrained::fitting(path, &[entry.network]).is_ok_and(|fitting| !fitting.is_empty());
    if let Some(path) = others.into_iter().find(fits) {
        return Ok(Found::Weights(path));
    }
    let mut wanted = names;
    wanted.push(format!("{model}/1/saved_model.pb"));
    wanted.push(format!("any .h5 with the layers of {}", entry.network.id()));
    Err(WeightsFailure::NothingInFolder { folder: folder.to_owned(), model: model.to_owned(), wanted })
}
