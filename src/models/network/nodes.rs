//! A small vocabulary for building TensorFlow nodes.

use bytes::Bytes;

use crate::savedmodel::proto::attr_value::{ListValue, Value};
use crate::savedmodel::proto::{AttrValue, DataType, NodeDef, TensorProto, TensorShapeProto};

/// The nodes of a graph while it is built.
#[derive(Debug, Default)]
pub(in crate::models) struct Nodes {
    pub(in crate::models) list: Vec<NodeDef>,
}

impl Nodes {
    /// Appends a node and returns its name, which is also the name of its first output.
    pub(in crate::models) fn add(
        &mut self,
        name: impl Into<String>,
        op: &str,
        inputs: impl IntoIterator<Item = impl Into<String>>,
        attrs: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> String {
        let name = name.into();
        self.list.push(NodeDef {
            name: name.clone(),
            op: op.to_owned(),
            input: inputs.into_iter().map(Into::into).collect(),
            attr: attrs.into_iter().map(|(key, value)| (key.to_owned(), AttrValue::from(value))).collect(),
            ..NodeDef::default()
        });
        name
    }

    /// Appends a constant.
    pub(super) fn constant(&mut self, name: impl Into<String>, tensor: TensorProto) -> String {
        let dtype = Value::Type(tensor.dtype);
        self.add(name, "Const", NO_INPUTS, [("dtype", dtype), ("value", Value::Tensor(Box::new(tensor)))])
    }
}

/// For nodes without inputs.
pub(in crate::models) const NO_INPUTS: [&str; 0] = [];

/// The attribute of an element type.
pub(in crate::models) fn kind(dtype: DataType) -> Value {
    Value::Type(dtype as i32)
}

/// A text.
pub(super) fn text(value: &'static str) -> Value {
    Value::S(Bytes::from_static(value.as_bytes()))
}

/// A list of integers.
pub(super) fn integers(values: &[i64]) -> Value {
    Value::List(Box::new(ListValue { i: values.to_vec(), ..ListValue::default() }))
}

/// A list of element types.
pub(super) fn kinds(dtypes: impl Iterator<Item = DataType>) -> Value {
    Value::List(Box::new(ListValue { r#type: dtypes.map(|dtype| dtype as i32).collect(), ..ListValue::default() }))
}

/// A shape.
pub(super) fn shape(sizes: &[i64]) -> Value {
    Value::Shape(TensorShapeProto::of(sizes))
}

/// A tensor of 32-bit integers.
pub(super) fn int32_tensor(sizes: &[i64], values: &[i32]) -> TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto {
        dtype: DataType::DtInt32 as i32,
        tensor_shape: Some(TensorShapeProto::of(sizes)),
        tensor_content: bytes.into(),
        ..TensorProto::default()
    }
}

/// A vector of strings.
pub(super) fn string_tensor<'a>(values: impl IntoIterator<Item = &'a str>) -> TensorProto {
    let string_val: Vec<Bytes> = values.into_iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    TensorProto {
        dtype: DataType::DtString as i32,
        tensor_shape: Some(TensorShapeProto::of(&[string_val.len() as i64])),
        string_val,
        ..TensorProto::default()
    }
}
