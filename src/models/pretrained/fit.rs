//! Giving a file's weights to a network's layers.

use std::collections::VecDeque;
use std::fmt;

use crate::models::hdf5::{Dataset, LayerWeights, SavedLayers, SavedOrder};
use crate::models::network::{Architecture, EPSILON, Layer, LayerKind, WeightRole, WeightSpec};

/// Why a file's weights are not the network's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// A weight has another shape.
    #[error(
        "other weights than {network}'s: layer {layer} of {layers} with weights is {wanted} {}, but the file's {found} is {}",
        Shape(wanted_shape),
        Shape(found_shape)
    )]
    Shape {
        /// The network.
        network: &'static str,
        /// The position among the layers that have weights, from 1.
        layer: usize,
        /// How many such layers the network has.
        layers: usize,
        /// The network's weight.
        wanted: String,
        /// The file's weight.
        found: String,
        /// The shape that it must have.
        wanted_shape: Vec<usize>,
        /// The shape that it has.
        found_shape: Vec<usize>,
    },
    /// A layer has more or fewer weights.
    #[error(
        "other weights than {network}'s: layer {layer} of {layers} with weights, {wanted}, has {wanted_count}, but the file's {found} has {found_count}"
    )]
    WeightCount {
        /// The network.
        network: &'static str,
        /// The position among the layers that have weights, from 1.
        layer: usize,
        /// How many such layers the network has.
        layers: usize,
        /// The network's layer.
        wanted: String,
        /// The file's layer.
        found: String,
        /// Weights that it must have.
        wanted_count: usize,
        /// Weights that it has.
        found_count: usize,
    },
    /// The file ends before the network does.
    #[error(
        "other weights than {network}'s: the file has {found} layers with weights, {network} has {wanted}; {missing} has none"
    )]
    TooFew {
        /// The network.
        network: &'static str,
        /// Layers that it has.
        wanted: usize,
        /// Layers that the file has.
        found: usize,
        /// The first of the network's layers that the file has nothing for.
        missing: String,
    },
    /// The file has layers beyond the network's last.
    #[error(
        "other weights than {network}'s: the file has {found} layers with weights, {network} has {wanted}; {surplus} is one too many"
    )]
    TooMany {
        /// The network.
        network: &'static str,
        /// Layers that it has.
        wanted: usize,
        /// Layers that the file has.
        found: usize,
        /// The first of the file's layers that the network has nothing for.
        surplus: String,
    },
    /// A value is not a number, or makes none.
    #[error("{weight} has {value} at element {element}: damaged weights, or ones from a training that diverged")]
    NotANumber {
        /// The file's weight.
        weight: String,
        /// Which element, from 0 in row-major order.
        element: usize,
        /// Its value.
        value: f32,
    },
    /// A variance is negative: its root, which the network divides by, is not a number.
    #[error("{weight} has {value} at element {element}, and a variance cannot be negative")]
    NegativeVariance {
        /// The file's weight.
        weight: String,
        /// Which element, from 0.
        element: usize,
        /// Its value.
        value: f32,
    },
}

/// Shows a shape as `[7,7,3,64]`.
struct Shape<'a>(&'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", sizes.join(","))
    }
}

/// The data of every weight of the network, in the order of [`Architecture::weights`].
pub fn fit<'a>(architecture: &Architecture, saved: SavedLayers<'a>) -> Result<Vec<Dataset<'a>>, Misfit> {
    let order = shapes(architecture, &saved)?;
    let mut layers: Vec<Option<LayerWeights<'a>>> = saved.layers.into_iter().map(Some).collect();
    let taken = order.into_iter().filter_map(|position| layers[position].take());
    let specs = architecture.weights();
    let mut data = Vec::with_capacity(specs.len());
    for (spec, weight) in specs.iter().zip(taken.flat_map(|layer| layer.weights)) {
        check_values(spec, &weight.name, &weight.data)?;
        data.push(weight.data);
    }
    Ok(data)
}

/// Compares all shapes; returns for each of the network's layers with weights the position of the file's.
pub(super) fn shapes(architecture: &Architecture, saved: &SavedLayers<'_>) -> Result<Vec<usize>, Misfit> {
    let network = architecture.name;
    let specs = architecture.weights();
    let wanted: Vec<&[WeightSpec]> = specs.chunk_by(|one, next| one.layer == next.layer).collect();
    let mut queue = Queue::new(saved);
    let mut order = Vec::with_capacity(wanted.len());
    for (index, specs) in wanted.iter().enumerate() {
        let layer = &architecture.layers[specs[0].layer];
        let Some(position) = queue.next(layer) else {
            return Err(Misfit::TooFew {
                network,
                wanted: wanted.len(),
                found: saved.layers.len(),
                missing: layer.name.clone(),
            });
        };
        let found = &saved.layers[position];
        if found.weights.len() != specs.len() {
            return Err(Misfit::WeightCount {
                network,
                layer: index + 1,
                layers: wanted.len(),
                wanted: layer.name.clone(),
                found: found.name.clone(),
                wanted_count: specs.len(),
                found_count: found.weights.len(),
            });
        }
        for (spec, weight) in specs.iter().zip(&found.weights) {
            if spec.shape != weight.data.shape {
                return Err(Misfit::Shape {
                    network,
                    layer: index + 1,
                    layers: wanted.len(),
                    wanted: spec.key.clone(),
                    found: weight.name.clone(),
                    wanted_shape: spec.shape.clone(),
                    found_shape: weight.data.shape.clone(),
                });
            }
        }
        order.push(position);
    }
    match queue.left() {
        None => Ok(order),
        Some(position) => Err(Misfit::TooMany {
            network,
            wanted: wanted.len(),
            found: saved.layers.len(),
            surplus: saved.layers[position].name.clone(),
        }),
    }
}

/// The file's layers, to be taken in the network's order.
struct Queue<'a> {
    saved: &'a SavedLayers<'a>,
    left: VecDeque<usize>,
}

impl<'a> Queue<'a> {
    fn new(saved: &'a SavedLayers<'_>) -> Self {
        Self { saved, left: (0..saved.layers.len()).collect() }
    }

    /// The position of the next layer for `layer`: the next one at all, or of its class where the file counts so.
    fn next(&mut self, layer: &Layer) -> Option<usize> {
        match self.saved.order {
            SavedOrder::Model => self.left.pop_front(),
            SavedOrder::Class => {
                let class = class_of(layer.kind);
                let index = self.left.iter().position(|position| self.saved.layers[*position].class() == class)?;
                self.left.remove(index)
            }
        }
    }

    fn left(&self) -> Option<usize> {
        self.left.front().copied()
    }
}

/// What Keras calls the class of a layer with weights, as `save_weights` of Keras 3 writes it.
fn class_of(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Conv { .. } => "conv2d",
        LayerKind::Norm { .. } => "batch_normalization",
        LayerKind::Classifier { .. } => "dense",
        _ => "",
    }
}

fn check_values(spec: &WeightSpec, name: &str, data: &Dataset<'_>) -> Result<(), Misfit> {
    let values = || data.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).enumerate();
    if let Some((element, value)) = values().find(|(_, value)| !value.is_finite()) {
        return Err(Misfit::NotANumber { weight: name.to_owned(), element, value });
    }
    let negative = |(_, value): &(usize, f32)| *value + EPSILON <= 0.0;
    match values().find(|found| spec.role == WeightRole::MovingVariance && negative(found)) {
        Some((element, value)) => Err(Misfit::NegativeVariance { weight: name.to_owned(), element, value }),
        None => Ok(()),
    }
}
