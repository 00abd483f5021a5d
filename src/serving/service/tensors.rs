//! Tensors from and to protocol buffers.

use crate::inference::{Tensor, TensorData};
use crate::savedmodel::proto::{DataType, TensorProto, TensorShapeProto};

/// The most dimensions that TensorFlow's shapes have.
const MOST_DIMENSIONS: usize = 254;

/// Reads a tensor as `Tensor::FromProto` does: `tensor_content` when it is there, else the typed list, whose last
/// element fills what is missing and whose surplus is dropped. `None` when shape and content contradict each other,
/// or for an element type that cannot be sent.
pub fn tensor_from_proto(proto: &TensorProto) -> Option<Tensor> {
    let shape = proto.tensor_shape.clone().unwrap_or_default();
    if shape.dim.len() > MOST_DIMENSIONS {
        return None;
    }
    let count = shape.elements()?;
    let shape = shape.known()?;
    // A short list is repeated to the shape's size: refuse what would not fit into memory.
    if count > (1 << 28) {
        return None;
    }
    let content = &proto.tensor_content[..];
    macro_rules! elements {
        ($variant:ident, $type:ty, $list:expr) => {
            TensorData::$variant(if content.is_empty() {
                filled($list.iter().map(|&value| value as $type), count)
            } else {
                let size = size_of::<$type>();
                if content.len() != count.checked_mul(size)? {
                    return None;
                }
                content
                    .chunks_exact(size)
                    .map(|bytes| <$type>::from_le_bytes(bytes.try_into().unwrap_or_default()))
                    .collect()
            })
        };
    }
    let data = match DataType::try_from(proto.dtype).ok()? {
        DataType::DtFloat => elements!(Float, f32, proto.float_val),
        DataType::DtDouble => elements!(Double, f64, proto.double_val),
        DataType::DtHalf => elements!(Half, u16, proto.half_val),
        DataType::DtInt8 => elements!(Int8, i8, proto.int_val),
        DataType::DtInt16 => elements!(Int16, i16, proto.int_val),
        DataType::DtInt32 => elements!(Int32, i32, proto.int_val),
        DataType::DtInt64 => elements!(Int64, i64, proto.int64_val),
        DataType::DtUint8 => elements!(Uint8, u8, proto.int_val),
        DataType::DtUint16 => elements!(Uint16, u16, proto.int_val),
        DataType::DtUint32 => elements!(Uint32, u32, proto.uint32_val),
        DataType::DtUint64 => elements!(Uint64, u64, proto.uint64_val),
        DataType::DtBool if content.is_empty() => TensorData::Bool(filled(proto.bool_val.iter().copied(), count)),
        DataType::DtBool if content.len() == count => TensorData::Bool(content.iter().map(|&byte| byte != 0).collect()),
        DataType::DtString if content.is_empty() => {
            TensorData::String(filled(proto.string_val.iter().map(|value| value.to_vec()), count))
        }
        _ => return None,
    };
    Some(Tensor { shape, data })
}

/// The first `count` values; the last one again for what is missing, or the type's zero when there is none.
pub(crate) fn filled<T: Clone + Default>(values: impl Iterator<Item = T>, count: usize) -> Vec<T> {
    let mut filled: Vec<T> = values.take(count).collect();
    let last = filled.last().cloned().unwrap_or_default();
    filled.resize(count, last);
    filled
}

/// Writes a tensor with its elements in the typed list, as TensorFlow Serving's responses have them.
pub fn tensor_to_proto(tensor: Tensor) -> TensorProto {
    let sizes: Vec<i64> = tensor.shape.iter().map(|&size| size as i64).collect();
    let mut proto = TensorProto {
        dtype: tensor.dtype() as i32,
        tensor_shape: Some(TensorShapeProto::of(&sizes)),
        ..TensorProto::default()
    };
    match tensor.data {
        TensorData::Float(values) => proto.float_val = values,
        TensorData::Double(values) => proto.double_val = values,
        TensorData::Half(values) => proto.half_val = values.into_iter().map(i32::from).collect(),
        TensorData::Int8(values) => proto.int_val = values.into_iter().map(i32::from).collect(),
        TensorData::Int16(values) => proto.int_val = values.into_iter().map(i32::from).collect(),
        TensorData::Int32(values) => proto.int_val = values,
        TensorData::Int64(values) => proto.int64_val = values,
        TensorData::Uint8(values) => proto.int_val = values.into_iter().map(i32::from).collect(),
        TensorData::Uint16(values) => proto.int_val = values.into_iter().map(i32::from).collect(),
        TensorData::Uint32(values) => proto.uint32_val = values,
        TensorData::Uint64(values) => proto.uint64_val = values,
        TensorData::Bool(values) => proto.bool_val = values,
        TensorData::String(values) => proto.string_val = values.into_iter().map(Into::into).collect(),
    }
    proto
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(dtype: DataType, shape: &[i64]) -> TensorProto {
        TensorProto { dtype: dtype as i32, tensor_shape: Some(TensorShapeProto::of(shape)), ..TensorProto::default() }
    }

    #[test]
    fn short_lists_repeat_their_last_element_and_long_ones_are_cut() {
        let short = TensorProto { float_val: vec![1.0, 2.0], ..proto(DataType::DtFloat, &[4]) };
        assert_eq!(tensor_from_proto(&short).unwrap().data, TensorData::Float(vec![1.0, 2.0, 2.0, 2.0]));
        let long = TensorProto { int_val: vec![1, 256, -1], ..proto(DataType::DtUint8, &[2]) };
        assert_eq!(tensor_from_proto(&long).unwrap().data, TensorData::Uint8(vec![1, 0]));
        let none = proto(DataType::DtString, &[1]);
        assert_eq!(tensor_from_proto(&none).unwrap().data, TensorData::String(vec![vec![]]));
    }

    #[test]
    fn content_must_fit_the_shape() {
        let mut tensor = TensorProto { tensor_content: vec![0, 0, 128, 63].into(), ..proto(DataType::DtFloat, &[1]) };
        assert_eq!(tensor_from_proto(&tensor).unwrap().data, TensorData::Float(vec![1.0]));
        tensor.tensor_shape = Some(TensorShapeProto::of(&[2]));
        assert_eq!(tensor_from_proto(&tensor), None);
        assert_eq!(tensor_from_proto(&proto(DataType::DtFloat, &[-1])), None);
        assert_eq!(tensor_from_proto(&proto(DataType::DtResource, &[1])), None);
        assert_eq!(tensor_from_proto(&proto(DataType::DtFloat, &[1 << 40])), None);
    }
}
