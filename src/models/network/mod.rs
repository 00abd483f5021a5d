//! The networks that the lab knows, as lists of layers, and the graph that TensorFlow runs for them.
//!
//! [`Network`] names one; [`Architecture`] is its layers with names, shapes and order as `keras.applications` has
//! them; [`saved_model`] turns it into TensorFlow's graph with the ops that version 2.5 knows.

mod architecture;
mod graph;
mod nodes;

pub use architecture::{Architecture, CLASSES, EPSILON, Layer, LayerKind, NormPlace, WeightRole, WeightSpec};
pub use graph::{INPUT_NAME, OUTPUT_NAME, saved_model};
pub(in crate::models) use graph::{saver, servable};
pub(in crate::models) use nodes::{NO_INPUTS, Nodes, kind};

/// A network of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub enum Network {
    /// `keras.applications.ResNet50`: 25,636,712 parameters.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// `keras.applications.ResNet101`: 44,707,176 parameters.
    #[serde(rename = "resnet101")]
    ResNet101,
    /// A very small residual network, for tests of the lab.
    #[serde(rename = "tiny-a")]
    TinyA,
    /// Another very small one, deeper than the first.
    #[serde(rename = "tiny-b")]
    TinyB,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ResNet50, Self::ResNet101, Self::TinyA, Self::TinyB];

    /// Its id in the catalogue and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::ResNet50 => "resnet50",
            Self::ResNet101 => "resnet101",
            Self::TinyA => "tiny-a",
            Self::TinyB => "tiny-b",
        }
    }
}
