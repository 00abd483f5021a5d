//! Element types, shapes and tensors.

use bytes::Bytes;

/// The element type of a tensor (`types.proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not set.
    DtInvalid = 0,
    /// IEEE 754 binary32.
    DtFloat = 1,
    /// IEEE 754 binary64.
    DtDouble = 2,
    /// Signed, 32 bits.
    DtInt32 = 3,
    /// Unsigned, 8 bits.
    DtUint8 = 4,
    /// Signed, 16 bits.
    DtInt16 = 5,
    /// Signed, 8 bits.
    DtInt8 = 6,
    /// Byte strings.
    DtString = 7,
    /// Complex of two binary32.
    DtComplex64 = 8,
    /// Signed, 64 bits.
    DtInt64 = 9,
    /// True or false, one byte.
    DtBool = 10,
    /// Quantised, signed, 8 bits.
    DtQint8 = 11,
    /// Quantised, unsigned, 8 bits.
    DtQuint8 = 12,
    /// Quantised, signed, 32 bits.
    DtQint32 = 13,
    /// The upper half of a binary32.
    DtBfloat16 = 14,
    /// Quantised, signed, 16 bits.
    DtQint16 = 15,
    /// Quantised, unsigned, 16 bits.
    DtQuint16 = 16,
    /// Unsigned, 16 bits.
    DtUint16 = 17,
    /// Complex of two binary64.
    DtComplex128 = 18,
    /// IEEE 754 binary16.
    DtHalf = 19,
    /// A handle, for example of a variable.
    DtResource = 20,
    /// Anything that an op defines.
    DtVariant = 21,
    /// Unsigned, 32 bits.
    DtUint32 = 22,
    /// Unsigned, 64 bits.
    DtUint64 = 23,
}

impl DataType {
    /// TensorFlow's short name, as its error texts print it: `float`, `uint8`, `string`.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::DtInvalid => "INVALID",
            Self::DtFloat => "float",
            Self::DtDouble => "double",
            Self::DtInt32 => "int32",
            Self::DtUint8 => "uint8",
            Self::DtInt16 => "int16",
            Self::DtInt8 => "int8",
            Self::DtString => "string",
            Self::DtComplex64 => "complex64",
            Self::DtInt64 => "int64",
            Self::DtBool => "bool",
            Self::DtQint8 => "qint8",
            Self::DtQuint8 => "quint8",
            Self::DtQint32 => "qint32",
            Self::DtBfloat16 => "bfloat16",
            Self::DtQint16 => "qint16",
            Self::DtQuint16 => "quint16",
            Self::DtUint16 => "uint16",
            Self::DtComplex128 => "complex128",
            Self::DtHalf => "half",
            Self::DtResource => "resource",
            Self::DtVariant => "variant",
            Self::DtUint32 => "uint32",
            Self::DtUint64 => "uint64",
        }
    }

    /// The protocol buffer's name of the value: `DT_FLOAT`.
    pub fn proto_name(self) -> &'static str {
        match self {
            Self::DtInvalid => "DT_INVALID",
            Self::DtFloat => "DT_FLOAT",
            Self::DtDouble => "DT_DOUBLE",
            Self::DtInt32 => "DT_INT32",
            Self::DtUint8 => "DT_UINT8",
            Self::DtInt16 => "DT_INT16",
            Self::DtInt8 => "DT_INT8",
            Self::DtString => "DT_STRING",
            Self::DtComplex64 => "DT_COMPLEX64",
            Self::DtInt64 => "DT_INT64",
            Self::DtBool => "DT_BOOL",
            Self::DtQint8 => "DT_QINT8",
            Self::DtQuint8 => "DT_QUINT8",
            Self::DtQint32 => "DT_QINT32",
            Self::DtBfloat16 => "DT_BFLOAT16",
            Self::DtQint16 => "DT_QINT16",
            Self::DtQuint16 => "DT_QUINT16",
            Self::DtUint16 => "DT_UINT16",
            Self::DtComplex128 => "DT_COMPLEX128",
            Self::DtHalf => "DT_HALF",
            Self::DtResource => "DT_RESOURCE",
            Self::DtVariant => "DT_VARIANT",
            Self::DtUint32 => "DT_UINT32",
            Self::DtUint64 => "DT_UINT64",
        }
    }

    /// Bytes of one element, or `None` for types without a fixed size.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::DtUint8 | Self::DtInt8 | Self::DtBool | Self::DtQint8 | Self::DtQuint8 => Some(1),
            Self::DtInt16 | Self::DtUint16 | Self::DtHalf | Self::DtBfloat16 | Self::DtQint16 | Self::DtQuint16 => {
                Some(2)
            }
            Self::DtFloat | Self::DtInt32 | Self::DtUint32 | Self::DtQint32 => Some(4),
            Self::DtDouble | Self::DtInt64 | Self::DtUint64 | Self::DtComplex64 => Some(8),
            Self::DtComplex128 => Some(16),
            Self::DtInvalid | Self::DtString | Self::DtResource | Self::DtVariant => None,
        }
    }
}

/// A shape, perhaps only partly known (`tensor_shape.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TensorShapeProto {
    /// The dimensions, outermost first.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<tensor_shape_proto::Dim>,
    /// Whether not even the number of dimensions is known.
    #[prost(bool, tag = "3")]
    pub unknown_rank: bool,
}

/// Parts of [`TensorShapeProto`].
pub mod tensor_shape_proto {
    /// One dimension.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Dim {
        /// Its size; -1 where it is not known.
        #[prost(int64, tag = "1")]
        pub size: i64,
        /// A name that means nothing to TensorFlow.
        #[prost(string, tag = "2")]
        pub name: String,
    }
}

impl TensorShapeProto {
    /// A shape of these sizes, -1 for unknown ones.
    pub fn of(sizes: &[i64]) -> Self {
        let dim = sizes.iter().map(|&size| tensor_shape_proto::Dim { size, name: String::new() }).collect();
        Self { dim, unknown_rank: false }
    }

    /// The sizes when all are known and not negative.
    pub fn known(&self) -> Option<Vec<usize>> {
        if self.unknown_rank {
            return None;
        }
        self.dim.iter().map(|dim| usize::try_from(dim.size).ok()).collect()
    }

    /// The number of elements when the shape is known and the product fits.
    pub fn elements(&self) -> Option<usize> {
        self.known()?.into_iter().try_fold(1usize, usize::checked_mul)
    }
}

/// A tensor's value (`tensor.proto`).
///
/// Either `tensor_content` holds all elements in little-endian row-major order, or the typed list does; a list that is
/// shorter than the shape repeats its last element, and an empty one means zeros.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TensorProto {
    /// The element type.
    #[prost(enumeration = "DataType", tag = "1")]
    pub dtype: i32,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// The version of this layout; always 0.
    #[prost(int32, tag = "3")]
    pub version_number: i32,
    /// All elements as bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub tensor_content: Bytes,
    /// Elements of `DT_FLOAT`.
    #[prost(float, repeated, tag = "5")]
    pub float_val: Vec<f32>,
    /// Elements of `DT_DOUBLE`.
    #[prost(double, repeated, tag = "6")]
    pub double_val: Vec<f64>,
    /// Elements of the integer types of up to 32 bits, except `DT_UINT32`.
    #[prost(int32, repeated, tag = "7")]
    pub int_val: Vec<i32>,
    /// Elements of `DT_STRING`.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub string_val: Vec<Bytes>,
    /// Elements of `DT_COMPLEX64`, real and imaginary part in turn.
    #[prost(float, repeated, tag = "9")]
    pub scomplex_val: Vec<f32>,
    /// Elements of `DT_INT64`.
    #[prost(int64, repeated, tag = "10")]
    pub int64_val: Vec<i64>,
    /// Elements of `DT_BOOL`.
    #[prost(bool, repeated, tag = "11")]
    pub bool_val: Vec<bool>,
    /// Elements of `DT_COMPLEX128`, real and imaginary part in turn.
    #[prost(double, repeated, tag = "12")]
    pub dcomplex_val: Vec<f64>,
    /// Elements of `DT_HALF` and `DT_BFLOAT16`, the bit pattern in the low 16 bits.
    #[prost(int32, repeated, tag = "13")]
    pub half_val: Vec<i32>,
    /// Elements of `DT_UINT32`.
    #[prost(uint32, repeated, tag = "16")]
    pub uint32_val: Vec<u32>,
    /// Elements of `DT_UINT64`.
    #[prost(uint64, repeated, tag = "17")]
    pub uint64_val: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_count_their_elements_without_overflow() {
        assert_eq!(TensorShapeProto::of(&[2, 3, 4]).elements(), Some(24));
        assert_eq!(TensorShapeProto::of(&[]).elements(), Some(1));
        assert_eq!(TensorShapeProto::of(&[-1, 3]).elements(), None);
        assert_eq!(TensorShapeProto::of(&[i64::MAX, 3]).elements(), None);
        assert_eq!(TensorShapeProto { dim: Vec::new(), unknown_rank: true }.elements(), None);
    }
}
