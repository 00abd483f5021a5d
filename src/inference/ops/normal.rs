//! Normalisation: softmax, and batch norm in inference.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, TensorData, shape_text};
use super::{Family, Kernel, floats, input, one, require_channels_last, unsupported_type};

pub(super) const OPS: Family = &[
    ("FusedBatchNorm", batch_norm),
    ("FusedBatchNormV2", batch_norm),
    ("FusedBatchNormV3", batch_norm),
    ("L2Loss", |_| Ok(Box::new(l2_loss))),
    ("LogSoftmax", |_| Ok(Box::new(|inputs, _| softmax(inputs, true)))),
    ("Softmax", |_| Ok(Box::new(|inputs, _| softmax(inputs, false)))),
];

fn softmax(inputs: &mut [Value], logarithm: bool) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let [.., classes] = tensor.shape[..] else {
        return Err(RunError::invalid("logits must have >= 1 dimension, got []"));
    };
    macro_rules! rows {
        ($values:expr, $type:ty) => {{
            let mut out = $values.clone();
            for row in out.chunks_exact_mut(classes.max(1)) {
                let largest = row.iter().copied().fold(<$type>::NEG_INFINITY, <$type>::max);
                let mut sum = 0.0;
                for value in row.iter_mut() {
                    *value -= largest;
                    sum += value.exp();
                }
                for value in row.iter_mut() {
                    *value = if logarithm { *value - sum.ln() } else { value.exp() / sum };
                }
            }
            out
        }};
    }
    let data = match &tensor.data {
        TensorData::Float(values) => TensorData::Float(rows!(values, f32)),
        TensorData::Double(values) => TensorData::Double(rows!(values, f64)),
        _ => return Err(unsupported_type(tensor.dtype())),
    };
    one(tensor.shape.clone(), data)
}

/// The factor and the summand of each channel that a batch norm in inference comes down to.
pub(crate) fn scale_and_shift(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> =
        gamma.iter().zip(variance).map(|(gamma, variance)| gamma / (variance + epsilon).sqrt()).collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
    (scale, shift)
}

fn batch_norm(attributes: &Attributes) -> Result<Kernel, RunError> {
    require_channels_last("FusedBatchNorm", attributes)?;
    if attributes.flag("is_training", true)? {
        let text = "FusedBatchNorm in training mode is not supported: export the model for inference";
        return Err(RunError::new(StatusCode::Unimplemented, text));
    }
    let epsilon = attributes.float("epsilon", 0.0001)?;
    Ok(Box::new(move |inputs, context| normalise(inputs, epsilon, context)))
}

fn normalise(inputs: &mut [Value], epsilon: f32, context: &Context) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let [_, _, _, channels] = tensor.shape[..] else {
        return Err(RunError::invalid(format!("input must be 4-dimensional{}", shape_text(&tensor.shape))));
    };
    let mut parts = Vec::new();
    for (index, name) in ["scale", "offset", "estimated_mean", "estimated_variance"].into_iter().enumerate() {
        let part = input(inputs, index + 1)?;
        if part.shape.len() != 1 {
            return Err(RunError::invalid(format!("{name} must be 1-dimensional{}", shape_text(&part.shape))));
        }
        if part.len() != channels {
            let count = part.len();
            let text = format!(
                "{name} must have the same number of elements as the channels of x, got {count} and {channels}"
            );
            return Err(RunError::invalid(text));
        }
        parts.push(floats(part)?.to_vec());
    }
    let (scale, shift) = scale_and_shift(&parts[0], &parts[1], &parts[2], &parts[3], epsilon);
    let [mean, variance] = [parts.remove(2), parts.remove(2)];
    let mut out = context.floats(&tensor.shape)?;
    let values = floats(tensor)?;
    if channels > 0 {
        for (out, values) in out.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
            for channel in 0..channels {
                out[channel] = values[channel] * scale[channel] + shift[channel];
            }
        }
    }
    let vector = |values: Vec<f32>| Arc::new(Tensor { shape: vec![channels], data: TensorData::Float(values) });
    let (mean, variance) = (vector(mean), vector(variance));
    let result = Arc::new(Tensor { shape: tensor.shape.clone(), data: TensorData::Float(out) });
    let spare = || Arc::clone(&mean);
    Ok(vec![result, spare(), variance, spare(), spare(), spare()])
}

fn l2_loss(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let sum: f32 = floats(input(inputs, 0)?)?.iter().map(|value| value * value).sum();
    one(vec![], TensorData::Float(vec![sum / 2.0]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, run};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    #[test]
    fn softmax_by_numpy() {
        let result = run("Softmax", &[], &[floats(&[1, 3], &[1.0, 2.0, 3.0])]).unwrap();
        let expected = [0.090_030_57, 0.244_728_48, 0.665_240_94];
        assert!(result.as_floats().unwrap().iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-7));
        let large = run("Softmax", &[], &[floats(&[1, 2], &[1e30, -1e30])]).unwrap();
        assert_eq!(large, floats(&[1, 2], &[1.0, 0.0]));
        let logarithm = run("LogSoftmax", &[], &[floats(&[1, 2], &[0.0, 0.0])]).unwrap();
        assert!((logarithm.as_floats().unwrap()[0] + std::f32::consts::LN_2).abs() < 1e-7);
        assert!(run("Softmax", &[], &[floats(&[], &[1.0])]).is_err());
        assert_eq!(run("Softmax", &[], &[floats(&[2, 0], &[])]).unwrap().shape, [2, 0]);
    }

    #[test]
    fn batch_norm_by_hand() {
        let list = [("is_training", Attribute::B(false)), ("epsilon", Attribute::F(1.0))];
        let vector = |values: &[f32]| floats(&[2], values);
        let picture = floats(&[1, 1, 1, 2], &[5.0, 6.0]);
        let inputs = [picture, vector(&[2.0, 1.0]), vector(&[1.0, 0.0]), vector(&[3.0, 6.0]), vector(&[3.0, 0.0])];
        assert_eq!(run("FusedBatchNormV3", &list, &inputs).unwrap(), floats(&[1, 1, 1, 2], &[3.0, 0.0]));
        let error = run("FusedBatchNormV3", &[], &inputs).unwrap_err();
        assert_eq!(error.code, StatusCode::Unimplemented);
    }
}
