//! SavedModels, meta graphs and signatures.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{DataType, GraphDef, TensorProto, TensorShapeProto};

/// The contents of `saved_model.pb` (`saved_model.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SavedModel {
    /// The version of the layout; 1.
    #[prost(int64, tag = "1")]
    pub saved_model_schema_version: i64,
    /// One or more meta graphs, told apart by their tags.
    #[prost(message, repeated, tag = "2")]
    pub meta_graphs: Vec<MetaGraphDef>,
}

/// A graph with what is needed to use it (`meta_graph.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MetaGraphDef {
    /// Tags and versions.
    #[prost(message, optional, tag = "1")]
    pub meta_info_def: Option<meta_graph_def::MetaInfoDef>,
    /// The graph.
    #[prost(message, optional, tag = "2")]
    pub graph_def: Option<GraphDef>,
    /// How to restore the variables.
    #[prost(message, optional, tag = "3")]
    pub saver_def: Option<SaverDef>,
    /// Named collections; TensorFlow 1 keeps the initialisation op here.
    #[prost(btree_map = "string, message", tag = "4")]
    pub collection_def: BTreeMap<String, CollectionDef>,
    /// The signatures by key, for example `serving_default`.
    #[prost(btree_map = "string, message", tag = "5")]
    pub signature_def: BTreeMap<String, SignatureDef>,
    /// Files that the graph reads.
    #[prost(message, repeated, tag = "6")]
    pub asset_file_def: Vec<AssetFileDef>,
}

/// Parts of [`MetaGraphDef`].
pub mod meta_graph_def {
    /// What is known about a meta graph.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct MetaInfoDef {
        /// Free text.
        #[prost(string, tag = "1")]
        pub meta_graph_version: String,
        /// Its tags; `serve` for serving.
        #[prost(string, repeated, tag = "4")]
        pub tags: Vec<String>,
        /// The TensorFlow that wrote it.
        #[prost(string, tag = "5")]
        pub tensorflow_version: String,
        /// That TensorFlow's commit.
        #[prost(string, tag = "6")]
        pub tensorflow_git_version: String,
        /// Whether attributes with their default value were left out.
        #[prost(bool, tag = "7")]
        pub stripped_default_attrs: bool,
    }
}

/// A named collection.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionDef {
    /// Its items; `None` for a kind that is not known here.
    #[prost(oneof = "collection_def::Kind", tags = "1, 2")]
    pub kind: Option<collection_def::Kind>,
}

/// Parts of [`CollectionDef`].
pub mod collection_def {
    use super::Bytes;

    /// What a collection can hold.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Kind {
        /// Names of nodes.
        #[prost(message, tag = "1")]
        NodeList(NodeList),
        /// Serialised messages.
        #[prost(message, tag = "2")]
        BytesList(BytesList),
    }

    /// Names of nodes.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct NodeList {
        /// The names.
        #[prost(string, repeated, tag = "1")]
        pub value: Vec<String>,
    }

    /// Serialised messages.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct BytesList {
        /// The messages.
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub value: Vec<Bytes>,
    }
}

/// How variables are saved and restored (`saver.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SaverDef {
    /// The tensor to feed the file's prefix to, for example `saver_filename:0`.
    #[prost(string, tag = "1")]
    pub filename_tensor_name: String,
    /// The tensor to fetch for saving.
    #[prost(string, tag = "2")]
    pub save_tensor_name: String,
    /// The op to run for restoring.
    #[prost(string, tag = "3")]
    pub restore_op_name: String,
    /// How many checkpoints to keep.
    #[prost(int32, tag = "4")]
    pub max_to_keep: i32,
    /// Whether each device writes its own file.
    #[prost(bool, tag = "5")]
    pub sharded: bool,
    /// How often to keep one for good.
    #[prost(float, tag = "6")]
    pub keep_checkpoint_every_n_hours: f32,
    /// The format of the checkpoint.
    #[prost(enumeration = "saver_def::CheckpointFormatVersion", tag = "7")]
    pub version: i32,
}

/// Parts of [`SaverDef`].
pub mod saver_def {
    /// A format of checkpoints.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum CheckpointFormatVersion {
        /// Before formats had a version.
        Legacy = 0,
        /// Tensor slices in tables.
        V1 = 1,
        /// The bundle.
        V2 = 2,
    }
}

/// A function of the model that can be called from outside.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignatureDef {
    /// Inputs by the name that callers use.
    #[prost(btree_map = "string, message", tag = "1")]
    pub inputs: BTreeMap<String, TensorInfo>,
    /// Outputs by the name that callers see.
    #[prost(btree_map = "string, message", tag = "2")]
    pub outputs: BTreeMap<String, TensorInfo>,
    /// Which service may call it, for example `tensorflow/serving/predict`.
    #[prost(string, tag = "3")]
    pub method_name: String,
    /// Values of inputs that a caller may leave out (TensorFlow ≥ 2.13).
    #[prost(btree_map = "string, message", tag = "4")]
    pub defaults: BTreeMap<String, TensorProto>,
}

/// A tensor of a signature.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TensorInfo {
    /// Where it is in the graph; `None` for an encoding that is not known here.
    #[prost(oneof = "tensor_info::Encoding", tags = "1, 4")]
    pub encoding: Option<tensor_info::Encoding>,
    /// The element type.
    #[prost(enumeration = "DataType", tag = "2")]
    pub dtype: i32,
    /// The shape, as far as known.
    #[prost(message, optional, tag = "3")]
    pub tensor_shape: Option<TensorShapeProto>,
}

impl TensorInfo {
    /// The tensor's name (`node:0`) for a dense tensor.
    pub fn tensor_name(&self) -> Option<&str> {
        match &self.encoding {
            Some(tensor_info::Encoding::Name(name)) => Some(name),
            _ => None,
        }
    }
}

/// Parts of [`TensorInfo`].
pub mod tensor_info {
    /// Where a tensor is in the graph.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Encoding {
        /// A dense tensor's name, `node:0`.
        #[prost(string, tag = "1")]
        Name(String),
        /// The three tensors of a sparse one.
        #[prost(message, tag = "4")]
        CooSparse(CooSparse),
    }

    /// The three tensors of a sparse one.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct CooSparse {
        /// The values.
        #[prost(string, tag = "1")]
        pub values_tensor_name: String,
        /// Their indices.
        #[prost(string, tag = "2")]
        pub indices_tensor_name: String,
        /// The dense shape.
        #[prost(string, tag = "3")]
        pub dense_shape_tensor_name: String,
    }
}

/// A file that the graph reads.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AssetFileDef {
    /// The tensor that takes its path.
    #[prost(message, optional, tag = "1")]
    pub tensor_info: Option<TensorInfo>,
    /// Its name in `assets/`.
    #[prost(string, tag = "2")]
    pub filename: String,
}
