//! Tensors as callers and ops see them: a shape and the elements in row-major order.

use crate::savedmodel::proto::DataType;

/// A dense tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The size of each dimension, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements in row-major order, as many as the product of the shape.
    pub data: TensorData,
}

/// The elements of a [`Tensor`], by type.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// `DT_FLOAT`.
    Float(Vec<f32>),
    /// `DT_DOUBLE`.
    Double(Vec<f64>),
    /// `DT_HALF`, as bit patterns.
    Half(Vec<u16>),
    /// `DT_INT8`.
    Int8(Vec<i8>),
    /// `DT_INT16`.
    Int16(Vec<i16>),
    /// `DT_INT32`.
    Int32(Vec<i32>),
    /// `DT_INT64`.
    Int64(Vec<i64>),
    /// `DT_UINT8`.
    Uint8(Vec<u8>),
    /// `DT_UINT16`.
    Uint16(Vec<u16>),
    /// `DT_UINT32`.
    Uint32(Vec<u32>),
    /// `DT_UINT64`.
    Uint64(Vec<u64>),
    /// `DT_BOOL`.
    Bool(Vec<bool>),
    /// `DT_STRING`; bytes, not necessarily UTF-8.
    String(Vec<Vec<u8>>),
}

/// Evaluates `$body` with `$elements` bound to the vector of whatever type `$data` holds.
macro_rules! for_each_type {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            $crate::inference::TensorData::Float($elements) => $body,
            $crate::inference::TensorData::Double($elements) => $body,
            $crate::inference::TensorData::Half($elements) => $body,
            $crate::inference::TensorData::Int8($elements) => $body,
            $crate::inference::TensorData::Int16($elements) => $body,
            $crate::inference::TensorData::Int32($elements) => $body,
            $crate::inference::TensorData::Int64($elements) => $body,
            $crate::inference::TensorData::Uint8($elements) => $body,
            $crate::inference::TensorData::Uint16($elements) => $body,
            $crate::inference::TensorData::Uint32($elements) => $body,
            $crate::inference::TensorData::Uint64($elements) => $body,
            $crate::inference::TensorData::Bool($elements) => $body,
            $crate::inference::TensorData::String($elements) => $body,
        }
    };
}

/// As [`for_each_type`], and the result is a vector of the same type, wrapped again.
macro_rules! map_each_type {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            $crate::inference::TensorData::Float($elements) => $crate::inference::TensorData::Float($body),
            $crate::inference::TensorData::Double($elements) => $crate::inference::TensorData::Double($body),
            $crate::inference::TensorData::Half($elements) => $crate::inference::TensorData::Half($body),
            $crate::inference::TensorData::Int8($elements) => $crate::inference::TensorData::Int8($body),
            $crate::inference::TensorData::Int16($elements) => $crate::inference::TensorData::Int16($body),
            $crate::inference::TensorData::Int32($elements) => $crate::inference::TensorData::Int32($body),
            $crate::inference::TensorData::Int64($elements) => $crate::inference::TensorData::Int64($body),
            $crate::inference::TensorData::Uint8($elements) => $crate::inference::TensorData::Uint8($body),
            $crate::inference::TensorData::Uint16($elements) => $crate::inference::TensorData::Uint16($body),
            $crate::inference::TensorData::Uint32($elements) => $crate::inference::TensorData::Uint32($body),
            $crate::inference::TensorData::Uint64($elements) => $crate::inference::TensorData::Uint64($body),
            $crate::inference::TensorData::Bool($elements) => $crate::inference::TensorData::Bool($body),
            $crate::inference::TensorData::String($elements) => $crate::inference::TensorData::String($body),
        }
    };
}

pub(crate) use map_each_type;

impl TensorData {
    /// The number of elements.
    pub fn len(&self) -> usize {
        for_each_type!(self, elements => elements.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// A tensor of floats; `None` when the shape does not have as many elements as `values`.
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Option<Self> {
        Self::new(shape, TensorData::Float(values))
    }

    /// A tensor; `None` when the shape does not have as many elements as `data`.
    pub fn new(shape: &[usize], data: TensorData) -> Option<Self> {
        (element_count(shape)? == data.len()).then(|| Self { shape: shape.to_vec(), data })
    }

    /// The element type.
    pub fn dtype(&self) -> DataType {
        match self.data {
            TensorData::Float(_) => DataType::DtFloat,
            TensorData::Double(_) => DataType::DtDouble,
            TensorData::Half(_) => DataType::DtHalf,
            TensorData::Int8(_) => DataType::DtInt8,
            TensorData::Int16(_) => DataType::DtInt16,
            TensorData::Int32(_) => DataType::DtInt32,
            TensorData::Int64(_) => DataType::DtInt64,
            TensorData::Uint8(_) => DataType::DtUint8,
            TensorData::Uint16(_) => DataType::DtUint16,
            TensorData::Uint32(_) => DataType::DtUint32,
            TensorData::Uint64(_) => DataType::DtUint64,
            TensorData::Bool(_) => DataType::DtBool,
            TensorData::String(_) => DataType::DtString,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements of a float tensor; `None` for another type.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::Float(values) => Some(values),
            _ => None,
        }
    }
}

/// The number of elements of a shape, or `None` when it does not fit.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))
}

/// A shape as TensorFlow's messages print it: `[2,3]`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", sizes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_as_many_elements_as_its_shape_says() {
        assert!(Tensor::floats(&[2, 2], vec![0.0; 4]).is_some());
        assert!(Tensor::floats(&[2, 2], vec![0.0; 3]).is_none());
        assert!(Tensor::floats(&[], vec![1.0]).is_some());
        assert!(Tensor::floats(&[usize::MAX, 2], vec![]).is_none());
        let empty = Tensor::new(&[0, 3], TensorData::String(vec![])).unwrap();
        assert_eq!((empty.dtype(), empty.len(), empty.is_empty()), (DataType::DtString, 0, true));
    }

    #[test]
    fn shapes_print_as_in_tensorflow() {
        assert_eq!(shape_text(&[224, 224, 3]), "[224,224,3]");
        assert_eq!(shape_text(&[]), "[]");
    }
}
