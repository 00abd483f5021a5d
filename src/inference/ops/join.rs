//! Putting tensors together and taking them apart.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData, map_each_type, shape_text};
use super::{Family, Kernel, axis_index, input, integer, integers, one};

pub(super) const OPS: Family = &[
    ("Concat", |_| Ok(Box::new(|inputs, _| concat(inputs, true)))),
    ("ConcatV2", |_| Ok(Box::new(|inputs, _| concat(inputs, false)))),
    ("Pack", pack),
    ("Split", split),
    ("SplitV", |_| Ok(Box::new(split_v))),
    ("Unpack", unpack),
];

/// Joins tensors of one type along an axis whose sizes may differ.
fn joined(parts: &[&Tensor], axis: usize, shape: Vec<usize>) -> Result<Vec<Value>, RunError> {
    Context::allowed(&shape, parts[0].dtype())?;
    let outer = shape[..axis].iter().product::<usize>();
    macro_rules! join {
        ($($kind:ident),+) => {
            match &parts[0].data {
                $( TensorData::$kind(_) => {
                    let mut lists = Vec::new();
                    for part in parts {
                        match &part.data {
                            TensorData::$kind(values) => lists.push(values.as_slice()),
                            _ => return Err(RunError::invalid("all inputs must have one type")),
                        }
                    }
                    let mut out = Vec::with_capacity(shape.iter().product());
                    for block in 0..outer {
                        for values in &lists {
                            let run = values.len() / outer;
                            out.extend_from_slice(&values[block * run..][..run]);
                        }
                    }
                    TensorData::$kind(out)
                } )+
            }
        };
    }
    let data = join!(Float, Double, Half, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool, String);
    one(shape, data)
}

fn concat(inputs: &mut [Value], axis_first: bool) -> Result<Vec<Value>, RunError> {
    let (axis, parts) = match (inputs, axis_first) {
        ([axis, parts @ ..], true) | ([parts @ .., axis], false) if !parts.is_empty() => (integer(axis)?, &*parts),
        _ => return Err(RunError::invalid("ConcatOp : nothing to join")),
    };
    let first = &parts[0].shape;
    let index = axis_index(axis, first.len()).ok_or_else(|| {
        let rank = first.len();
        let text =
            format!("ConcatOp : Expected concatenating dimensions in the range [-{rank}, {rank}), but got {axis}");
        RunError::invalid(text)
    })?;
    let mut shape = first.clone();
    shape[index] = 0;
    for (number, part) in parts.iter().enumerate() {
        if part.shape.len() != first.len() {
            let (one, other) = (shape_text(first), shape_text(&part.shape));
            let text = format!(
                "ConcatOp : Ranks of all input tensors should match: shape[0] = {one} vs. shape[{number}] = {other}"
            );
            return Err(RunError::invalid(text));
        }
        if (0..first.len()).any(|axis| axis != index && part.shape[axis] != first[axis]) {
            let (one, other) = (shape_text(first), shape_text(&part.shape));
            let text =
                format!("ConcatOp : Dimensions of inputs should match: shape[0] = {one} vs. shape[{number}] = {other}");
            return Err(RunError::invalid(text));
        }
        shape[index] = shape[index].saturating_add(part.shape[index]);
    }
    let parts: Vec<&Tensor> = parts.iter().map(AsRef::as_ref).collect();
    joined(&parts, index, shape)
}

fn pack(attributes: &Attributes) -> Result<Kernel, RunError> {
    let axis = attributes.integer("axis", 0)?;
    Ok(Box::new(move |inputs, _| {
        let first = input(inputs, 0)?.shape.clone();
        let rank = first.len() + 1;
        let index = axis_index(axis, rank)
            .ok_or_else(|| RunError::invalid(format!("axis = {axis} not in [-{rank}, {rank})")))?;
        if let Some(number) = inputs.iter().position(|part| part.shape != first) {
            let (one, other) = (shape_text(&first), shape_text(&inputs[number].shape));
            let text =
                format!("Shapes of all inputs must match: values[0].shape = {one} != values[{number}].shape = {other}");
            return Err(RunError::invalid(text));
        }
        let mut shape = first;
        shape.insert(index, inputs.len());
        let parts: Vec<&Tensor> = inputs.iter().map(AsRef::as_ref).collect();
        joined(&parts, index, shape)
    }))
}

/// Cuts an axis into parts of these sizes.
fn cut(tensor: &Tensor, axis: usize, sizes: &[usize], drop_axis: bool) -> Result<Vec<Value>, RunError> {
    let outer = tensor.shape[..axis].iter().product::<usize>();
    let inner = tensor.shape[axis + 1..].iter().product::<usize>();
    let (mut from, mut parts) = (0, Vec::new());
    for &size in sizes {
        let mut shape = tensor.shape.clone();
        shape[axis] = size;
        if drop_axis {
            shape.remove(axis);
        }
        let data = map_each_type!(&tensor.data, values => {
            let mut out = Vec::with_capacity(outer * size * inner);
            for block in 0..outer {
                out.extend_from_slice(&values[(block * tensor.shape[axis] + from) * inner..][..size * inner]);
            }
            out
        });
        parts.extend(one(shape, data)?);
        from += size;
    }
    Ok(parts)
}

fn axis_of(axis: i64, tensor: &Tensor) -> Result<usize, RunError> {
    let rank = tensor.shape.len();
    let text = || format!("-input rank(-{rank}) <= split_dim < input rank ({rank}), but got {axis}");
    axis_index(axis, rank).ok_or_else(|| RunError::invalid(text()))
}

fn split(attributes: &Attributes) -> Result<Kernel, RunError> {
    let count = attributes.integer("num_split", 1)?;
    Ok(Box::new(move |inputs, _| {
        let (axis, tensor) = (integer(input(inputs, 0)?)?, input(inputs, 1)?);
        let axis = axis_of(axis, tensor)?;
        let size = tensor.shape[axis];
        let parts = usize::try_from(count).ok().filter(|&parts| parts > 0 && size.is_multiple_of(parts));
        let parts = parts.ok_or_else(|| {
            let text = format!(
                "Number of ways to split should evenly divide the split dimension, but got split_dim {axis} (size = {size}) and num_split {count}"
            );
            RunError::invalid(text)
        })?;
        cut(tensor, axis, &vec![size / parts; parts], false)
    }))
}

fn split_v(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, sizes, axis) = (input(inputs, 0)?, integers(input(inputs, 1)?)?, integer(input(inputs, 2)?)?);
    let axis = axis_of(axis, tensor)?;
    let size = tensor.shape[axis] as i64;
    let known: i64 = sizes.iter().filter(|&&part| part >= 0).fold(0, |sum, &part| sum.saturating_add(part));
    let unknown = sizes.iter().filter(|&&part| part < 0).count();
    if unknown > 1 || known > size || (unknown == 0 && known != size) {
        return Err(RunError::invalid(format!("the parts {sizes:?} do not make up a dimension of {size}")));
    }
    let sizes: Vec<usize> = sizes.iter().map(|&part| if part < 0 { size - known } else { part } as usize).collect();
    cut(tensor, axis, &sizes, false)
}

fn unpack(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (axis, count) = (attributes.integer("axis", 0)?, attributes.integer("num", 0)?);
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let rank = tensor.shape.len();
        let index = axis_index(axis, rank)
            .ok_or_else(|| RunError::invalid(format!("axis = {axis} not in [-{rank}, {rank})")))?;
        let size = tensor.shape[index];
        if usize::try_from(count).ok() != Some(size) {
            let text = format!("Input shape axis {index} must equal {count}, got shape {}", shape_text(&tensor.shape));
            return Err(RunError::invalid(text));
        }
        cut(tensor, index, &vec![1; size], true)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, run_all, scalar};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    #[test]
    fn joining_along_any_axis() {
        let (left, right) = (floats(&[2, 1], &[1.0, 2.0]), floats(&[2, 2], &[3.0, 4.0, 5.0, 6.0]));
        let joined = run("ConcatV2", &[], &[left.clone(), right.clone(), scalar(-1)]).unwrap();
        assert_eq!(joined, floats(&[2, 3], &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]));
        let error = run("ConcatV2", &[], &[left, right, scalar(0)]).unwrap_err();
        let expected = "ConcatOp : Dimensions of inputs should match: shape[0] = [2,1] vs. shape[1] = [2,2]";
        assert_eq!(error.message, expected);
        assert!(run("ConcatV2", &[], &[scalar(0)]).is_err());
        let packed = run("Pack", &[("axis", Attribute::I(1))], &[ints(&[1, 2]), ints(&[3, 4])]).unwrap();
        assert_eq!((packed.shape, packed.data), (vec![2, 2], TensorData::Int32(vec![1, 3, 2, 4])));
        assert_eq!(run("Pack", &[], &[scalar(1), scalar(2)]).unwrap(), ints(&[1, 2]));
        let empty = floats(&[0, 2], &[]);
        assert_eq!(run("ConcatV2", &[], &[empty.clone(), empty, scalar(1)]).unwrap().shape, [0, 4]);
    }

    #[test]
    fn taking_apart() {
        let tensor = floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let list = [("num_split", Attribute::I(2))];
        let parts = run_all("Split", &list, &[scalar(1), tensor.clone()]).unwrap();
        assert_eq!(parts, [floats(&[2, 1], &[1.0, 3.0]), floats(&[2, 1], &[2.0, 4.0])]);
        let parts = run_all("Unpack", &[("num", Attribute::I(2))], std::slice::from_ref(&tensor)).unwrap();
        assert_eq!(parts, [floats(&[2], &[1.0, 2.0]), floats(&[2], &[3.0, 4.0])]);
        let parts = run_all("SplitV", &[], &[ints(&[1, 2, 3]), ints(&[1, -1]), scalar(0)]).unwrap();
        assert_eq!(parts, [ints(&[1]), ints(&[2, 3])]);
        assert!(run("Split", &[("num_split", Attribute::I(3))], &[scalar(0), tensor]).is_err());
    }
}
