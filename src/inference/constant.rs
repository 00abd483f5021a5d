//! Values that are part of the model: decoded only when they are needed, and never beyond a bound.

use std::sync::Arc;

use super::status::{RunError, StatusCode};
use super::tensor::{Tensor, TensorData, element_count, map_each_type};
use crate::savedmodel::proto::{DataType, TensorProto};

/// A tensor on its way through the graph, shared by all that read it.
pub(crate) type Value = Arc<Tensor>;

/// The most bytes of one tensor, in a model or in a run: a constant may ask for a billion elements in a few bytes.
pub(crate) const MAX_TENSOR_BYTES: usize = 2 << 30;
/// The most bytes of a constant that is written shorter than it is (one element that fills a shape).
const MAX_FILLED_BYTES: usize = 256 << 20;

/// Where the variables' values come from.
pub(crate) trait VariableSource {
    /// Reads the variable whose handle is the node `node`; `name` is what messages call it.
    fn variable(&self, node: &str, name: &str) -> Result<Tensor, RunError>;
}

/// A value of the model that may not have been read yet.
#[derive(Debug, Clone)]
pub(crate) enum Constant {
    /// Decoded.
    Ready(Value),
    /// As the graph has it.
    Proto(Box<TensorProto>),
    /// Still in the bundle.
    Variable {
        /// The node of its handle.
        handle: String,
        /// The name that messages give it.
        name: String,
    },
}

impl Constant {
    /// Decodes or reads the value.
    pub(crate) fn value(&self, variables: &dyn VariableSource) -> Result<Value, RunError> {
        match self {
            Self::Ready(value) => Ok(Arc::clone(value)),
            Self::Proto(proto) => decode(proto).map(Arc::new),
            Self::Variable { handle, name } => variables.variable(handle, name).map(Arc::new),
        }
    }
}

/// Zeros (or empty strings) of any type; `None` for types that are not tensors here.
pub(crate) fn zeros(dtype: DataType, count: usize) -> Option<TensorData> {
    Some(match dtype {
        DataType::DtFloat => TensorData::Float(vec![0.0; count]),
        DataType::DtDouble => TensorData::Double(vec![0.0; count]),
        DataType::DtHalf => TensorData::Half(vec![0; count]),
        DataType::DtInt8 => TensorData::Int8(vec![0; count]),
        DataType::DtInt16 => TensorData::Int16(vec![0; count]),
        DataType::DtInt32 => TensorData::Int32(vec![0; count]),
        DataType::DtInt64 => TensorData::Int64(vec![0; count]),
        DataType::DtUint8 => TensorData::Uint8(vec![0; count]),
        DataType::DtUint16 => TensorData::Uint16(vec![0; count]),
        DataType::DtUint32 => TensorData::Uint32(vec![0; count]),
        DataType::DtUint64 => TensorData::Uint64(vec![0; count]),
        DataType::DtBool => TensorData::Bool(vec![false; count]),
        DataType::DtString => TensorData::String(vec![Vec::new(); count]),
        _ => return None,
    })
}

fn unsupported(dtype: DataType) -> RunError {
    RunError::new(StatusCode::Unimplemented, format!("tensors of type {} are not supported", dtype.short_name()))
}

/// Elements that lie in memory as in TensorFlow's files: row-major, little-endian.
pub(crate) fn from_bytes(dtype: DataType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, RunError> {
    let size = match dtype {
        DataType::DtString => None,
        _ => dtype.size(),
    }
    .ok_or_else(|| unsupported(dtype))?;
    let count = element_count(shape).filter(|count| count.checked_mul(size) == Some(bytes.len()));
    let count = count.ok_or_else(|| {
        RunError::new(StatusCode::DataLoss, format!("{} bytes are not a tensor of shape {shape:?}", bytes.len()))
    })?;
    macro_rules! read {
        ($type:ty) => {
            bytes.as_chunks().0.iter().map(|&chunk| <$type>::from_le_bytes(chunk)).collect()
        };
    }
    let data = match dtype {
        DataType::DtFloat => TensorData::Float(read!(f32)),
        DataType::DtDouble => TensorData::Double(read!(f64)),
        DataType::DtHalf => TensorData::Half(read!(u16)),
        DataType::DtInt8 => TensorData::Int8(read!(i8)),
        DataType::DtInt16 => TensorData::Int16(read!(i16)),
        DataType::DtInt32 => TensorData::Int32(read!(i32)),
        DataType::DtInt64 => TensorData::Int64(read!(i64)),
        DataType::DtUint8 => TensorData::Uint8(bytes.to_vec()),
        DataType::DtUint16 => TensorData::Uint16(read!(u16)),
        DataType::DtUint32 => TensorData::Uint32(read!(u32)),
        DataType::DtUint64 => TensorData::Uint64(read!(u64)),
        DataType::DtBool => TensorData::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
        _ => return Err(unsupported(dtype)),
    };
    debug_assert_eq!(data.len(), count);
    Ok(Tensor { shape: shape.to_vec(), data })
}

/// Decodes a tensor of a graph.
pub(crate) fn decode(proto: &TensorProto) -> Result<Tensor, RunError> {
    let dtype = DataType::try_from(proto.dtype).unwrap_or(DataType::DtInvalid);
    let shape = match &proto.tensor_shape {
        None => Vec::new(),
        Some(shape) => {
            shape.known().ok_or_else(|| RunError::invalid("a constant's shape has an unknown or negative dimension"))?
        }
    };
    if !proto.tensor_content.is_empty() && dtype != DataType::DtString {
        return from_bytes(dtype, &shape, &proto.tensor_content);
    }
    let width = dtype.size().unwrap_or(size_of::<Vec<u8>>());
    let count = element_count(&shape)
        .filter(|count| count.checked_mul(width).is_some_and(|bytes| bytes <= MAX_FILLED_BYTES))
        .ok_or_else(|| {
            let text = format!("a constant of shape {shape:?} is more than {} MiB long", MAX_FILLED_BYTES >> 20);
            RunError::new(StatusCode::ResourceExhausted, text)
        })?;
    let given = match dtype {
        DataType::DtFloat => TensorData::Float(proto.float_val.clone()),
        DataType::DtDouble => TensorData::Double(proto.double_val.clone()),
        DataType::DtHalf => TensorData::Half(proto.half_val.iter().map(|&bits| bits as u16).collect()),
        DataType::DtInt8 => TensorData::Int8(proto.int_val.iter().map(|&value| value as i8).collect()),
        DataType::DtInt16 => TensorData::Int16(proto.int_val.iter().map(|&value| value as i16).collect()),
        DataType::DtInt32 => TensorData::Int32(proto.int_val.clone()),
        DataType::DtInt64 => TensorData::Int64(proto.int64_val.clone()),
        DataType::DtUint8 => TensorData::Uint8(proto.int_val.iter().map(|&value| value as u8).collect()),
        DataType::DtUint16 => TensorData::Uint16(proto.int_val.iter().map(|&value| value as u16).collect()),
        DataType::DtUint32 => TensorData::Uint32(proto.uint32_val.clone()),
        DataType::DtUint64 => TensorData::Uint64(proto.uint64_val.clone()),
        DataType::DtBool => TensorData::Bool(proto.bool_val.clone()),
        DataType::DtString => TensorData::String(proto.string_val.iter().map(|value| value.to_vec()).collect()),
        _ => return Err(unsupported(dtype)),
    };
    if given.is_empty() {
        return Ok(Tensor { shape, data: zeros(dtype, count).ok_or_else(|| unsupported(dtype))? });
    }
    if given.len() > count {
        return Err(RunError::invalid(format!("a constant of shape {shape:?} has {} elements", given.len())));
    }
    // A list that is too short repeats its last element.
    let data = map_each_type!(given, values => {
        let mut values = values;
        #[allow(clippy::cloned_instead_of_copied)] // Strings do not copy.
        if let Some(last) = values.last().cloned() {
            values.resize(count, last);
        }
        values
    });
    Ok(Tensor { shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::savedmodel::proto::TensorShapeProto;

    fn proto(dtype: DataType, shape: &[i64]) -> TensorProto {
        TensorProto { dtype: dtype as i32, tensor_shape: Some(TensorShapeProto::of(shape)), ..TensorProto::default() }
    }

    #[test]
    fn contents_lists_and_short_lists_decode() {
        let mut floats = proto(DataType::DtFloat, &[2]);
        floats.tensor_content = bytes::Bytes::copy_from_slice(&[0, 0, 128, 63, 0, 0, 0, 64]);
        assert_eq!(decode(&floats).unwrap(), Tensor::floats(&[2], vec![1.0, 2.0]).unwrap());
        let mut integers = proto(DataType::DtInt32, &[2, 2]);
        integers.int_val = vec![1, 7];
        assert_eq!(decode(&integers).unwrap().data, TensorData::Int32(vec![1, 7, 7, 7]));
        assert_eq!(decode(&proto(DataType::DtBool, &[1])).unwrap().data, TensorData::Bool(vec![false]));
        let mut strings = proto(DataType::DtString, &[]);
        strings.string_val = vec![bytes::Bytes::from_static(b"a")];
        assert_eq!(decode(&strings).unwrap().data, TensorData::String(vec![b"a".to_vec()]));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused_before_memory_is_taken() {
        let mut huge = proto(DataType::DtFloat, &[1 << 30, 1 << 30]);
        huge.float_val = vec![1.0];
        assert_eq!(decode(&huge).unwrap_err().code, StatusCode::ResourceExhausted);
        assert_eq!(decode(&proto(DataType::DtFloat, &[1 << 62, 16])).unwrap_err().code, StatusCode::ResourceExhausted);
        assert_eq!(decode(&proto(DataType::DtFloat, &[-1])).unwrap_err().code, StatusCode::InvalidArgument);
        let mut short = proto(DataType::DtFloat, &[1 << 40]);
        short.tensor_content = bytes::Bytes::from_static(&[0; 8]);
        assert_eq!(decode(&short).unwrap_err().code, StatusCode::DataLoss);
        let mut long = proto(DataType::DtInt64, &[1]);
        long.int64_val = vec![1, 2];
        assert_eq!(decode(&long).unwrap_err().code, StatusCode::InvalidArgument);
        assert_eq!(decode(&proto(DataType::DtComplex64, &[1])).unwrap_err().code, StatusCode::Unimplemented);
    }
}
