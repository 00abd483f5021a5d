//! The op table: for each op's name, what builds its kernel from a node's attributes.
//!
//! One file holds one family of ops. A kernel takes its inputs as shared tensors, of which it may reuse the memory
//! when it is the only holder, and answers bad input with the text of TensorFlow 2.5's CPU kernel.

// One body serves all element types, of which strings do not copy.
#![allow(clippy::clone_on_copy)]

mod arithmetic;
mod array;
mod assert;
mod broadcast;
mod compare;
mod convert;
mod examples;
mod join;
mod linear;
mod normal;
mod projective;
mod reduce;
mod select;
mod slice;
mod sort;
mod spatial;
mod transposed;

use std::sync::Arc;

pub(crate) use arithmetic::activate;
pub(crate) use array::paddings;
pub(crate) use linear::depthwise_windows;
pub(crate) use normal::scale_and_shift;

use super::attributes::Attributes;
use super::constant::Value;
use super::context::Context;
use super::status::{RunError, StatusCode};
use super::tensor::{Tensor, TensorData};
use crate::savedmodel::proto::DataType;

/// An op ready to run: reads its inputs, gives its outputs.
pub(crate) type Kernel = Box<dyn Fn(&mut [Value], &Context) -> Result<Vec<Value>, RunError> + Send + Sync>;

/// Builds a kernel from the attributes, or says which of them it cannot serve.
type Builder = fn(&Attributes) -> Result<Kernel, RunError>;

/// The ops of one family by name.
type Family = &'static [(&'static str, Builder)];

const FAMILIES: &[Family] = &[
    arithmetic::OPS,
    array::OPS,
    assert::OPS,
    compare::OPS,
    convert::OPS,
    examples::OPS,
    join::OPS,
    linear::OPS,
    normal::OPS,
    projective::OPS,
    reduce::OPS,
    select::OPS,
    slice::OPS,
    sort::OPS,
    spatial::OPS,
    transposed::OPS,
];

/// Ops that the importer itself understands.
const STRUCTURAL: &[&str] = &[
    "Case",
    "Const",
    "EnsureShape",
    "Identity",
    "IdentityN",
    "If",
    "NoOp",
    "PartitionedCall",
    "Placeholder",
    "PlaceholderWithDefault",
    "PreventGradient",
    "ReadVariableOp",
    "Snapshot",
    "StatefulPartitionedCall",
    "StatelessCase",
    "StatelessIf",
    "StatelessWhile",
    "StopGradient",
    "VarHandleOp",
    "Variable",
    "VariableV2",
    "While",
];

/// All ops that a graph may use, in alphabetical order.
pub(crate) fn supported() -> Vec<&'static str> {
    let kernels = FAMILIES.iter().flat_map(|family| family.iter().map(|(name, _)| *name));
    let mut all: Vec<_> = kernels.chain(STRUCTURAL.iter().copied()).collect();
    all.sort_unstable();
    all
}

fn builder(op: &str) -> Option<Builder> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|(name, _)| *name == op).map(|(_, builder)| *builder)
}

/// Whether there is a kernel for this op.
pub(crate) fn is_supported(op: &str) -> bool {
    builder(op).is_some()
}

/// Builds the kernel of a node.
pub(crate) fn build(op: &str, attributes: &Attributes) -> Result<Kernel, RunError> {
    let missing = || RunError::new(StatusCode::NotFound, format!("op `{op}` has no kernel"));
    builder(op).ok_or_else(missing)?(attributes)
}

/// Where the outputs called `argument` begin among an op's outputs; bodies of functions name outputs so.
pub(crate) fn output_offset(op: &str, argument: &str, attributes: &Attributes) -> Option<usize> {
    let names: &[&str] = match op {
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
            &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"]
        }
        "TopKV2" | "TopK" => &["values", "indices"],
        "ParseExample" | "ParseExampleV2" => return examples::output_offset(argument, attributes),
        // All outputs of the others have one name, whatever it is.
        _ => return Some(0),
    };
    names.iter().position(|name| *name == argument)
}

/// One result, as kernels return it.
#[allow(clippy::unnecessary_wraps)] // It is the tail of kernels, which can fail.
fn one(shape: Vec<usize>, data: TensorData) -> Result<Vec<Value>, RunError> {
    Ok(vec![Arc::new(Tensor { shape, data })])
}

fn input(inputs: &[Value], index: usize) -> Result<&Tensor, RunError> {
    inputs.get(index).map(AsRef::as_ref).ok_or_else(|| RunError::invalid(format!("input {index} is missing")))
}

/// The elements of a float input.
fn floats(tensor: &Tensor) -> Result<&[f32], RunError> {
    tensor.as_floats().ok_or_else(|| unsupported_type(tensor.dtype()))
}

fn unsupported_type(dtype: DataType) -> RunError {
    RunError::new(StatusCode::Unimplemented, format!("type {} is not supported by this op", dtype.short_name()))
}

/// The elements of an integer tensor, as shapes, axes and indices come.
pub(crate) fn integers(tensor: &Tensor) -> Result<Vec<i64>, RunError> {
    match &tensor.data {
        TensorData::Int32(values) => Ok(values.iter().map(|&value| i64::from(value)).collect()),
        TensorData::Int64(values) => Ok(values.clone()),
        TensorData::Int16(values) => Ok(values.iter().map(|&value| i64::from(value)).collect()),
        TensorData::Uint8(values) => Ok(values.iter().map(|&value| i64::from(value)).collect()),
        _ => Err(unsupported_type(tensor.dtype())),
    }
}

/// One integer, given as a scalar or a vector of one.
fn integer(tensor: &Tensor) -> Result<i64, RunError> {
    match integers(tensor)?.as_slice() {
        [value] => Ok(*value),
        values => Err(RunError::invalid(format!("expected one integer, got {}", values.len()))),
    }
}

/// An axis between `-rank` and `rank - 1` as an index; `None` outside.
pub(crate) fn axis_index(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Refuses attributes that ask for a layout other than channels last.
fn require_channels_last(op: &str, attributes: &Attributes) -> Result<(), RunError> {
    match attributes.text("data_format", "NHWC")?.as_str() {
        "NHWC" => Ok(()),
        format => {
            let text = format!(
                "The {op} op currently only supports the NHWC tensor format on the CPU. The op was given the format: {format}"
            );
            Err(RunError::new(StatusCode::Unimplemented, text))
        }
    }
}

/// Steps from one element to the next in each dimension.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    strides
}

/// Calls `visit` with the source offset of each element of `shape` in row-major order, where a step along an axis
/// moves the source by `steps` of it.
fn walk(shape: &[usize], steps: &[isize], start: isize, mut visit: impl FnMut(usize)) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0usize; shape.len()];
    let mut offset = start;
    loop {
        visit(offset.unsigned_abs());
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            offset += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            offset -= steps[axis] * shape[axis] as isize;
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Running one op on given tensors.

    use super::*;
    use crate::inference::kernel::Pool;
    use crate::savedmodel::proto::{AttrValue, attr_value};

    pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::floats(shape, values.to_vec()).unwrap()
    }

    pub(crate) fn ints(values: &[i32]) -> Tensor {
        Tensor::new(&[values.len()], TensorData::Int32(values.to_vec())).unwrap()
    }

    pub(crate) fn scalar(value: i32) -> Tensor {
        Tensor::new(&[], TensorData::Int32(vec![value])).unwrap()
    }

    pub(crate) fn attributes(list: &[(&str, attr_value::Value)]) -> Attributes {
        Attributes(list.iter().map(|(name, value)| ((*name).to_owned(), AttrValue::from(value.clone()))).collect())
    }

    pub(crate) fn int_list(values: &[i64]) -> attr_value::Value {
        attr_value::Value::List(Box::new(attr_value::ListValue { i: values.to_vec(), ..Default::default() }))
    }

    pub(crate) fn text(value: &'static str) -> attr_value::Value {
        attr_value::Value::S(bytes::Bytes::from_static(value.as_bytes()))
    }

    pub(crate) fn run_all(
        op: &str,
        list: &[(&str, attr_value::Value)],
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, RunError> {
        let kernel = build(op, &attributes(list))?;
        let context = Context::new(Pool::of_threads(2), 0);
        let mut values: Vec<Value> = inputs.iter().cloned().map(Arc::new).collect();
        let outputs = kernel(&mut values, &context)?;
        Ok(outputs.into_iter().map(|value| Tensor::clone(&value)).collect())
    }

    pub(crate) fn run(op: &str, list: &[(&str, attr_value::Value)], inputs: &[Tensor]) -> Result<Tensor, RunError> {
        run_all(op, list, inputs).map(|mut outputs| outputs.remove(0))
    }

    #[test]
    fn the_table_is_in_order_and_names_no_op_twice() {
        let all = supported();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        assert!(all.len() > 90);
        for op in ["Conv2D", "FusedBatchNormV3", "MaxPool", "Softmax", "StatefulPartitionedCall"] {
            assert!(all.contains(&op), "{op}");
        }
    }
}
