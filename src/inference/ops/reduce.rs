//! Sums, means and extremes over axes.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData};
use super::{Family, Kernel, axis_index, input, integers, one, strides, unsupported_type, walk};

pub(super) const OPS: Family = &[
    ("All", |attributes| logic(attributes, true)),
    ("Any", |attributes| logic(attributes, false)),
    ("Max", |attributes| reduction(attributes, Fold::Max)),
    ("Mean", |attributes| reduction(attributes, Fold::Mean)),
    ("Min", |attributes| reduction(attributes, Fold::Min)),
    ("Prod", |attributes| reduction(attributes, Fold::Product)),
    ("Sum", |attributes| reduction(attributes, Fold::Sum)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Sum,
    Mean,
    Product,
    Max,
    Min,
}

/// Which axes go away, and where each element's result lies.
struct Reduced {
    /// The result's shape.
    shape: Vec<usize>,
    /// How the result's offset moves along each axis of the input.
    steps: Vec<isize>,
    /// Elements of the result, and of the input for each of them.
    count: usize,
    each: usize,
}

fn reduced(tensor: &Tensor, axes: &[i64], keep: bool) -> Result<Reduced, RunError> {
    let rank = tensor.shape.len();
    let mut gone = vec![false; rank];
    for &axis in axes {
        let index = axis_index(axis, rank).ok_or_else(|| {
            RunError::invalid(format!("Invalid reduction dimension ({axis} for input with {rank} dimension(s)"))
        })?;
        gone[index] = true;
    }
    let kept: Vec<usize> = (0..rank).map(|axis| if gone[axis] { 1 } else { tensor.shape[axis] }).collect();
    let own = strides(&kept);
    let steps = (0..rank).map(|axis| if gone[axis] { 0 } else { own[axis] as isize }).collect();
    let count = kept.iter().product();
    let each = (0..rank).filter(|&axis| gone[axis]).map(|axis| tensor.shape[axis]).product();
    let shape = (0..rank).filter(|&axis| keep || !gone[axis]).map(|axis| kept[axis]).collect();
    Ok(Reduced { shape, steps, count, each })
}

fn fold<T: Copy>(tensor: &Tensor, plan: &Reduced, values: &[T], start: T, combine: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out = vec![start; plan.count];
    let mut next = values.iter();
    walk(&tensor.shape, &plan.steps, 0, |at| {
        if let Some(&value) = next.next() {
            out[at] = combine(out[at], value);
        }
    });
    out
}

/// The mean over the middle of `[outer, middle, inner]`, as a network's global pooling has it: whole rows at a time.
fn middle_mean(tensor: &Tensor, axes: &[i64], values: &[f32]) -> Option<Vec<f32>> {
    let [batch, height, width, channels] = tensor.shape[..] else { return None };
    if !matches!(axes, [1, 2] | [2, 1]) || channels == 0 || height * width == 0 {
        return None;
    }
    let mut out = vec![0.0f32; batch * channels];
    for (out, picture) in out.chunks_exact_mut(channels).zip(values.chunks_exact(height * width * channels)) {
        for pixel in picture.chunks_exact(channels) {
            out.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
        }
        for sum in out.iter_mut() {
            *sum /= (height * width) as f32;
        }
    }
    Some(out)
}

fn reduction(attributes: &Attributes, kind: Fold) -> Result<Kernel, RunError> {
    let keep = attributes.flag("keep_dims", false)?;
    Ok(Box::new(move |inputs, _| {
        let (tensor, axes) = (input(inputs, 0)?, integers(input(inputs, 1)?)?);
        let plan = reduced(tensor, &axes, keep)?;
        Context::allowed(&plan.shape, tensor.dtype())?;
        macro_rules! real {
            ($values:expr, $type:ty) => {
                match kind {
                    Fold::Sum => fold(tensor, &plan, $values, 0.0, |a, b| a + b),
                    Fold::Product => fold(tensor, &plan, $values, 1.0, |a, b| a * b),
                    Fold::Max => fold(tensor, &plan, $values, <$type>::NEG_INFINITY, |a, b| if a < b { b } else { a }),
                    Fold::Min => fold(tensor, &plan, $values, <$type>::INFINITY, |a, b| if b < a { b } else { a }),
                    Fold::Mean => {
                        let sums = fold(tensor, &plan, $values, 0.0, |a, b| a + b);
                        sums.into_iter().map(|sum| sum / plan.each as $type).collect()
                    }
                }
            };
        }
        macro_rules! whole {
            ($values:expr, $type:ty) => {
                match kind {
                    Fold::Sum => fold(tensor, &plan, $values, 0, <$type>::wrapping_add),
                    Fold::Product => fold(tensor, &plan, $values, 1, <$type>::wrapping_mul),
                    Fold::Max => fold(tensor, &plan, $values, <$type>::MIN, |a, b| a.max(b)),
                    Fold::Min => fold(tensor, &plan, $values, <$type>::MAX, |a, b| a.min(b)),
                    Fold::Mean => {
                        let sums = fold(tensor, &plan, $values, 0, <$type>::wrapping_add);
                        let each = <$type>::try_from(plan.each.max(1)).unwrap_or(<$type>::MAX);
                        sums.into_iter().map(|sum| sum / each).collect()
                    }
                }
            };
        }
        let data = match &tensor.data {
            TensorData::Float(values) => {
                let quick = if kind == Fold::Mean { middle_mean(tensor, &axes, values) } else { None };
                TensorData::Float(quick.unwrap_or_else(|| real!(values, f32)))
            }
            TensorData::Double(values) => TensorData::Double(real!(values, f64)),
            TensorData::Int32(values) => TensorData::Int32(whole!(values, i32)),
            TensorData::Int64(values) => TensorData::Int64(whole!(values, i64)),
            TensorData::Uint8(values) => TensorData::Uint8(whole!(values, u8)),
            _ => return Err(unsupported_type(tensor.dtype())),
        };
        one(plan.shape, data)
    }))
}

fn logic(attributes: &Attributes, all: bool) -> Result<Kernel, RunError> {
    let keep = attributes.flag("keep_dims", false)?;
    Ok(Box::new(move |inputs: &mut [Value], _: &Context| {
        let (tensor, axes) = (input(inputs, 0)?, integers(input(inputs, 1)?)?);
        let plan = reduced(tensor, &axes, keep)?;
        let TensorData::Bool(values) = &tensor.data else { return Err(unsupported_type(tensor.dtype())) };
        let out = fold(tensor, &plan, values, all, |a, b| if all { a && b } else { a || b });
        one(plan.shape, TensorData::Bool(out))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, scalar};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    #[test]
    fn over_one_axis_all_axes_and_none() {
        let six = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]);
        for (op, axes, expected) in [
            ("Sum", ints(&[0]), floats(&[3], &[5.0, 7.0, 12.0])),
            ("Mean", ints(&[-1]), floats(&[2], &[2.0, 6.0])),
            ("Max", ints(&[0, 1]), floats(&[], &[9.0])),
            ("Min", scalar(1), floats(&[2], &[1.0, 4.0])),
            ("Prod", ints(&[1]), floats(&[2], &[6.0, 180.0])),
            ("Sum", ints(&[]), six.clone()),
        ] {
            assert_eq!(run(op, &[], &[six.clone(), axes]).unwrap(), expected, "{op}");
        }
        let kept = run("Sum", &[("keep_dims", Attribute::B(true))], &[six.clone(), ints(&[1])]).unwrap();
        assert_eq!(kept, floats(&[2, 1], &[6.0, 18.0]));
        let error = run("Mean", &[], &[six, ints(&[2])]).unwrap_err();
        assert_eq!(error.message, "Invalid reduction dimension (2 for input with 2 dimension(s)");
        assert_eq!(run("Mean", &[], &[ints(&[1, 2, 4]), ints(&[0])]).unwrap(), scalar(2));
    }

    #[test]
    fn the_mean_of_pictures() {
        let pictures = floats(&[2, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let mean = run("Mean", &[], &[pictures, ints(&[1, 2])]).unwrap();
        assert_eq!(mean, floats(&[2, 2], &[2.0, 3.0, 6.0, 7.0]));
        let nothing = run("Mean", &[], &[floats(&[1, 0, 2, 1], &[]), ints(&[1, 2])]).unwrap();
        assert!(nothing.as_floats().unwrap()[0].is_nan());
    }

    #[test]
    fn truth_over_axes() {
        let flags = Tensor::new(&[2, 2], TensorData::Bool(vec![true, false, true, true])).unwrap();
        let all = run("All", &[], &[flags.clone(), ints(&[1])]).unwrap();
        assert_eq!(all.data, TensorData::Bool(vec![false, true]));
        assert_eq!(run("Any", &[], &[flags, ints(&[1])]).unwrap().data, TensorData::Bool(vec![true, true]));
    }
}
