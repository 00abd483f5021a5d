//! The constants that fit synthetic weights to pictures.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Network;
use crate::models::network::{Architecture, LayerKind};

/// A number as `mantissa × 2^exponent`, exact in 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "(i32, i32)")]
pub struct Scale {
    /// 128 to 255.
    pub mantissa: i32,
    /// The power of two.
    pub exponent: i32,
}

impl From<(i32, i32)> for Scale {
    fn from((mantissa, exponent): (i32, i32)) -> Self {
        Self { mantissa, exponent }
    }
}

/// The constants of one network, from `models/calibration/NETWORK.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Sixty-fourths by which the last batch normalisation of a branch multiplies; small, so that the trunk carries.
    pub branch_gain: i32,
    /// The scale of the classifier's kernel.
    pub classifier: Scale,
    /// The seed of the classifier's bias.
    pub bias_seed: u64,
    /// The mean square of what each batch normalisation sees, by layer.
    pub variances: BTreeMap<String, Scale>,
}

/// Why calibration data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// It is not of the form.
    #[error("models/calibration/{network}.yaml: {reason}")]
    Malformed {
        /// The network.
        network: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A layer has no constant, or one that is out of range.
    #[error("models/calibration/{network}.yaml: no usable constant for the layer {layer}")]
    Layer {
        /// The network.
        network: &'static str,
        /// The layer.
        layer: String,
    },
}

impl Calibration {
    /// The data that the program carries.
    pub fn embedded(network: Network) -> Result<Self, CalibrationError> {
        let text = match network {
            Network::ResNet50 => include_str!("../../../models/calibration/resnet50.yaml"),
            Network::ResNet101 => include_str!("../../../models/calibration/resnet101.yaml"),
            Network::TinyA => include_str!("../../../models/calibration/tiny-a.yaml"),
            Network::TinyB => include_str!("../../../models/calibration/tiny-b.yaml"),
        };
        serde_yaml::from_str(text)
            .map_err(|error| CalibrationError::Malformed { network: network.id(), reason: error.to_string() })
    }

    /// Checks that every batch normalisation of the architecture has a constant in range, and nothing else has one.
    pub(super) fn check(&self, network: Network, architecture: &Architecture) -> Result<(), CalibrationError> {
        let usable = |scale: &Scale| (128..256).contains(&scale.mantissa) && (-40..40).contains(&scale.exponent);
        let fail = |layer: &str| CalibrationError::Layer { network: network.id(), layer: layer.to_owned() };
        let mut norms = 0;
        for layer in &architecture.layers {
            if matches!(layer.kind, LayerKind::Norm { .. }) {
                norms += 1;
                self.variances.get(&layer.name).filter(|scale| usable(scale)).ok_or_else(|| fail(&layer.name))?;
            }
        }
        if norms != self.variances.len() || !usable(&self.classifier) || !(1..=64).contains(&self.branch_gain) {
            return Err(fail("predictions, or one that the network does not have"));
        }
        Ok(())
    }
}
