//! A Keras weight file: its layers, each with its weights, and the order in which they stand.
//!
//! Three layouts are read. Keras 2 and `save("x.h5")` of Keras 3 list the layers in the model's order in an attribute,
//! at the root (`save_weights`) or below `model_weights` (`save`). `save_weights("x.weights.h5")` of Keras 3 lists
//! nothing: it names the groups below `layers` by the layers' classes and counts within each class
//! (`conv2d`, `conv2d_1`, …), and the variables of a layer by their number.

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

/// The layers of a file.
#[derive(Debug)]
pub struct SavedLayers<'a> {
    /// What the order of the layers means.
    pub order: SavedOrder,
    /// Those that have weights.
    pub layers: Vec<LayerWeights<'a>>,
}

/// What the order of a file's layers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedOrder {
    /// The model's order.
    Model,
    /// By class, and within each class in the model's order.
    Class,
}

/// One weight of a layer.
#[derive(Debug)]
pub struct Weight<'a> {
    /// Its name in the file, for example `conv1_conv/kernel:0`.
    pub name: String,
    /// Shape and values.
    pub data: Dataset<'a>,
}

/// The most layers that a file may list; the deepest network of `keras.applications` has a thousand.
const MAX_LAYERS: usize = 1 << 14;

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
    /// It is HDF5, but not Keras weights in a layout that is known.
    #[error("{}: neither `layer_names` nor `layers`: not weights as `save_weights` or `save` of Keras write them", path.display())]
    NotKeras {
        /// The file.
        path: PathBuf,
    },
}

impl Hdf5File {
    /// The layers that have weights; `None` where the file holds no Keras weights.
    pub fn layers(&self) -> Result<Option<SavedLayers<'_>>, Hdf5Error> {
        // `save` puts the weights into a group of their own, `save_weights` into the root.
        let mut group = self.root();
        let mut names = self.attribute_in_chunks(group, "layer_names")?;
        if names.is_none() {
            group = match self.find(group, "model_weights") {
                Err(Hdf5Error::Missing(_)) => return self.layers_by_class(),
                found => found?,
            };
            names = self.attribute_in_chunks(group, "layer_names")?;
        }
        let Some(names) = names else { return Ok(None) };
        bounded(names.len())?;
        let links = self.links(group)?;
        let mut layers = Vec::new();
        for name in names {
            let layer = match links.iter().find(|(link, _)| *link == name) {
                Some((_, object)) => *object,
                // A layer's name may hold slashes, which make it a path.
                None => self.find(group, &name)?,
            };
            let weights = self.attribute_in_chunks(layer, "weight_names")?.unwrap_or_default();
            bounded(weights.len())?;
            if weights.is_empty() {
                continue;
            }
            let weights = weights
                .into_iter()
                .map(|weight| Ok(Weight { data: self.dataset(self.find(layer, &weight)?)?, name: weight }))
                .collect::<Result<_, Hdf5Error>>()?;
            layers.push(LayerWeights { name, weights });
        }
        Ok(Some(SavedLayers { order: SavedOrder::Model, layers }))
    }

    /// The layers of a file in which `save_weights` of Keras 3 counts them by class.
    fn layers_by_class(&self) -> Result<Option<SavedLayers<'_>>, Hdf5Error> {
        let group = match self.find(self.root(), "layers") {
            Err(Hdf5Error::Missing(_)) => return Ok(None),
            found => found?,
        };
        let mut links = self.links(group)?;
        bounded(links.len())?;
        links.sort_by(|(one, _), (other, _)| class_and_number(one).cmp(&class_and_number(other)));
        let mut layers = Vec::new();
        for (name, layer) in links {
            let mut variables = match self.find(layer, "vars") {
                Err(Hdf5Error::Missing(_)) => continue,
                found => self.links(found?)?,
            };
            bounded(variables.len())?;
            variables.sort_by_key(|(number, _)| number.parse::<u32>().unwrap_or(u32::MAX));
            let weights = variables
                .into_iter()
                .map(|(number, object)| {
                    Ok(Weight { name: format!("{name}/vars/{number}"), data: self.dataset(object)? })
                })
                .collect::<Result<Vec<_>, Hdf5Error>>()?;
            if !weights.is_empty() {
                layers.push(LayerWeights { name, weights });
            }
        }
        Ok(Some(SavedLayers { order: SavedOrder::Class, layers }))
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

impl LayerWeights<'_> {
    /// The class that the name of a counted layer begins with: `conv2d` of `conv2d_12`.
    pub fn class(&self) -> &str {
        class_and_number(&self.name).0
    }
}

/// `conv2d_12` as (`conv2d`, 12); the first of a class has no number.
fn class_and_number(name: &str) -> (&str, u32) {
    match name.rsplit_once('_').map(|(class, number)| (class, number.parse())) {
        Some((class, Ok(number))) => (class, number),
        _ => (name, 0),
    }
}

fn bounded(count: usize) -> Result<(), Hdf5Error> {
    if count > MAX_LAYERS {
        Err(Hdf5Error::Unsupported("a list of more than 16,384 layers or weights"))
    } else {
        Ok(())
    }
}

/// Opens a Keras weight file and hands its layers to `with`.
pub fn read_layers<T>(path: &Path, with: impl FnOnce(SavedLayers<'_>) -> T) -> Result<T, WeightsError> {
    let format = |source| WeightsError::Format { path: path.to_owned(), source };
    let file =
        Hdf5File::open(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?.map_err(format)?;
    let layers = file.layers().map_err(format)?.ok_or_else(|| WeightsError::NotKeras { path: path.to_owned() })?;
    Ok(with(layers))
}
