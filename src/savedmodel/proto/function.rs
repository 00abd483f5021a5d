//! Functions of a graph's library.

use std::collections::BTreeMap;

use super::{AttrValue, DataType, NodeDef};

/// The functions of a graph (`function.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FunctionDefLibrary {
    /// The functions; names are unique.
    #[prost(message, repeated, tag = "1")]
    pub function: Vec<FunctionDef>,
}

/// One function.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FunctionDef {
    /// Name, arguments and results.
    #[prost(message, optional, tag = "1")]
    pub signature: Option<OpDef>,
    /// The body; inputs are written `node:output:index` or name an argument.
    #[prost(message, repeated, tag = "3")]
    pub node_def: Vec<NodeDef>,
    /// From a result's name to the tensor of the body that it is.
    #[prost(btree_map = "string, string", tag = "4")]
    pub ret: BTreeMap<String, String>,
    /// Attributes of the function itself.
    #[prost(btree_map = "string, message", tag = "5")]
    pub attr: BTreeMap<String, AttrValue>,
    /// From a control output's name to the node of the body that must have run.
    #[prost(btree_map = "string, string", tag = "6")]
    pub control_ret: BTreeMap<String, String>,
}

/// The signature of an op or function (`op_def.proto`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct OpDef {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The arguments.
    #[prost(message, repeated, tag = "2")]
    pub input_arg: Vec<op_def::ArgDef>,
    /// The results.
    #[prost(message, repeated, tag = "3")]
    pub output_arg: Vec<op_def::ArgDef>,
    /// The attributes that a caller can give.
    #[prost(message, repeated, tag = "4")]
    pub attr: Vec<op_def::AttrDef>,
    /// Whether calling it has an effect besides its results.
    #[prost(bool, tag = "17")]
    pub is_stateful: bool,
    /// Control outputs.
    #[prost(string, repeated, tag = "20")]
    pub control_output: Vec<String>,
}

/// Parts of [`OpDef`].
pub mod op_def {
    use super::{AttrValue, DataType};

    /// An argument or result.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct ArgDef {
        /// Its name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Its element type, when fixed.
        #[prost(enumeration = "DataType", tag = "3")]
        pub r#type: i32,
        /// The attribute that holds its element type.
        #[prost(string, tag = "4")]
        pub type_attr: String,
        /// The attribute that holds how many tensors it is.
        #[prost(string, tag = "5")]
        pub number_attr: String,
        /// The attribute that holds a list of element types.
        #[prost(string, tag = "6")]
        pub type_list_attr: String,
    }

    /// An attribute's declaration.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct AttrDef {
        /// Its name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Its kind, for example `type` or `list(int)`.
        #[prost(string, tag = "2")]
        pub r#type: String,
        /// The value when the caller gives none.
        #[prost(message, optional, tag = "3")]
        pub default_value: Option<AttrValue>,
    }
}
