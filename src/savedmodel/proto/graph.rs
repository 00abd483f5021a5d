//! Graphs, nodes and their attributes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{DataType, FunctionDefLibrary, TensorProto, TensorShapeProto};

/// A graph of operations (`graph.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GraphDef {
    /// The nodes, in no particular order.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeDef>,
    /// The functions that nodes call.
    #[prost(message, optional, tag = "2")]
    pub library: Option<FunctionDefLibrary>,
    /// Which TensorFlow wrote it and which may read it.
    #[prost(message, optional, tag = "4")]
    pub versions: Option<VersionDef>,
}

/// Versions of a graph (`versions.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct VersionDef {
    /// The graph version of the writer; 716 is TensorFlow 2.5.
    #[prost(int32, tag = "1")]
    pub producer: i32,
    /// The lowest graph version that may read it.
    #[prost(int32, tag = "2")]
    pub min_consumer: i32,
    /// Graph versions that must not read it.
    #[prost(int32, repeated, tag = "3")]
    pub bad_consumers: Vec<i32>,
}

/// One operation of a graph (`node_def.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeDef {
    /// Its name, unique in the graph or function.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The op, or the function that it calls.
    #[prost(string, tag = "2")]
    pub op: String,
    /// Inputs: `node`, `node:1`, `^control`; inside functions `node:output:0` or an argument's name.
    #[prost(string, repeated, tag = "3")]
    pub input: Vec<String>,
    /// The device that it asks for; empty for any.
    #[prost(string, tag = "4")]
    pub device: String,
    /// The attributes by name.
    #[prost(btree_map = "string, message", tag = "5")]
    pub attr: BTreeMap<String, AttrValue>,
}

/// The value of an attribute (`attr_value.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AttrValue {
    /// The value; `None` for a kind that is not known here.
    #[prost(oneof = "attr_value::Value", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub value: Option<attr_value::Value>,
}

/// Parts of [`AttrValue`].
pub mod attr_value {
    use super::{Bytes, DataType, NameAttrList, TensorProto, TensorShapeProto};

    /// What an attribute can be.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Value {
        /// A list of one of the other kinds.
        #[prost(message, boxed, tag = "1")]
        List(Box<ListValue>),
        /// A byte string.
        #[prost(bytes = "bytes", tag = "2")]
        S(Bytes),
        /// An integer.
        #[prost(int64, tag = "3")]
        I(i64),
        /// A float.
        #[prost(float, tag = "4")]
        F(f32),
        /// A truth value.
        #[prost(bool, tag = "5")]
        B(bool),
        /// An element type.
        #[prost(enumeration = "DataType", tag = "6")]
        Type(i32),
        /// A shape.
        #[prost(message, tag = "7")]
        Shape(TensorShapeProto),
        /// A tensor.
        #[prost(message, boxed, tag = "8")]
        Tensor(Box<TensorProto>),
        /// Inside a function: the name of the function's attribute to take.
        #[prost(string, tag = "9")]
        Placeholder(String),
        /// A function.
        #[prost(message, boxed, tag = "10")]
        Func(Box<NameAttrList>),
    }

    /// A list of values of one kind.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct ListValue {
        /// Byte strings.
        #[prost(bytes = "bytes", repeated, tag = "2")]
        pub s: Vec<Bytes>,
        /// Integers.
        #[prost(int64, repeated, tag = "3")]
        pub i: Vec<i64>,
        /// Floats.
        #[prost(float, repeated, tag = "4")]
        pub f: Vec<f32>,
        /// Truth values.
        #[prost(bool, repeated, tag = "5")]
        pub b: Vec<bool>,
        /// Element types.
        #[prost(enumeration = "DataType", repeated, tag = "6")]
        pub r#type: Vec<i32>,
        /// Shapes.
        #[prost(message, repeated, tag = "7")]
        pub shape: Vec<TensorShapeProto>,
        /// Tensors.
        #[prost(message, repeated, tag = "8")]
        pub tensor: Vec<TensorProto>,
        /// Functions.
        #[prost(message, repeated, tag = "9")]
        pub func: Vec<NameAttrList>,
    }
}

impl From<attr_value::Value> for AttrValue {
    fn from(value: attr_value::Value) -> Self {
        Self { value: Some(value) }
    }
}

/// A function's name and the attributes to call it with.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NameAttrList {
    /// The function.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its attributes.
    #[prost(btree_map = "string, message", tag = "2")]
    pub attr: BTreeMap<String, AttrValue>,
}
