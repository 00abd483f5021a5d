//! Normalisation: softmax, and batch norm by given statistics or by the input's own.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, TensorData, shape_text};
use super::{Family, Kernel, floats, input, one, unsupported_type};

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

/// The factor and the summand of each channel that a batch norm in inference comes down to, in double precision.
pub(crate) fn scale_and_shift(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f64>, Vec<f64>) {
    let factor = |(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt();
    let scale: Vec<f64> = gamma.iter().zip(variance).map(factor).collect();
    let summand = |((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale;
    let shift = beta.iter().zip(mean).zip(&scale).map(summand).collect();
    (scale, shift)
}

/// A batch norm: by given statistics, or ("in training") by those of the input itself, which is also how layers that
/// normalise something else are written.
#[derive(Clone, Copy)]
struct BatchNorm {
    training: bool,
    epsilon: f32,
    /// How much of the new statistics goes into the ones that are handed on.
    share: f32,
    channels_first: bool,
}

fn batch_norm(attributes: &Attributes) -> Result<Kernel, RunError> {
    let channels_first = match attributes.text("data_format", "NHWC")?.as_str() {
        "NHWC" => false,
        "NCHW" => true,
        format => {
            let text = format!("a batch norm of the data format {format} is not supported");
            return Err(RunError::new(StatusCode::Unimplemented, text));
        }
    };
    let norm = BatchNorm {
        training: attributes.flag("is_training", true)?,
        epsilon: attributes.float("epsilon", 0.0001)?,
        share: attributes.float("exponential_avg_factor", 1.0)?,
        channels_first,
    };
    Ok(Box::new(move |inputs, context| norm.run(inputs, context)))
}

impl BatchNorm {
    fn run(self, inputs: &mut [Value], context: &Context) -> Result<Vec<Value>, RunError> {
        let tensor = input(inputs, 0)?;
        let [batch, a, b, c] = tensor.shape[..] else {
            return Err(RunError::invalid(format!("input must be 4-dimensional{}", shape_text(&tensor.shape))));
        };
        // Elements of one channel lie next to each other in runs of `inner`.
        let (channels, inner) = if self.channels_first { (a, b * c) } else { (c, 1) };
        let mut parts = Vec::new();
        for (index, name) in ["scale", "offset", "estimated_mean", "estimated_variance"].into_iter().enumerate() {
            let part = input(inputs, index + 1)?;
            if part.shape.len() != 1 {
                return Err(RunError::invalid(format!("{name} must be 1-dimensional{}", shape_text(&part.shape))));
            }
            // Without a share of earlier statistics there need not be any.
            let unread = index > 1 && self.training && self.share >= 1.0;
            if part.len() != channels && !unread {
                let count = part.len();
                let text = format!(
                    "{name} must have the same number of elements as the channels of x, got {count} and {channels}"
                );
                return Err(RunError::invalid(text));
            }
            parts.push(floats(part)?.to_vec());
        }
        let values = floats(tensor)?;
        let [given_mean, given_variance] = [parts.remove(2), parts.remove(2)];
        let mut out = context.floats(&tensor.shape)?;
        let (mean, variance) = if self.training {
            statistics(values, channels, inner)
        } else {
            (given_mean.clone(), given_variance.clone())
        };
        let (scale, shift) = scale_and_shift(&parts[0], &parts[1], &mean, &variance, self.epsilon);
        let [scale, shift] =
            [scale, shift].map(|exact| exact.into_iter().map(|value| value as f32).collect::<Vec<_>>());
        // In training the mean may be far larger than the spread, so it goes off first.
        let (center, shift) =
            if self.training { (mean.clone(), parts.remove(1)) } else { (vec![0.0; channels], shift) };
        if inner == 1 {
            for (out, values) in out.chunks_exact_mut(channels.max(1)).zip(values.chunks_exact(channels.max(1))) {
                for channel in 0..channels {
                    out[channel] = (values[channel] - center[channel]) * scale[channel] + shift[channel];
                }
            }
        } else {
            let rows = out.chunks_exact_mut(inner.max(1)).zip(values.chunks_exact(inner.max(1)));
            for (row, (out, values)) in rows.enumerate() {
                let (center, scale, shift) = (center[row % channels], scale[row % channels], shift[row % channels]);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = (value - center) * scale + shift);
            }
        }
        let count = (batch * a * b * c).checked_div(channels).unwrap_or(0);
        // What is handed on estimates the variance of all pictures from these.
        let unbiased = count as f32 / count.saturating_sub(1).max(1) as f32;
        let (next_mean, next_variance) = if self.training {
            let blended = |old: &[f32], new: Vec<f32>| -> Vec<f32> {
                if self.share >= 1.0 {
                    return new;
                }
                old.iter().zip(new).map(|(old, new)| old + (new - old) * self.share).collect()
            };
            let sampled = variance.iter().map(|variance| variance * unbiased).collect();
            (blended(&given_mean, mean.clone()), blended(&given_variance, sampled))
        } else {
            (given_mean, given_variance)
        };
        let vector = |values: Vec<f32>| Arc::new(Tensor { shape: vec![channels], data: TensorData::Float(values) });
        let result = Arc::new(Tensor { shape: tensor.shape.clone(), data: TensorData::Float(out) });
        let (saved, spread) = (vector(mean), vector(variance));
        Ok(vec![result, vector(next_mean), vector(next_variance), Arc::clone(&saved), spread, saved])
    }
}

/// Mean and variance of each channel; elements of one channel come in runs of `inner`.
fn statistics(values: &[f32], channels: usize, inner: usize) -> (Vec<f32>, Vec<f32>) {
    let mean_of = |term: &dyn Fn(f32, usize) -> f64| -> Vec<f32> {
        let mut sums = vec![0.0f64; channels];
        for (row, values) in values.chunks(inner.max(1)).enumerate() {
            let channel = row % channels;
            sums[channel] += values.iter().map(|&value| term(value, channel)).sum::<f64>();
        }
        let count = values.len().checked_div(channels).unwrap_or(0).max(1) as f64;
        sums.into_iter().map(|sum| (sum / count) as f32).collect()
    };
    let mean = mean_of(&|value, _| f64::from(value));
    let variance = mean_of(&|value, channel| (f64::from(value) - f64::from(mean[channel])).powi(2));
    (mean, variance)
}

fn l2_loss(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let sum: f32 = floats(input(inputs, 0)?)?.iter().map(|value| value * value).sum();
    one(vec![], TensorData::Float(vec![sum / 2.0]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, run, run_all, text};
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
        let list = [("data_format", text("NDHWC")), ("is_training", Attribute::B(false))];
        let error = run("FusedBatchNormV3", &list, &inputs).unwrap_err();
        assert_eq!(error.code, StatusCode::Unimplemented);
    }

    #[test]
    fn batch_norm_by_its_own_statistics() {
        let vector = |values: &[f32]| floats(&[values.len()], values);
        let none = || vector(&[]);
        // Two channels, 1 3 and 10 30, once behind each other and once in turns.
        for (format, shape, values, expected) in [
            ("NCHW", [1, 2, 1, 2], [1.0, 3.0, 10.0, 30.0], [-1.0, 1.0, 3.0, 7.0]),
            ("NHWC", [1, 1, 2, 2], [1.0, 10.0, 3.0, 30.0], [-1.0, 3.0, 1.0, 7.0]),
        ] {
            let list = [("epsilon", Attribute::F(0.0)), ("data_format", text(format))];
            let inputs = [floats(&shape, &values), vector(&[1.0, 2.0]), vector(&[0.0, 5.0]), none(), none()];
            let results = run_all("FusedBatchNormV3", &list, &inputs).unwrap();
            assert_eq!(results[0], floats(&shape, &expected), "{format}");
            // The variance that is handed on is that of a sample.
            assert_eq!(results[1..3], [vector(&[2.0, 20.0]), vector(&[2.0, 200.0])]);
        }
        let list = [("exponential_avg_factor", Attribute::F(0.25)), ("epsilon", Attribute::F(0.0))];
        let inputs =
            [floats(&[1, 1, 2, 1], &[1.0, 3.0]), vector(&[1.0]), vector(&[0.0]), vector(&[6.0]), vector(&[6.0])];
        let results = run_all("FusedBatchNormV3", &list, &inputs).unwrap();
        assert_eq!(results[1..3], [vector(&[5.0]), vector(&[5.0])]);
        let empty = [floats(&[0, 1, 2, 2], &[]), vector(&[1.0; 2]), vector(&[0.0; 2]), none(), none()];
        assert_eq!(run("FusedBatchNormV3", &[], &empty).unwrap().shape, [0, 1, 2, 2]);
    }
}
