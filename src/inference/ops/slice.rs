//! Parts of tensors.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::context::Context;
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, map_each_type, shape_text};
use super::{Family, Kernel, axis_index, input, integer, integers, one, strides, walk};

pub(super) const OPS: Family = &[
    ("Gather", |_| Ok(Box::new(|inputs, _| gather(inputs, 0)))),
    ("GatherV2", |attributes| match attributes.integer("batch_dims", 0)? {
        0 => Ok(Box::new(gather_v2)),
        dimensions => {
            let text = format!("GatherV2 with {dimensions} batch dimensions is not supported");
            Err(RunError::new(StatusCode::Unimplemented, text))
        }
    }),
    ("Slice", |_| Ok(Box::new(slice))),
    ("StridedSlice", strided_slice),
];

/// The part that begins at `start` and steps so; one element for each of `shape`.
fn part(
    tensor: &Tensor,
    walked: &[usize],
    steps: &[isize],
    start: isize,
    shape: Vec<usize>,
) -> Result<Vec<Value>, RunError> {
    let count = Context::allowed(&shape, tensor.dtype())?;
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(count);
        walk(walked, steps, start, |at| out.push(values[at].clone()));
        out
    });
    one(shape, data)
}

fn slice(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let (tensor, begin, size) = (input(inputs, 0)?, integers(input(inputs, 1)?)?, integers(input(inputs, 2)?)?);
    let rank = tensor.shape.len();
    if begin.len() != rank || size.len() != rank {
        let text = format!(
            "Expected begin and size arguments to be 1-D tensors of size {rank}, but got shapes [{}] and [{}] instead.",
            begin.len(),
            size.len()
        );
        return Err(RunError::invalid(text));
    }
    let (mut shape, mut start) = (Vec::new(), 0);
    let own = strides(&tensor.shape);
    for axis in 0..rank {
        let limit = tensor.shape[axis] as i64;
        if !(0..=limit).contains(&begin[axis]) {
            let text = format!("Expected begin[{axis}] in [0, {limit}], but got {}", begin[axis]);
            return Err(RunError::invalid(text));
        }
        let wanted = if size[axis] == -1 { limit - begin[axis] } else { size[axis] };
        if !(0..=limit - begin[axis]).contains(&wanted) {
            let text = format!("Expected size[{axis}] in [0, {}], but got {}", limit - begin[axis], size[axis]);
            return Err(RunError::invalid(text));
        }
        shape.push(wanted as usize);
        start += begin[axis] as isize * own[axis] as isize;
    }
    let steps: Vec<isize> = own.iter().map(|&step| step as isize).collect();
    part(tensor, &shape.clone(), &steps, start, shape)
}

fn strided_slice(attributes: &Attributes) -> Result<Kernel, RunError> {
    let mask = |name| attributes.integer(name, 0);
    let (begin_mask, end_mask) = (mask("begin_mask")?, mask("end_mask")?);
    let (ellipsis, new_axis, shrink) = (mask("ellipsis_mask")?, mask("new_axis_mask")?, mask("shrink_axis_mask")?);
    if ellipsis.count_ones() > 1 {
        return Err(RunError::invalid("Multiple ellipses in slice spec not allowed"));
    }
    Ok(Box::new(move |inputs, _| {
        let tensor = input(inputs, 0)?;
        let (begin, end) = (integers(input(inputs, 1)?)?, integers(input(inputs, 2)?)?);
        let stride = integers(input(inputs, 3)?)?;
        if begin.len() != end.len() || begin.len() != stride.len() || begin.len() > 32 {
            let text = "Expected begin, end, and strides to be 1D equal size tensors";
            return Err(RunError::invalid(text));
        }
        let own = strides(&tensor.shape);
        let bit = |mask: i64, index: usize| mask >> index & 1 == 1;
        let described =
            (0..begin.len()).filter(|&i| !bit(ellipsis, i) && (bit(ellipsis, i) || !bit(new_axis, i))).count();
        let rank = tensor.shape.len();
        if described > rank {
            let text = format!("Index out of range using input dim {rank}; input has only {rank} dims");
            return Err(RunError::invalid(text));
        }
        let (mut walked, mut steps, mut shape, mut start, mut axis) = (vec![], vec![], vec![], 0isize, 0);
        let keep = |axis: usize, walked: &mut Vec<usize>, steps: &mut Vec<isize>, shape: &mut Vec<usize>| {
            walked.push(tensor.shape[axis]);
            steps.push(own[axis] as isize);
            shape.push(tensor.shape[axis]);
        };
        for index in 0..begin.len() {
            if bit(ellipsis, index) {
                for _ in 0..rank - described {
                    keep(axis, &mut walked, &mut steps, &mut shape);
                    axis += 1;
                }
                continue;
            }
            if bit(new_axis, index) {
                shape.push(1);
                continue;
            }
            let (size, step) = (tensor.shape[axis] as i64, stride[index]);
            if step == 0 {
                return Err(RunError::invalid(format!("strides[{index}] must be non-zero")));
            }
            if bit(shrink, index) {
                let at = begin[index];
                let place = axis_index(at, tensor.shape[axis]).ok_or_else(|| {
                    let text = format!("slice index {at} of dimension {axis} out of bounds.");
                    RunError::invalid(text)
                })?;
                start += (place * own[axis]) as isize;
                axis += 1;
                continue;
            }
            // Where a stride may begin and end: one before the first is a valid end when going backwards.
            let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
            let bound = |value: i64, open: bool, default: i64| {
                if open {
                    return default;
                }
                let value = if value < 0 { value.saturating_add(size) } else { value };
                value.clamp(low, high)
            };
            let from = bound(begin[index], bit(begin_mask, index), if step > 0 { 0 } else { size - 1 });
            let to = bound(end[index], bit(end_mask, index), if step > 0 { size } else { -1 });
            let distance = if step > 0 { to - from } else { from - to };
            let count = (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
            walked.push(count);
            // A count of one or none never steps, so a huge stride cannot overflow.
            steps.push(if count > 1 { step as isize * own[axis] as isize } else { 0 });
            shape.push(count);
            start += from.max(0) as isize * own[axis] as isize;
            axis += 1;
        }
        while axis < rank {
            keep(axis, &mut walked, &mut steps, &mut shape);
            axis += 1;
        }
        part(tensor, &walked, &steps, start, shape)
    }))
}

fn gather_v2(inputs: &mut [Value], _: &Context) -> Result<Vec<Value>, RunError> {
    let axis = integer(input(inputs, 2)?)?;
    gather(inputs, axis)
}

fn gather(inputs: &mut [Value], axis: i64) -> Result<Vec<Value>, RunError> {
    let (tensor, indices) = (input(inputs, 0)?, input(inputs, 1)?);
    let rank = tensor.shape.len();
    let axis = axis_index(axis, rank)
        .ok_or_else(|| RunError::invalid(format!("Expected axis in the range [-{rank}, {rank}), but got {axis}")))?;
    let (outer, size) = (tensor.shape[..axis].iter().product::<usize>(), tensor.shape[axis]);
    let inner = tensor.shape[axis + 1..].iter().product::<usize>();
    let mut shape = tensor.shape[..axis].to_vec();
    shape.extend(&indices.shape);
    shape.extend(&tensor.shape[axis + 1..]);
    let count = Context::allowed(&shape, tensor.dtype())?;
    let mut places = Vec::new();
    for (position, index) in integers(indices)?.into_iter().enumerate() {
        places.push(usize::try_from(index).ok().filter(|&index| index < size).ok_or_else(|| {
            let at = if indices.shape.is_empty() {
                String::new()
            } else {
                format!("[{}]", place_text(position, &indices.shape))
            };
            RunError::new(StatusCode::InvalidArgument, format!("indices{at} = {index} is not in [0, {size})"))
        })?);
    }
    let data = map_each_type!(&tensor.data, values => {
        let mut out = Vec::with_capacity(count);
        for block in 0..outer {
            for place in &places {
                out.extend_from_slice(&values[(block * size + place) * inner..][..inner]);
            }
        }
        out
    });
    one(shape, data)
}

fn place_text(position: usize, shape: &[usize]) -> String {
    let mut rest = position;
    let place: Vec<usize> = strides(shape)
        .into_iter()
        .map(|step| {
            let index = rest / step.max(1);
            rest %= step.max(1);
            index
        })
        .collect();
    shape_text(&place).trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, scalar};
    use super::*;
    use crate::savedmodel::proto::attr_value::Value as Attribute;

    fn six() -> Tensor {
        floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    }

    #[test]
    fn slices() {
        let result = run("Slice", &[], &[six(), ints(&[0, 1]), ints(&[-1, 2])]).unwrap();
        assert_eq!(result, floats(&[2, 2], &[2.0, 3.0, 5.0, 6.0]));
        let error = run("Slice", &[], &[six(), ints(&[0, 5]), ints(&[1, 1])]).unwrap_err();
        assert_eq!(error.message, "Expected begin[1] in [0, 3], but got 5");
        assert!(run("Slice", &[], &[six(), ints(&[0]), ints(&[1])]).is_err());
    }

    #[test]
    fn strided_slices_as_in_numpy() {
        let of = |begin: &[i32], end: &[i32], stride: &[i32], masks: &[(&'static str, i64)]| {
            let list: Vec<_> = masks.iter().map(|&(name, mask)| (name, Attribute::I(mask))).collect();
            run("StridedSlice", &list, &[six(), ints(begin), ints(end), ints(stride)])
        };
        // x[1], x[:, 0], x[:, ::-1], x[..., 1:], x[None, 0], x[-5:5], x[:, 2:0:-2]
        assert_eq!(of(&[1], &[2], &[1], &[("shrink_axis_mask", 1)]).unwrap(), floats(&[3], &[4.0, 5.0, 6.0]));
        let masks = [("begin_mask", 1), ("end_mask", 1), ("shrink_axis_mask", 2)];
        assert_eq!(of(&[0, 0], &[0, 1], &[1, 1], &masks).unwrap(), floats(&[2], &[1.0, 4.0]));
        let masks = [("begin_mask", 3), ("end_mask", 3)];
        let reversed = floats(&[2, 3], &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(of(&[0, 0], &[0, 0], &[1, -1], &masks).unwrap(), reversed);
        let masks = [("ellipsis_mask", 1), ("end_mask", 2)];
        assert_eq!(of(&[0, 1], &[0, 0], &[1, 1], &masks).unwrap(), floats(&[2, 2], &[2.0, 3.0, 5.0, 6.0]));
        let masks = [("new_axis_mask", 1), ("shrink_axis_mask", 2)];
        assert_eq!(of(&[0, 0], &[0, 1], &[1, 1], &masks).unwrap(), floats(&[1, 3], &[1.0, 2.0, 3.0]));
        assert_eq!(of(&[-5], &[5], &[1], &[]).unwrap(), six());
        let masks = [("begin_mask", 1), ("end_mask", 1)];
        assert_eq!(of(&[0, 2], &[0, 0], &[1, -2], &masks).unwrap(), floats(&[2, 1], &[3.0, 6.0]));
        assert_eq!(of(&[2], &[1], &[1], &[]).unwrap().shape, [0, 3]);
    }

    #[test]
    fn strided_slices_that_cannot_be() {
        let of = |begin: &[i32], stride: &[i32], shrink: i64| {
            let list = [("shrink_axis_mask", Attribute::I(shrink))];
            run("StridedSlice", &list, &[six(), ints(begin), ints(begin), ints(stride)]).unwrap_err().message
        };
        assert_eq!(of(&[2], &[1], 1), "slice index 2 of dimension 0 out of bounds.");
        assert_eq!(of(&[0], &[0], 0), "strides[0] must be non-zero");
        assert_eq!(of(&[0, 0, 0], &[1, 1, 1], 0), "Index out of range using input dim 2; input has only 2 dims");
    }

    #[test]
    fn gathering() {
        let columns = run("GatherV2", &[], &[six(), ints(&[2, 0]), scalar(1)]).unwrap();
        assert_eq!(columns, floats(&[2, 2], &[3.0, 1.0, 6.0, 4.0]));
        assert_eq!(run("Gather", &[], &[six(), scalar(1)]).unwrap(), floats(&[3], &[4.0, 5.0, 6.0]));
        let error = run("GatherV2", &[], &[six(), ints(&[0, 7]), scalar(0)]).unwrap_err();
        assert_eq!(error.message, "indices[1] = 7 is not in [0, 2)");
    }
}
