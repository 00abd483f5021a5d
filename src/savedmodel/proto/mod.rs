//! TensorFlow's protocol buffers, as far as the lab reads or writes them.
//!
//! The messages are written by hand for `prost`; names and field numbers are TensorFlow's (`tensorflow/core/framework`,
//! `tensorflow/core/protobuf`), so the bytes are interchangeable with it. Fields that nothing here uses are left out:
//! reading skips them. Maps are ordered, so encoding the same message gives the same bytes on every machine, and
//! [`TensorProto::tensor_content`] is shared with the buffer that it was read from, so a frozen graph of 100 MB is not
//! held twice.

mod bundle;
mod function;
mod graph;
mod meta_graph;
mod tensor;

pub use bundle::{BundleEntryProto, BundleHeaderProto, TensorSliceProto, bundle_header_proto, tensor_slice_proto};
pub use function::{FunctionDef, FunctionDefLibrary, OpDef, op_def};
pub use graph::{AttrValue, GraphDef, NameAttrList, NodeDef, VersionDef, attr_value};
pub use meta_graph::{
    AssetFileDef, CollectionDef, MetaGraphDef, SavedModel, SaverDef, SignatureDef, TensorInfo, collection_def,
    meta_graph_def, saver_def, tensor_info,
};
pub use tensor::{DataType, TensorProto, TensorShapeProto, tensor_shape_proto};
