//! Which values of a graph keep the pictures of a batch apart, so that a large batch may be computed in parts.
//!
//! What a network keeps between two layers grows with the batch; beyond the caches, and beyond the buffers that are kept
//! from run to run, that costs more than a part of a batch can gain by reading the weights once for several pictures.

use super::attributes::Attributes;
use super::constant::Value;
use super::fused::{Convolution, Product};
use super::ops;
use super::tensor::Tensor;

/// Elements of the input that are computed together: eight pictures of 224x224 in three channels.
const ELEMENTS_AT_ONCE: usize = 8 * 224 * 224 * 3;

/// What is known of a value before anything runs.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// Each index of the first dimension belongs to one picture of the batch and depends on that picture alone.
    Batch {
        /// The number of dimensions, 2 or more.
        rank: usize,
    },
    /// The same in every run.
    Fixed(Value),
    /// Anything else.
    Unknown,
}

impl Layout {
    /// What is fed is expected to be a batch of pictures, `[batch, height, width, channels]`.
    pub(crate) const FED: Self = Self::Batch { rank: 4 };

    fn rank(&self) -> Option<usize> {
        match self {
            Self::Batch { rank } => Some(*rank),
            _ => None,
        }
    }

    /// Whether its pictures stay apart.
    pub(crate) fn is_batch(&self) -> bool {
        self.rank().is_some()
    }

    /// The result of a convolution or matrix product.
    pub(crate) fn of_product(convolution: &Convolution, inputs: &[&Self]) -> Self {
        let rank = match convolution.product {
            Product::Windows(_) => 4,
            Product::Rows => 2,
        };
        Self::of_windows(rank, inputs)
    }

    /// The result of a step that reads only batches of this rank and gives one of it.
    pub(crate) fn of_windows(rank: usize, inputs: &[&Self]) -> Self {
        let all = !inputs.is_empty() && inputs.iter().all(|input| input.rank() == Some(rank));
        if all { Self::Batch { rank } } else { Self::Unknown }
    }

    /// The first result of an op of the table.
    pub(crate) fn of_call(op: &str, attributes: &Attributes, inputs: &[&Self]) -> Self {
        let rank = match (op, inputs) {
            (
                "Abs" | "Cast" | "Elu" | "Exp" | "LeakyRelu" | "Neg" | "Relu" | "Relu6" | "Rsqrt" | "Selu" | "Sigmoid"
                | "Softplus" | "Sqrt" | "Square" | "Tanh" | "LogSoftmax" | "Softmax",
                [value],
            ) => value.rank(),
            (
                "Add" | "AddV2" | "BiasAdd" | "Maximum" | "Minimum" | "Mul" | "RealDiv" | "SquaredDifference" | "Sub",
                [left, right],
            ) => together(left, right),
            ("Max" | "Mean" | "Min" | "Sum", [value, Self::Fixed(axes)]) => {
                value.rank().and_then(|rank| reduced(rank, axes, attributes))
            }
            _ => None,
        };
        rank.map_or(Self::Unknown, |rank| Self::Batch { rank })
    }
}

/// The rank of an element-wise result whose pictures stay apart.
fn together(left: &Layout, right: &Layout) -> Option<usize> {
    match (left, right) {
        (Layout::Batch { rank }, Layout::Batch { rank: other }) => (rank == other).then_some(*rank),
        (Layout::Batch { rank }, Layout::Fixed(value)) | (Layout::Fixed(value), Layout::Batch { rank }) => {
            let shape = &value.shape;
            let same_for_all = shape.len() < *rank || shape.len() == *rank && shape.first() == Some(&1);
            same_for_all.then_some(*rank)
        }
        _ => None,
    }
}

/// The rank after a reduction that leaves the batch alone and is not left with it only.
fn reduced(rank: usize, axes: &Tensor, attributes: &Attributes) -> Option<usize> {
    let mut folded = Vec::new();
    for axis in ops::integers(axes).ok()? {
        let axis = ops::axis_index(axis, rank).filter(|axis| *axis != 0 && !folded.contains(axis))?;
        folded.push(axis);
    }
    let left = if attributes.flag("keep_dims", false).ok()? { rank } else { rank - folded.len() };
    (left >= 2).then_some(left)
}

/// How many pictures to compute at once, when what is fed is a batch that is better computed in parts.
pub(crate) fn pictures_at_once<'a>(fed: impl Iterator<Item = &'a Value> + Clone) -> Option<usize> {
    let &count = fed.clone().next()?.shape.first()?;
    let whole = |value: &Value| value.shape.len() == 4 && value.shape[0] == count && value.as_floats().is_some();
    if count < 2 || !fed.clone().all(whole) {
        return None;
    }
    let elements = fed.map(|value| value.len() / count).fold(0, usize::saturating_add);
    let at_once = ELEMENTS_AT_ONCE.checked_div(elements)?.max(1);
    (at_once < count).then_some(at_once)
}

/// Pictures `from` up to `to` of a batch of floats.
pub(crate) fn part(value: &Value, from: usize, to: usize) -> Option<Tensor> {
    let width = value.len().checked_div(*value.shape.first()?)?;
    let pictures = value.as_floats()?.get(from * width..to * width)?.to_vec();
    let mut shape = value.shape.clone();
    *shape.first_mut()? = to - from;
    Tensor::floats(&shape, pictures)
}

/// The parts of a batch of floats behind each other; `None` when their pictures are of different shapes.
pub(crate) fn joined(parts: &[Value]) -> Option<Tensor> {
    let first = parts.first()?;
    let mut shape = first.shape.clone();
    *shape.first_mut()? = 0;
    let mut values = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        if part.shape.get(1..) != shape.get(1..) {
            return None;
        }
        shape[0] += part.shape.first()?;
        values.extend_from_slice(part.as_floats()?);
    }
    Tensor::floats(&shape, values)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::ops::testing;
    use super::*;

    fn fixed(shape: &[usize]) -> Layout {
        Layout::Fixed(Arc::new(testing::floats(shape, &vec![1.0; shape.iter().product()])))
    }

    fn rank_of(op: &str, inputs: &[&Layout]) -> Option<usize> {
        Layout::of_call(op, &testing::attributes(&[]), inputs).rank()
    }

    #[test]
    fn what_mixes_pictures_is_not_a_batch() {
        let (pictures, rows) = (Layout::FED, Layout::Batch { rank: 2 });
        assert_eq!(rank_of("Relu", &[&pictures]), Some(4));
        assert_eq!(rank_of("AddV2", &[&pictures, &fixed(&[3])]), Some(4));
        assert_eq!(rank_of("Mul", &[&fixed(&[1, 5, 5, 3]), &pictures]), Some(4));
        assert_eq!(rank_of("AddV2", &[&pictures, &fixed(&[8, 1, 1, 3])]), None);
        assert_eq!(rank_of("AddV2", &[&rows, &fixed(&[1, 1, 3])]), None);
        assert_eq!(rank_of("AddV2", &[&rows, &pictures]), None);
        assert_eq!(rank_of("Reshape", &[&pictures, &fixed(&[2])]), None);
        assert_eq!(rank_of("Relu", &[&Layout::Unknown]), None);
    }

    #[test]
    fn a_reduction_keeps_the_batch_unless_it_folds_it() {
        let mean = |axes: &[i32]| rank_of("Mean", &[&Layout::FED, &Layout::Fixed(Arc::new(testing::ints(axes)))]);
        assert_eq!(mean(&[1, 2]), Some(2));
        assert_eq!(mean(&[-1]), Some(3));
        assert_eq!(mean(&[0]), None);
        assert_eq!(mean(&[-4]), None);
        assert_eq!(mean(&[1, 2, 3]), None);
        assert_eq!(mean(&[1, -3]), None);
        assert_eq!(mean(&[4]), None);
    }

    #[test]
    fn parts_behind_each_other_are_the_whole() {
        let whole = Arc::new(testing::floats(&[3, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let parts = [(0, 2), (2, 3)].map(|(from, to)| Arc::new(part(&whole, from, to).unwrap()));
        assert_eq!(parts[1].shape, [1, 1, 1, 2]);
        assert_eq!(joined(&parts).unwrap(), *whole);
        assert!(part(&whole, 2, 4).is_none());
    }

    #[test]
    fn small_pictures_stay_together() {
        let batch = |count: usize, side: usize| {
            let shape = [count, side, side, 3];
            Arc::new(Tensor::floats(&shape, vec![0.0; count * side * side * 3]).unwrap())
        };
        assert_eq!(pictures_at_once([batch(8, 224)].iter()), None);
        assert_eq!(pictures_at_once([batch(20, 224)].iter()), Some(8));
        assert_eq!(pictures_at_once([batch(2, 600)].iter()), Some(1));
        assert_eq!(pictures_at_once([batch(1, 1024)].iter()), None);
        assert_eq!(pictures_at_once([batch(2, 600), batch(1, 600)].iter()), None);
        assert_eq!(pictures_at_once([].iter()), None);
    }
}
