//! Attributes of a node, by type and with the defaults of TensorFlow's op definitions.

use std::collections::BTreeMap;

use super::status::RunError;
use crate::savedmodel::proto::{AttrValue, DataType, TensorProto, TensorShapeProto, attr_value::Value};

/// The attributes of one node; an absent one has the default that the caller names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(pub(crate) BTreeMap<String, AttrValue>);

fn wrong_kind(name: &str, wanted: &str) -> RunError {
    RunError::invalid(format!("attribute `{name}` is not {wanted}"))
}

impl Attributes {
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)?.value.as_ref()
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> Result<i64, RunError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::I(value)) => Ok(*value),
            Some(_) => Err(wrong_kind(name, "an integer")),
        }
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32, RunError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::F(value)) => Ok(*value),
            Some(_) => Err(wrong_kind(name, "a float")),
        }
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, RunError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::B(value)) => Ok(*value),
            Some(_) => Err(wrong_kind(name, "a truth value")),
        }
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> Result<String, RunError> {
        match self.value(name) {
            None => Ok(default.to_owned()),
            Some(Value::S(value)) => Ok(String::from_utf8_lossy(value).into_owned()),
            Some(_) => Err(wrong_kind(name, "a string")),
        }
    }

    pub(crate) fn integers(&self, name: &str) -> Result<Vec<i64>, RunError> {
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => Ok(list.i.clone()),
            Some(_) => Err(wrong_kind(name, "a list of integers")),
        }
    }

    pub(crate) fn dtype(&self, name: &str, default: DataType) -> Result<DataType, RunError> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Type(value)) => DataType::try_from(*value).map_err(|_| wrong_kind(name, "a known type")),
            Some(_) => Err(wrong_kind(name, "a type")),
        }
    }

    pub(crate) fn dtypes(&self, name: &str) -> Result<Vec<DataType>, RunError> {
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => list
                .r#type
                .iter()
                .map(|&value| DataType::try_from(value).map_err(|_| wrong_kind(name, "a list of known types")))
                .collect(),
            Some(_) => Err(wrong_kind(name, "a list of types")),
        }
    }

    pub(crate) fn shapes(&self, name: &str) -> Result<Vec<TensorShapeProto>, RunError> {
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => Ok(list.shape.clone()),
            Some(_) => Err(wrong_kind(name, "a list of shapes")),
        }
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&TensorShapeProto> {
        match self.value(name) {
            Some(Value::Shape(shape)) => Some(shape),
            _ => None,
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorProto> {
        match self.value(name) {
            Some(Value::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }
}
