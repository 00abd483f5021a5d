//! Shapes: asking for them, changing them, padding, repeating, turning.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData, element_count, map_each_type, shape_text};
use super::{Family, Kernel, axis_index, input, integer, integers, one, strides, unsupported_type, walk};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("BroadcastTo", |_| Ok(Box::new(broadcast_to))),
    ("ExpandDims", |_| Ok(Box::new(expand_dims))),
    ("Fill", |_| Ok(Box::new(fill))),
    ("OnesLike", |_| Ok(Box::new(|inputs, _| like(inputs, 1)))),
    ("Pad", |_| Ok(Box::new(pad))),
    ("PadV2", |_| Ok(Box::new(pad))),
    ("Range", |_| Ok(Box::new(range))),
    ("Rank", |_| Ok(Box::new(rank))),
    ("Reshape", |_| Ok(Box::new(reshape))),
    ("Shape", |attributes| counting(attributes, |shape| shape.iter().map(|&size| size as i64).collect(), false)),
    ("Size", |attributes| counting(attributes, |shape| vec![shape.iter().product::<usize>() as i64], true)),
    ("Squeeze", squeeze),
    ("Tile", |_| Ok(Box::new(tile))),
    ("Transpose", |_| Ok(Box::new(transpose))),
    ("ZerosLike", |_| Ok(Box::new(|inputs, _| like(inputs, 0)))),
];

/// The same elements under another shape; the memory is kept when nobody else holds it.
fn reshaped(inputs: &mut [Value], shape: Vec<usize>) -> Result<Vec<Value>, RunError> {
    let value = inputs.first_mut().ok_or_else(|| RunError::invalid("input 0 is missing"))?;
    if let Some(tensor) = Arc::get_mut(value) {
        tensor.shape = shape;
        return Ok(vec![Arc::clone(value)]);
    }
    one(shape, value.data.clone())
}

fn reshape(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, wanted) = (input(inputs, 0)?, input(inputs, 1)?);
    if wanted.shape.len() != 1 {
        return Err(RunError::invalid(format!("shape must be 1-D, not {}", shape_text(&wanted.shape))));
    }
    let (count, mut unknown, mut shape) = (tensor.len(), None, Vec::new());
    for (axis, &size) in integers(wanted)?.iter().enumerate() {
        match (size, unknown) {
            (-1, None) => {
                unknown = Some(axis);
                shape.push(1);
            }
            (-1, Some(first)) => {
                let text = format!("Only one input size may be -1, not both {first} and {axis}");
                return Err(RunError::invalid(text));
            }
            (..-1, _) => {
                return Err(RunError::invalid(format!("Size {axis} must be non-negative, not {size}")));
            }
            (0.., _) => shape.push(usize::try_from(size).unwrap_or(usize::MAX)),
        }
    }
    let too_large = || RunError::invalid(format!("the requested shape {} is too large", shape_text(&shape)));
    let known = element_count(&shape).ok_or_else(too_large)?;
    if let Some(axis) = unknown {
        if known == 0 {
            let text = "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are non-zero";
            return Err(RunError::invalid(text));
        }
        if !count.is_multiple_of(known) {
            let text = format!(
                "Input to reshape is a tensor with {count} values, but the requested shape requires a multiple of {known}"
            );
            return Err(RunError::invalid(text));
        }
        shape[axis] = count / known;
    } else if known != count {
        let text = format!("Input to reshape is a tensor with {count} values, but the requested shape has {known}");
        return Err(RunError::invalid(text));
    }
    reshaped(&mut inputs[..1], shape)
}

fn squeeze(attributes: &Attributes) -> Result<Kernel, RunError> {
    let axes = match attributes.integers("squeeze_dims")? {
        axes if axes.is_empty() => attributes.integers("axis")?,
        axes => axes,
    };
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let rank = tensor.shape.len();
        let mut drop = vec![axes.is_empty(); rank];
        for &axis in &axes {
            let index = axis_index(axis, rank).ok_or_else(|| {
                let text = format!("Tried to squeeze dim index {axis} for tensor with {rank} dimensions.");
                RunError::invalid(text)
            })?;
            if tensor.shape[index] != 1 {
                let size = tensor.shape[index];
                let text = format!("Can not squeeze dim[{index}], expected a dimension of 1, got {size}");
                return Err(RunError::invalid(text));
            }
            drop[index] = true;
        }
        let kept = tensor.shape.iter().zip(drop).filter(|&(&size, drop)| !(drop && size == 1));
        let shape = kept.map(|(&size, _)| size).collect();
        reshaped(inputs, shape)
    }))
}

fn expand_dims(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, axis) = (input(inputs, 0)?, integer(input(inputs, 1)?)?);
    let rank = tensor.shape.len();
    let index = axis_index(axis, rank + 1).ok_or_else(|| {
        RunError::invalid(format!("Tried to expand dim index {axis} for tensor with {rank} dimensions."))
    })?;
    let mut shape = tensor.shape.clone();
    shape.insert(index, 1);
    reshaped(&mut inputs[..1], shape)
}

fn rank(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    one(vec![], TensorData::Int32(vec![input(inputs, 0)?.shape.len() as i32]))
}

fn counting(attributes: &Attributes, count: fn(&[usize]) -> Vec<i64>, scalar: bool) -> Result<Kernel, RunError> {
    let dtype = attributes.dtype("out_type", DataType::DtInt32)?;
    Ok(Box::new(move |inputs, _| {
        let counts = count(&input(inputs, 0)?.shape);
        let shape = if scalar { vec![] } else { vec![counts.len()] };
        match dtype {
            DataType::DtInt64 => one(shape, TensorData::Int64(counts)),
            _ => one(shape, TensorData::Int32(counts.into_iter().map(|size| size as i32).collect())),
        }
    }))
}

/// A shape given as a tensor.
fn given_shape(tensor: &Tensor) -> Result<Vec<usize>, RunError> {
    integers(tensor)?
        .into_iter()
        .map(|size| usize::try_from(size).map_err(|_| RunError::invalid(format!("Dimension {size} must be >= 0"))))
        .collect()
}

fn fill(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (shape, value) = (given_shape(input(inputs, 0)?)?, input(inputs, 1)?);
    if value.len() != 1 {
        return Err(RunError::invalid(format!("value must be a scalar, got shape {}", shape_text(&value.shape))));
    }
    let count = Context::allowed(&shape, value.dtype())?;
    let data = map_each_type!(&value.data, values => vec![values[0].clone(); count]);
    one(shape, data)
}

fn like(inputs: &mut [Value], value: u8) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let count = tensor.len();
    let data = match tensor.data {
        TensorData::Float(_) => TensorData::Float(vec![f32::from(value); count]),
        TensorData::Double(_) => TensorData::Double(vec![f64::from(value); count]),
        TensorData::Int32(_) => TensorData::Int32(vec![i32::from(value); count]),
        TensorData::Int64(_) => TensorData::Int64(vec![i64::from(value); count]),
        TensorData::Uint8(_) => TensorData::Uint8(vec![value; count]),
        TensorData::Bool(_) => TensorData::Bool(vec![value != 0; count]),
        _ => return Err(unsupported_type(tensor.dtype())),
    };
    one(tensor.shape.clone(), data)
}

fn range(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (start, limit, step) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    if let (TensorData::Float(start), TensorData::Float(limit), TensorData::Float(step)) =
        (&start.data, &limit.data, &step.data)
    {
        let ([start], [limit], [step]) = (&start[..], &limit[..], &step[..]) else {
            return Err(RunError::invalid("start, limit and delta must be scalars"));
        };
        let count = ((limit - start) / step).ceil().max(0.0);
        let count = Context::allowed(&[count as usize], DataType::DtFloat)?;
        return one(vec![count], TensorData::Float((0..count).map(|index| start + index as f32 * step).collect()));
    }
    let (first, limit, step) = (integer(start)?, integer(limit)?, integer(step)?);
    if step == 0 {
        return Err(RunError::invalid("Requires delta != 0"));
    }
    let distance = (i128::from(limit) - i128::from(first)) * i128::from(step.signum());
    let width = i128::from(step.unsigned_abs());
    let count = (distance + width - 1).div_euclid(width).max(0);
    let count = Context::allowed(&[usize::try_from(count).unwrap_or(usize::MAX)], start.dtype())?;
    let values = (0..count as i64).map(|index| first + index * step);
    match start.dtype() {
        DataType::DtInt64 => one(vec![count], TensorData::Int64(values.collect())),
        _ => one(vec![count], TensorData::Int32(values.map(|value| value as i32).collect())),
    }
}

/// The amounts before and after each axis, or TensorFlow's complaint.
pub(crate) fn paddings(rank: usize, shape: &[usize], amounts: &Tensor) -> Result<Vec<[usize; 2]>, RunError> {
    if amounts.shape.len() != 2 || amounts.shape[1] != 2 {
        let text = format!("paddings must be a matrix with 2 columns: {}", shape_text(&amounts.shape));
        return Err(RunError::invalid(text));
    }
    if amounts.shape[0] != rank {
        let (amounts, shape) = (shape_text(&amounts.shape), shape_text(shape));
        let text = format!("The first dimension of paddings must be the rank of inputs{amounts} {shape}");
        return Err(RunError::invalid(text));
    }
    let values = integers(amounts)?;
    values
        .chunks_exact(2)
        .map(|pair| match (usize::try_from(pair[0]), usize::try_from(pair[1])) {
            (Ok(before), Ok(after)) => Ok([before, after]),
            _ => Err(RunError::invalid(format!("Paddings must be non-negative: {} {}", pair[0], pair[1]))),
        })
        .collect()
}

fn pad(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let amounts = paddings(tensor.shape.len(), &tensor.shape, input(inputs, 1)?)?;
    let padded =
        tensor.shape.iter().zip(&amounts).map(|(&size, &[before, after])| size.checked_add(before)?.checked_add(after));
    let shape =
        padded.collect::<Option<Vec<usize>>>().ok_or_else(|| RunError::invalid("the paddings are too large"))?;
    let count = Context::allowed(&shape, tensor.dtype())?;
    let steps: Vec<isize> = strides(&shape).into_iter().map(|step| step as isize).collect();
    let start = steps.iter().zip(&amounts).map(|(step, [before, _])| step * *before as isize).sum();
    let with = match inputs.get(2) {
        Some(value) if value.dtype() != tensor.dtype() || value.len() != 1 => {
            return Err(RunError::invalid("constant_values must be a scalar of the input's type"));
        }
        Some(value) => value.data.clone(),
        None => super::super::constant::zeros(tensor.dtype(), 1).ok_or_else(|| unsupported_type(tensor.dtype()))?,
    };
    macro_rules! spread {
        ($($kind:ident),+) => {
            match (&tensor.data, with) {
                $( (TensorData::$kind(values), TensorData::$kind(with)) => {
                    let mut out = vec![with[0].clone(); count];
                    let mut values = values.iter();
                    walk(&tensor.shape, &steps, start, |at| {
                        if let Some(value) = values.next() {
                            out[at].clone_from(value);
                        }
                    });
                    TensorData::$kind(out)
                } )+
                _ => return Err(unsupported_type(tensor.dtype())),
            }
        };
    }
    let data = spread!(Float, Double, Half, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool, String);
    one(shape, data)
}

/// Gathers elements by a walk over the source.
fn gathered(tensor: &Tensor, shape: Vec<usize>, steps: &[isize]) -> Result<Vec<Value>, RunError> {
    let count = Context::allowed(&shape, tensor.dtype())?;
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(count);
        walk(&shape, steps, 0, |at| out.push(values[at].clone()));
        out
    });
    one(shape, data)
}

fn broadcast_to(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, shape) = (input(inputs, 0)?, given_shape(input(inputs, 1)?)?);
    if super::broadcast::shape(&tensor.shape, &shape).ok().as_ref() != Some(&shape) {
        let (from, into) = (shape_text(&tensor.shape), shape_text(&shape));
        return Err(RunError::invalid(format!("Incompatible shapes: {from} vs. {into}")));
    }
    let steps = super::broadcast::steps(&tensor.shape, &shape);
    gathered(tensor, shape, &steps)
}

fn transpose(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, order) = (input(inputs, 0)?, integers(input(inputs, 1)?)?);
    let rank = tensor.shape.len();
    if order.len() != rank {
        let text =
            format!("transpose expects a vector of size {rank}. But input(1) is a vector of size {}", order.len());
        return Err(RunError::invalid(text));
    }
    let own = strides(&tensor.shape);
    let (mut shape, mut steps, mut seen) = (Vec::new(), Vec::new(), vec![false; rank]);
    for axis in order {
        let index =
            axis_index(axis, rank).ok_or_else(|| RunError::invalid(format!("{axis} is out of range [0 .. {rank})")))?;
        if std::mem::replace(&mut seen[index], true) {
            return Err(RunError::invalid(format!("{axis} is missing from the permutation or named twice")));
        }
        shape.push(tensor.shape[index]);
        steps.push(own[index] as isize);
    }
    gathered(tensor, shape, &steps)
}

fn tile(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, multiples) = (input(inputs, 0)?, integers(input(inputs, 1)?)?);
    if multiples.len() != tensor.shape.len() {
        let text = format!(
            "Expected multiples argument to be a vector of length {} but got length {}",
            tensor.shape.len(),
            multiples.len()
        );
        return Err(RunError::invalid(text));
    }
    let mut shape = Vec::new();
    for (axis, (&size, &multiple)) in tensor.shape.iter().zip(&multiples).enumerate() {
        let repeated = usize::try_from(multiple).ok().and_then(|multiple| size.checked_mul(multiple));
        shape.push(
            repeated
                .ok_or_else(|| RunError::invalid(format!("Expected multiples[{axis}] >= 0, but got {multiple}")))?,
        );
    }
    let count = Context::allowed(&shape, tensor.dtype())?;
    let own = strides(&tensor.shape);
    let sizes = &tensor.shape;
    let steps: Vec<isize> = strides(&shape).iter().map(|&step| step as isize).collect();
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(count);
        walk(&shape, &steps, 0, |mut place| {
            let mut at = 0;
            for (axis, &step) in steps.iter().enumerate() {
                let index = place / step.unsigned_abs();
                place %= step.unsigned_abs();
                at += index % sizes[axis] * own[axis];
            }
            out.push(values[at].clone());
        });
        out
    });
    one(shape, data)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, int_list, ints, run, scalar};
    use super::*;

    fn six() -> Tensor {
        floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    }

    #[test]
    fn shapes_change_and_elements_stay() {
        assert_eq!(run("Reshape", &[], &[six(), ints(&[3, -1])]).unwrap().shape, [3, 2]);
        assert_eq!(run("ExpandDims", &[], &[six(), scalar(-1)]).unwrap().shape, [2, 3, 1]);
        let ones = floats(&[1, 2, 1], &[1.0, 2.0]);
        assert_eq!(run("Squeeze", &[], std::slice::from_ref(&ones)).unwrap().shape, [2]);
        let last = [("squeeze_dims", int_list(&[-1]))];
        assert_eq!(run("Squeeze", &last, &[ones]).unwrap().shape, [1, 2]);
        assert_eq!(run("Shape", &[], &[six()]).unwrap(), ints(&[2, 3]));
        assert_eq!(run("Size", &[], &[six()]).unwrap(), scalar(6));
        assert_eq!(run("Rank", &[], &[six()]).unwrap(), scalar(2));
    }

    #[test]
    fn elements_move() {
        let turned = run("Transpose", &[], &[six(), ints(&[1, 0])]).unwrap();
        assert_eq!(turned, floats(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let padded = run("Pad", &[], &[ints(&[7]), Tensor::new(&[1, 2], TensorData::Int32(vec![1, 2])).unwrap()]);
        assert_eq!(padded.unwrap(), ints(&[0, 7, 0, 0]));
        let paddings = Tensor::new(&[1, 2], TensorData::Int32(vec![1, 0])).unwrap();
        assert_eq!(run("PadV2", &[], &[ints(&[7]), paddings, scalar(9)]).unwrap(), ints(&[9, 7]));
        assert_eq!(run("Tile", &[], &[ints(&[1, 2]), ints(&[2])]).unwrap(), ints(&[1, 2, 1, 2]));
        assert_eq!(run("Fill", &[], &[ints(&[2]), scalar(5)]).unwrap(), ints(&[5, 5]));
        assert_eq!(run("Range", &[], &[scalar(1), scalar(8), scalar(3)]).unwrap(), ints(&[1, 4, 7]));
        assert_eq!(run("Range", &[], &[scalar(3), scalar(0), scalar(-2)]).unwrap(), ints(&[3, 1]));
        assert_eq!(run("BroadcastTo", &[], &[scalar(4), ints(&[2])]).unwrap(), ints(&[4, 4]));
        assert_eq!(run("OnesLike", &[], &[ints(&[5])]).unwrap(), ints(&[1]));
    }

    #[test]
    fn mistakes_have_tensorflows_texts() {
        let amounts = Tensor::new(&[4, 2], TensorData::Int32(vec![0; 8])).unwrap();
        for (op, inputs, expected) in [
            (
                "Pad",
                vec![floats(&[1, 2, 3], &[0.0; 6]), amounts],
                "The first dimension of paddings must be the rank of inputs[4,2] [1,2,3]",
            ),
            (
                "Reshape",
                vec![six(), ints(&[4])],
                "Input to reshape is a tensor with 6 values, but the requested shape has 4",
            ),
            (
                "Reshape",
                vec![six(), ints(&[4, -1])],
                "Input to reshape is a tensor with 6 values, but the requested shape requires a multiple of 4",
            ),
            ("Reshape", vec![six(), ints(&[-1, -1])], "Only one input size may be -1, not both 0 and 1"),
            ("ExpandDims", vec![six(), scalar(5)], "Tried to expand dim index 5 for tensor with 2 dimensions."),
            (
                "Transpose",
                vec![six(), ints(&[0])],
                "transpose expects a vector of size 2. But input(1) is a vector of size 1",
            ),
            (
                "Fill",
                vec![ints(&[1 << 30, 1 << 30]), scalar(1)],
                "OOM when allocating tensor with shape[1073741824,1073741824] and type int32",
            ),
            ("Range", vec![scalar(0), scalar(1), scalar(0)], "Requires delta != 0"),
        ] {
            assert_eq!(run(op, &[], &inputs).unwrap_err().message, expected, "{op}");
        }
    }
}
