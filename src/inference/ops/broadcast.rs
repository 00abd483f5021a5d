//! Two tensors element by element, the smaller stretched over the larger by NumPy's rules.

use super::super::context::Context;
use super::super::status::RunError;
use super::super::tensor::shape_text;
use super::{strides, walk};
use crate::savedmodel::proto::DataType;

/// The common shape of two, or TensorFlow's complaint.
pub(super) fn shape(left: &[usize], right: &[usize]) -> Result<Vec<usize>, RunError> {
    let rank = left.len().max(right.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (size(left, axis), size(right, axis)) {
            (a, b) if a == b => Ok(a),
            (1, b) => Ok(b),
            (a, 1) => Ok(a),
            _ => Err(RunError::invalid(format!("Incompatible shapes: {} vs. {}", shape_text(left), shape_text(right)))),
        })
        .collect()
}

/// The source offset's step for each axis of `into`: zero where `from` is stretched.
pub(super) fn steps(from: &[usize], into: &[usize]) -> Vec<isize> {
    let own = strides(from);
    let missing = into.len() - from.len();
    (0..into.len())
        .map(|axis| match axis.checked_sub(missing) {
            Some(at) if from[at] == into[axis] && from[at] != 1 => own[at] as isize,
            _ => 0,
        })
        .collect()
}

/// Applies `combine` to all pairs.
pub(super) fn zip<A: Copy, B: Copy, R>(
    (left_shape, left): (&[usize], &[A]),
    (right_shape, right): (&[usize], &[B]),
    dtype: DataType,
    combine: impl Fn(A, B) -> R,
) -> Result<(Vec<usize>, Vec<R>), RunError> {
    let shape = shape(left_shape, right_shape)?;
    let count = Context::allowed(&shape, dtype)?;
    let pairs = left.iter().zip(right);
    let result = if left_shape == right_shape {
        pairs.map(|(&a, &b)| combine(a, b)).collect()
    } else if let ([b], true) = (right, left.len() == count) {
        left.iter().map(|&a| combine(a, *b)).collect()
    } else if let ([a], true) = (left, right.len() == count) {
        right.iter().map(|&b| combine(*a, b)).collect()
    } else if left.len() == count && !right.is_empty() && shape.ends_with(right_shape) {
        // A value for each channel.
        left.chunks_exact(right.len()).flat_map(|row| row.iter().zip(right).map(|(&a, &b)| combine(a, b))).collect()
    } else {
        let mut rights = Vec::with_capacity(count);
        walk(&shape, &steps(right_shape, &shape), 0, |at| rights.push(at));
        let mut result = Vec::with_capacity(count);
        let mut next = rights.into_iter();
        walk(&shape, &steps(left_shape, &shape), 0, |at| {
            if let Some(other) = next.next() {
                result.push(combine(left[at], right[other]));
            }
        });
        result
    };
    Ok((shape, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_stretch_from_the_right() {
        assert_eq!(shape(&[2, 1, 4], &[3, 1]).unwrap(), [2, 3, 4]);
        assert_eq!(shape(&[], &[0]).unwrap(), [0]);
        assert_eq!(shape(&[1], &[0]).unwrap(), [0]);
        let error = shape(&[2, 3], &[4]).unwrap_err();
        assert_eq!(error.message, "Incompatible shapes: [2,3] vs. [4]");
    }

    #[test]
    fn every_way_through_gives_the_definition() {
        let add = |left: (&[usize], &[i32]), right: (&[usize], &[i32])| {
            zip(left, right, DataType::DtInt32, |a, b| 10 * a + b).unwrap()
        };
        assert_eq!(add((&[2], &[1, 2]), (&[2], &[3, 4])), (vec![2], vec![13, 24]));
        assert_eq!(add((&[2], &[1, 2]), (&[], &[3])), (vec![2], vec![13, 23]));
        assert_eq!(add((&[1], &[1]), (&[2], &[3, 4])), (vec![2], vec![13, 14]));
        assert_eq!(add((&[2, 2], &[1, 2, 3, 4]), (&[2], &[5, 6])), (vec![2, 2], vec![15, 26, 35, 46]));
        assert_eq!(add((&[2, 1], &[1, 2]), (&[1, 2], &[3, 4])), (vec![2, 2], vec![13, 14, 23, 24]));
        assert_eq!(add((&[2], &[1, 2]), (&[2, 2], &[1, 2, 3, 4])), (vec![2, 2], vec![11, 22, 13, 24]));
        assert_eq!(add((&[0, 2], &[]), (&[2], &[1, 2])), (vec![0, 2], vec![]));
    }
}
