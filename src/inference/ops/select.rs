//! Places, running sums and sums of products by the letters of their axes.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, TensorData, map_each_type, shape_text};
use super::{Family, Kernel, axis_index, floats, input, integer, integers, one, strides, unsupported_type, walk};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("Cumsum", cumulative_sum),
    ("Einsum", einsum),
    ("GatherNd", |_| Ok(Box::new(gather_places))),
    ("OneHot", one_hot),
];

fn one_hot(attributes: &Attributes) -> Result<Kernel, RunError> {
    let axis = attributes.integer("axis", -1)?;
    Ok(Box::new(move |inputs, _| {
        let (indices, depth) = (input(inputs, 0)?, integer(input(inputs, 1)?)?);
        let (on, off) = (input(inputs, 2)?, input(inputs, 3)?);
        let depth = usize::try_from(depth)
            .map_err(|_| RunError::invalid(format!("depth must be non-negative, got: {depth}")))?;
        let rank = indices.shape.len();
        let axis = axis_index(axis, rank + 1).ok_or_else(|| {
            RunError::invalid(format!("Expected axis to be -1 or between [0, {rank}].  But received: {axis}"))
        })?;
        let mut shape = indices.shape.clone();
        shape.insert(axis, depth);
        let count = Context::allowed(&shape, on.dtype())?;
        if on.len() != 1 || off.len() != 1 {
            return Err(RunError::invalid("on_value and off_value must be scalars"));
        }
        let inner: usize = indices.shape[axis..].iter().product();
        let places = integers(indices)?;
        let hot = places.iter().enumerate().filter_map(|(at, &index)| {
            let index = usize::try_from(index).ok().filter(|&index| index < depth)?;
            Some((at / inner * depth + index) * inner + at % inner)
        });
        macro_rules! spread {
            ($($kind:ident),+) => {
                match (&on.data, &off.data) {
                    $( (TensorData::$kind(on), TensorData::$kind(off)) => {
                        let mut out = vec![off[0].clone(); count];
                        hot.for_each(|at| out[at] = on[0].clone());
                        TensorData::$kind(out)
                    } )+
                    _ => return Err(unsupported_type(on.dtype())),
                }
            };
        }
        let data = spread!(Float, Double, Int32, Int64, Uint8, Bool);
        one(shape, data)
    }))
}

fn gather_places(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, indices) = (input(inputs, 0)?, input(inputs, 1)?);
    let [ref outer @ .., depth] = indices.shape[..] else {
        return Err(RunError::invalid("indices must be at least a vector"));
    };
    if depth > tensor.shape.len() {
        let text =
            format!("index innermost dimension length must be <= params rank; saw: {depth} vs. {}", tensor.shape.len());
        return Err(RunError::invalid(text));
    }
    let (addressed, inner) = tensor.shape.split_at(depth);
    let length: usize = inner.iter().product();
    let mut shape = outer.to_vec();
    shape.extend(inner);
    let count = Context::allowed(&shape, tensor.dtype())?;
    let steps = strides(&tensor.shape);
    let values = integers(indices)?;
    // Places without an index have no elements, however many they are.
    let rows = Context::allowed(outer, DataType::DtInt64)?;
    let mut starts = Vec::with_capacity(rows);
    for row in 0..rows {
        let index = &values[row * depth..][..depth];
        let mut start = 0;
        for ((&index_at, &size), &step) in index.iter().zip(addressed).zip(&steps) {
            let at = usize::try_from(index_at).ok().filter(|&at| at < size).ok_or_else(|| {
                RunError::invalid(format!(
                    "indices[{row}] = {index:?} does not index into param shape {}",
                    shape_text(&tensor.shape)
                ))
            })?;
            start += at * step;
        }
        starts.push(start);
    }
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(count);
        for &start in &starts {
            out.extend_from_slice(&values[start..start + length]);
        }
        out
    });
    one(shape, data)
}

fn cumulative_sum(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (exclusive, backwards) = (attributes.flag("exclusive", false)?, attributes.flag("reverse", false)?);
    Ok(Box::new(move |inputs, _| {
        let (tensor, axis) = (input(inputs, 0)?, integer(input(inputs, 1)?)?);
        let rank = tensor.shape.len();
        let axis = axis_index(axis, rank).ok_or_else(|| {
            RunError::invalid(format!("ScanOp: Expected scan axis in the range [-{rank}, {rank}), but got {axis}"))
        })?;
        let (size, inner) = (tensor.shape[axis], tensor.shape[axis + 1..].iter().product::<usize>());
        macro_rules! sums {
            ($values:expr, $zero:expr, $add:expr) => {{
                let mut out = $values.clone();
                let blocks = if size * inner == 0 { 0 } else { out.len() / (size * inner) };
                for start in (0..blocks).flat_map(|block| (0..inner).map(move |at| block * size * inner + at)) {
                    let mut sum = $zero;
                    for step in 0..size {
                        let at = start + if backwards { size - 1 - step } else { step } * inner;
                        let next = $add(sum, out[at]);
                        out[at] = if exclusive { sum } else { next };
                        sum = next;
                    }
                }
                out
            }};
        }
        let data = match &tensor.data {
            TensorData::Float(values) => TensorData::Float(sums!(values, 0.0f32, |a: f32, b: f32| a + b)),
            TensorData::Double(values) => TensorData::Double(sums!(values, 0.0f64, |a: f64, b: f64| a + b)),
            TensorData::Int32(values) => TensorData::Int32(sums!(values, 0i32, i32::wrapping_add)),
            TensorData::Int64(values) => TensorData::Int64(sums!(values, 0i64, i64::wrapping_add)),
            _ => return Err(unsupported_type(tensor.dtype())),
        };
        one(tensor.shape.clone(), data)
    }))
}

/// Letters of each input's axes and of the result's.
fn letters(equation: &str) -> Result<(Vec<Vec<u8>>, Vec<u8>), RunError> {
    let unsupported = || {
        RunError::new(
            StatusCode::Unimplemented,
            format!("Einsum {equation:?}: only plain letters with an arrow are supported"),
        )
    };
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = equation.split_once("->").ok_or_else(unsupported)?;
    let axes = |text: &str| {
        let axes = text.as_bytes().to_vec();
        let plain = axes.iter().all(u8::is_ascii_alphabetic);
        let once = axes.iter().enumerate().all(|(at, letter)| !axes[..at].contains(letter));
        (plain && once).then_some(axes).ok_or_else(unsupported)
    };
    Ok((inputs.split(',').map(axes).collect::<Result<_, _>>()?, axes(output)?))
}

fn einsum(attributes: &Attributes) -> Result<Kernel, RunError> {
    let (inputs, output) = letters(&attributes.text("equation", "")?)?;
    if inputs.len() > 2 || output.iter().any(|letter| !inputs.iter().flatten().any(|other| other == letter)) {
        return Err(RunError::new(StatusCode::Unimplemented, "Einsum of more than two inputs is not supported"));
    }
    Ok(Box::new(move |values, context| {
        let mut sizes = std::collections::BTreeMap::new();
        for (index, axes) in inputs.iter().enumerate() {
            let tensor = input(values, index)?;
            if tensor.shape.len() != axes.len() {
                let text =
                    format!("Expected input {index} to have rank {} but got: {}", axes.len(), tensor.shape.len());
                return Err(RunError::invalid(text));
            }
            for (&letter, &size) in axes.iter().zip(&tensor.shape) {
                if *sizes.entry(letter).or_insert(size) != size {
                    let text = format!("Expected dimension {} at axis but got dimension {size}", sizes[&letter]);
                    return Err(RunError::invalid(text));
                }
            }
        }
        let shape_of = |axes: &[u8]| axes.iter().map(|letter| sizes[letter]).collect::<Vec<usize>>();
        let shape = shape_of(&output);
        let mut result = context.floats(&shape)?;
        let summed: Vec<u8> = sizes.keys().copied().filter(|letter| !output.contains(letter)).collect();
        let sum_shape = shape_of(&summed);
        // Each place and term has an offset for each input.
        Context::allowed(&sum_shape, DataType::DtInt64)?;
        Context::allowed(&shape, DataType::DtInt64)?;
        // For each input: the offset of every place of the result, and of every term of its sum.
        let offsets = |tensor: &Tensor, axes: &[u8], over: &[u8], shape: &[usize]| {
            let own = strides(&tensor.shape);
            let step = |letter: &u8| axes.iter().position(|other| other == letter).map_or(0, |at| own[at] as isize);
            let steps: Vec<isize> = over.iter().map(step).collect();
            let mut offsets = Vec::new();
            walk(shape, &steps, 0, |at| offsets.push(at));
            offsets
        };
        let mut sides = Vec::new();
        for (index, axes) in inputs.iter().enumerate() {
            let tensor = input(values, index)?;
            sides.push((
                floats(tensor)?,
                offsets(tensor, axes, &output, &shape),
                offsets(tensor, axes, &summed, &sum_shape),
            ));
        }
        let length = result.len().div_ceil(context.pool.threads() * 4).max(1);
        let parts: Vec<_> = result.chunks_mut(length).map(std::sync::Mutex::new).collect();
        context.pool.run(parts.len(), &|part| {
            let mut out = parts[part].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (at, out) in out.iter_mut().enumerate() {
                let at = part * length + at;
                *out = match &sides[..] {
                    [(values, places, terms)] => terms.iter().map(|term| values[places[at] + term]).sum(),
                    [(left, places, terms), (right, other_places, other_terms)] => terms
                        .iter()
                        .zip(other_terms)
                        .map(|(term, other)| left[places[at] + term] * right[other_places[at] + other])
                        .sum(),
                    _ => 0.0,
                };
            }
        });
        drop(parts);
        one(shape, TensorData::Float(result))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, scalar, text};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    #[test]
    fn hot_places_and_gathered_ones() {
        let (on, off) = (floats(&[], &[5.0]), floats(&[], &[0.0]));
        let hot = run("OneHot", &[], &[ints(&[1, -1]), scalar(3), on.clone(), off.clone()]).unwrap();
        assert_eq!(hot, floats(&[2, 3], &[0.0, 5.0, 0.0, 0.0, 0.0, 0.0]));
        let first = run("OneHot", &[("axis", Attribute::I(0))], &[ints(&[1, 0]), scalar(2), on, off]).unwrap();
        assert_eq!(first, floats(&[2, 2], &[0.0, 5.0, 5.0, 0.0]));
        let six = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let places = Tensor::new(&[2, 2], TensorData::Int32(vec![0, 2, 1, 0])).unwrap();
        assert_eq!(run("GatherNd", &[], &[six.clone(), places]).unwrap(), floats(&[2], &[3.0, 4.0]));
        assert_eq!(run("GatherNd", &[], &[six.clone(), ints(&[1])]).unwrap(), floats(&[3], &[4.0, 5.0, 6.0]));
        assert!(run("GatherNd", &[], &[six, ints(&[2])]).is_err());
    }

    #[test]
    fn running_sums() {
        let row = floats(&[1, 3], &[1.0, 2.0, 4.0]);
        let sums = |list: &[(&'static str, bool)]| {
            let list: Vec<_> = list.iter().map(|&(name, flag)| (name, Attribute::B(flag))).collect();
            run("Cumsum", &list, &[row.clone(), scalar(1)]).unwrap()
        };
        assert_eq!(sums(&[]), floats(&[1, 3], &[1.0, 3.0, 7.0]));
        assert_eq!(sums(&[("exclusive", true)]), floats(&[1, 3], &[0.0, 1.0, 3.0]));
        assert_eq!(sums(&[("reverse", true)]), floats(&[1, 3], &[7.0, 6.0, 4.0]));
    }

    #[test]
    fn sums_of_products_by_letters() {
        let (left, right) = (floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), floats(&[2, 2], &[5.0, 6.0, 7.0, 8.0]));
        let of = |equation, inputs: &[Tensor]| run("Einsum", &[("equation", text(equation))], inputs);
        let both = [left.clone(), right];
        assert_eq!(of("ij,jk->ik", &both).unwrap(), floats(&[2, 2], &[19.0, 22.0, 43.0, 50.0]));
        assert_eq!(of("ij,kj->ki", &both).unwrap(), floats(&[2, 2], &[17.0, 39.0, 23.0, 53.0]));
        assert_eq!(of("ij->j", &both[..1]).unwrap(), floats(&[2], &[4.0, 6.0]));
        assert_eq!(of("...ij->...j", &both[..1]).unwrap_err().code, StatusCode::Unimplemented);
        assert!(of("ijk->i", &[left]).is_err());
    }
}
