//! A Keras weight file: layers in the order in which they were saved, each with its weights.

use std::path::{Path, PathBuf};

use super::Hdf5Error;
use super::file::{Dataset, Hdf5File, Object};

/// A layer that has weights.
#[derive(Debug)]
pub struct LayerWeights<'a> {
    /// The layer's name in the file.
    pub name: String,
    /// Its weights, in Keras's order.
    pub weights: Vec<Weight<'a>>,
}

/// One weight of a layer.
#[derive(Debug)]
pub struct Weight<'a> {
    /// Its name in the file, for example `conv1_conv/kernel:0`.
    pub name: String,
    /// Shape and values.
    pub data: Dataset<'a>,
}

/// Why a weight file was not read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read at all.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It is not a readable HDF5 file.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Hdf5Error,
    },
    /// It is HDF5, but not Keras weights in the layout of Keras 2.
    #[error("{}: no `layer_names`: not Keras weights as `save_weights(\"x.h5\")` or `save(\"x.h5\")` of Keras 2 write them", path.display())]
    NotKeras {
        /// The file.
        path: PathBuf,
    },
}

impl Hdf5File {
    /// The layers that have weights, in saved order; `None` where the file holds no Keras weights.
    fn layers(&self) -> Result<Option<Vec<LayerWeights<'_>>>, Hdf5Error> {
        // `save` puts the weights into a group of their own, `save_weights` into the root.
        let mut group = self.root();
        let mut names = self.attribute_in_chunks(group, "layer_names")?;
        if names.is_none() {
            group = match self.find(group, "model_weights") {
                Err(Hdf5Error::Missing(_)) => return Ok(None),
                found => found?,
            };
            names = self.attribute_in_chunks(group, "layer_names")?;
        }
        let Some(names) = names else { return Ok(None) };
        let links = self.links(group)?;
        let mut layers = Vec::new();
        for name in names {
            let layer = match links.iter().find(|(link, _)| *link == name) {
                Some((_, object)) => *object,
                // A layer's name may hold slashes, which make it a path.
                None => self.find(group, &name)?,
            };
            let weights = self.attribute_in_chunks(layer, "weight_names")?.unwrap_or_default();
            if weights.is_empty() {
                continue;
            }
            let weights = weights
                .into_iter()
                .map(|weight| Ok(Weight { data: self.dataset(self.find(layer, &weight)?)?, name: weight }))
                .collect::<Result<_, Hdf5Error>>()?;
            layers.push(LayerWeights { name, weights });
        }
        Ok(Some(layers))
    }

    /// A list of strings that Keras may have cut into `NAME0`, `NAME1`, … because a header holds at most 64 KiB.
    fn attribute_in_chunks(&self, object: Object, name: &str) -> Result<Option<Vec<String>>, Hdf5Error> {
        if let Some(whole) = self.strings(object, name)? {
            return Ok(Some(whole));
        }
        let mut all = None;
        for chunk in 0_u32.. {
            match self.strings(object, &format!("{name}{chunk}"))? {
                Some(part) => all.get_or_insert_with(Vec::new).extend(part),
                None => break,
            }
        }
        Ok(all)
    }
}

/// Opens a Keras weight file and hands its layers to `with`.
pub fn read_layers<T>(path: &Path, with: impl FnOnce(Vec<LayerWeights<'_>>) -> T) -> Result<T, WeightsError> {
    let format = |source| WeightsError::Format { path: path.to_owned(), source };
    let file =
        Hdf5File::open(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?.map_err(format)?;
    let layers = file.layers().map_err(format)?.ok_or_else(|| WeightsError::NotKeras { path: path.to_owned() })?;
    Ok(with(layers))
}
