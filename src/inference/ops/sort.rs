//! The largest elements and their places.

use super::super::attributes::Attributes;
use super::super::constant::Value;
use super::super::status::RunError;
use super::super::tensor::{Tensor, TensorData};
use super::{Family, Kernel, axis_index, input, integer, one, unsupported_type};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("ArgMax", |attributes| extreme(attributes, true)),
    ("ArgMin", |attributes| extreme(attributes, false)),
    ("TopK", |attributes| {
        let count = attributes.integer("k", 1)?;
        Ok(Box::new(move |inputs, _| top(inputs, count)))
    }),
    ("TopKV2", |_| {
        Ok(Box::new(|inputs, _| {
            let count = integer(input(inputs, 1)?)?;
            top(inputs, count)
        }))
    }),
];

/// The elements as comparable numbers.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>, RunError> {
    Ok(match &tensor.data {
        TensorData::Float(values) => values.iter().map(|&value| f64::from(value)).collect(),
        TensorData::Double(values) => values.clone(),
        TensorData::Int32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        TensorData::Int64(values) => values.iter().map(|&value| value as f64).collect(),
        TensorData::Uint8(values) => values.iter().map(|&value| f64::from(value)).collect(),
        _ => return Err(unsupported_type(tensor.dtype())),
    })
}

fn extreme(attributes: &Attributes, largest: bool) -> Result<Kernel, RunError> {
    let dtype = attributes.dtype("output_type", DataType::DtInt64)?;
    Ok(Box::new(move |inputs, _| {
        let (tensor, axis) = (input(inputs, 0)?, integer(input(inputs, 1)?)?);
        let rank = tensor.shape.len();
        let axis = axis_index(axis, rank).ok_or_else(|| {
            RunError::invalid(format!("Expected dimension in the range [-{rank}, {rank}), but got {axis}"))
        })?;
        let (size, inner) = (tensor.shape[axis], tensor.shape[axis + 1..].iter().product::<usize>());
        if size == 0 {
            return Err(RunError::invalid(format!("Reduction axis {axis} is empty in shape {:?}", tensor.shape)));
        }
        let values = numbers(tensor)?;
        let outer = tensor.shape[..axis].iter().product::<usize>();
        let mut places = Vec::with_capacity(outer * inner);
        for place in (0..outer).flat_map(|block| (0..inner).map(move |at| block * size * inner + at)) {
            let better = |a: f64, b: f64| if largest { a > b } else { a < b };
            // Of equals the first one wins.
            let best = (1..size).fold(0, |best, index| {
                if better(values[place + index * inner], values[place + best * inner]) { index } else { best }
            });
            places.push(best as i64);
        }
        let mut shape = tensor.shape.clone();
        shape.remove(axis);
        match dtype {
            DataType::DtInt32 => one(shape, TensorData::Int32(places.into_iter().map(|place| place as i32).collect())),
            _ => one(shape, TensorData::Int64(places)),
        }
    }))
}

fn top(inputs: &mut [Value], count: i64) -> Result<Vec<Value>, RunError> {
    let tensor = input(inputs, 0)?;
    let [ref outer @ .., size] = tensor.shape[..] else {
        return Err(RunError::invalid("input must be >= 1-D, got shape []"));
    };
    let count = usize::try_from(count).map_err(|_| RunError::invalid(format!("Need k >= 0, got {count}")))?;
    if count > size {
        return Err(RunError::invalid("input must have at least k columns"));
    }
    let numbers = numbers(tensor)?;
    let mut places = Vec::new();
    for row in 0..outer.iter().product() {
        let values = &numbers[row * size..][..size];
        let mut order: Vec<usize> = (0..size).collect();
        // A stable sort: of equals the lower index comes first.
        order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap_or(std::cmp::Ordering::Equal));
        places.extend(order[..count].iter().map(|index| row * size + index));
    }
    let mut shape = outer.to_vec();
    shape.push(count);
    let data = super::super::tensor::map_each_type!(&tensor.data, values => places.iter().map(|&at| values[at].clone()).collect());
    let indices = places.iter().map(|at| (at % size.max(1)) as i32).collect();
    let mut results = one(shape.clone(), data)?;
    results.extend(one(shape, TensorData::Int32(indices))?);
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ints, run, run_all, scalar};
    use super::*;

    #[test]
    fn places_of_extremes() {
        let six = floats(&[2, 3], &[1.0, 7.0, 7.0, 4.0, 0.0, 2.0]);
        let rows = run("ArgMax", &[], &[six.clone(), scalar(1)]).unwrap();
        assert_eq!(rows.data, TensorData::Int64(vec![1, 0]));
        let columns = run("ArgMin", &[], &[six.clone(), scalar(0)]).unwrap();
        assert_eq!(columns.data, TensorData::Int64(vec![0, 1, 1]));
        assert!(run("ArgMax", &[], &[six, scalar(2)]).is_err());
    }

    #[test]
    fn the_largest_come_first_and_equals_keep_their_order() {
        let results = run_all("TopKV2", &[], &[floats(&[4], &[1.0, 3.0, 3.0, 2.0]), scalar(3)]).unwrap();
        assert_eq!(results, [floats(&[3], &[3.0, 3.0, 2.0]), ints(&[1, 2, 3])]);
        let error = run("TopKV2", &[], &[floats(&[1], &[1.0]), scalar(2)]).unwrap_err();
        assert_eq!(error.message, "input must have at least k columns");
    }
}
