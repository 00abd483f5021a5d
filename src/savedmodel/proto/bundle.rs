//! The entries of a variables bundle (`tensor_bundle.proto`).

use super::{DataType, TensorShapeProto, VersionDef};

/// The entry of the empty key: what holds for the whole bundle.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BundleHeaderProto {
    /// The number of data files.
    #[prost(int32, tag = "1")]
    pub num_shards: i32,
    /// The byte order of the tensors.
    #[prost(enumeration = "bundle_header_proto::Endianness", tag = "2")]
    pub endianness: i32,
    /// The version of the bundle's layout.
    #[prost(message, optional, tag = "3")]
    pub version: Option<VersionDef>,
}

/// Parts of [`BundleHeaderProto`].
pub mod bundle_header_proto {
    /// A byte order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum Endianness {
        /// Least significant byte first.
        Little = 0,
        /// Most significant byte first.
        Big = 1,
    }
}

/// Where one tensor lies.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BundleEntryProto {
    /// The element type.
    #[prost(enumeration = "DataType", tag = "1")]
    pub dtype: i32,
    /// The shape of the whole tensor.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
    /// The data file, counted from 0.
    #[prost(int32, tag = "3")]
    pub shard_id: i32,
    /// Its first byte in that file.
    #[prost(int64, tag = "4")]
    pub offset: i64,
    /// Its bytes.
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// The masked CRC-32C of its bytes.
    #[prost(fixed32, tag = "6")]
    pub crc32c: u32,
    /// The parts of a tensor that was saved in slices; empty for a whole one.
    #[prost(message, repeated, tag = "7")]
    pub slices: Vec<TensorSliceProto>,
}

/// A slice of a partitioned variable (`tensor_slice.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TensorSliceProto {
    /// Its extent in each dimension.
    #[prost(message, repeated, tag = "1")]
    pub extent: Vec<tensor_slice_proto::Extent>,
}

/// Parts of [`TensorSliceProto`].
pub mod tensor_slice_proto {
    /// The extent in one dimension; no length means all of it.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Extent {
        /// The first index.
        #[prost(int64, tag = "1")]
        pub start: i64,
        /// How many indices.
        #[prost(int64, optional, tag = "2")]
        pub length: Option<i64>,
    }
}
