//! Parsing `tf.Example` messages, as models for the classify and regress interfaces do: dense features only.

use std::collections::BTreeMap;

use prost::Message as _;

use super::super::attributes::Attributes;
use super::super::constant::{Value, zeros};
use super::super::status::{RunError, StatusCode};
use super::super::tensor::{Tensor, TensorData, element_count};
use super::{Family, Kernel, input};
use crate::savedmodel::proto::DataType;

pub(super) const OPS: Family = &[
    ("ParseExample", |attributes| parse_example(attributes, false)),
    ("ParseExampleV2", |attributes| parse_example(attributes, true)),
];

/// `tensorflow.Example` (`example.proto`), flattened: its one field is a map of features.
#[derive(Clone, PartialEq, ::prost::Message)]
struct Example {
    #[prost(message, optional, tag = "1")]
    features: Option<Features>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct Features {
    #[prost(btree_map = "string, message", tag = "1")]
    feature: BTreeMap<String, Feature>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct Feature {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Bytes(BytesList),
    #[prost(message, tag = "2")]
    Floats(FloatList),
    #[prost(message, tag = "3")]
    Integers(Int64List),
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct BytesList {
    #[prost(bytes = "vec", repeated, tag = "1")]
    value: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct FloatList {
    #[prost(float, repeated, tag = "1")]
    value: Vec<f32>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct Int64List {
    #[prost(int64, repeated, tag = "1")]
    value: Vec<i64>,
}

/// Where the outputs of this name begin.
pub(super) fn output_offset(argument: &str, attributes: &Attributes) -> Option<usize> {
    let sparse = attributes.integer("num_sparse", attributes.integer("Nsparse", 0).ok()?).ok()?;
    let sparse = usize::try_from(sparse).ok()?;
    match argument {
        "sparse_indices" => Some(0),
        "sparse_values" => Some(sparse),
        "sparse_shapes" => Some(2 * sparse),
        "dense_values" => Some(3 * sparse),
        _ => None,
    }
}

/// A dense feature: its type and shape for one example.
struct Dense {
    dtype: DataType,
    shape: Vec<usize>,
    count: usize,
}

fn parse_example(attributes: &Attributes, second: bool) -> Result<Kernel, RunError> {
    let sparse = attributes.integer(if second { "num_sparse" } else { "Nsparse" }, 0)?;
    if sparse != 0 || !attributes.dtypes("ragged_value_types")?.is_empty() {
        let text = "only dense features are supported";
        return Err(RunError::new(StatusCode::Unimplemented, text));
    }
    let types = attributes.dtypes("Tdense")?;
    let shapes = attributes.shapes("dense_shapes")?;
    if shapes.len() != types.len() {
        return Err(RunError::invalid("len(dense_keys) != len(dense_shapes)"));
    }
    let mut features = Vec::new();
    for (dtype, shape) in types.into_iter().zip(shapes) {
        let known = shape.known().and_then(|shape| element_count(&shape).map(|count| (shape, count)));
        let (shape, count) = known.ok_or_else(|| {
            let text = "dense features of varying length are not supported";
            RunError::new(StatusCode::Unimplemented, text)
        })?;
        features.push(Dense { dtype, shape, count });
    }
    Ok(Box::new(move |inputs, _| parse(inputs, &features, second)))
}

/// The keys of the dense features, and where their default values begin among the inputs.
fn keys(inputs: &[Value], count: usize, second: bool) -> Result<(Vec<Vec<u8>>, usize), RunError> {
    if second {
        // serialized, names, sparse_keys, dense_keys, ragged_keys, dense_defaults...
        return match &input(inputs, 3)?.data {
            TensorData::String(keys) if keys.len() == count => Ok((keys.clone(), 5)),
            _ => Err(RunError::invalid("dense_keys does not have a key for each dense feature")),
        };
    }
    // serialized, names, dense_keys..., dense_defaults...
    let mut keys = Vec::new();
    for index in 0..count {
        match &input(inputs, index + 2)?.data {
            TensorData::String(key) if key.len() == 1 => keys.push(key[0].clone()),
            _ => return Err(RunError::invalid("a dense key must be a scalar string")),
        }
    }
    Ok((keys, count + 2))
}

fn parse(inputs: &mut [Value], features: &[Dense], second: bool) -> Result<Vec<Value>, RunError> {
    let serialized = input(inputs, 0)?;
    let TensorData::String(messages) = &serialized.data else {
        return Err(RunError::invalid("serialized must be strings"));
    };
    let (keys, defaults) = keys(inputs, features.len(), second)?;
    let mut columns = Vec::new();
    for feature in features {
        columns.push(zeros(feature.dtype, 0).ok_or_else(|| super::unsupported_type(feature.dtype))?);
    }
    for (number, message) in messages.iter().enumerate() {
        let example = Example::decode(message.as_slice()).map_err(|_| {
            RunError::invalid(format!("Could not parse example input, value: '{}'", String::from_utf8_lossy(message)))
        })?;
        let given = example.features.unwrap_or_default().feature;
        for (index, feature) in features.iter().enumerate() {
            let key = String::from_utf8_lossy(&keys[index]);
            let kind = given.get(key.as_ref()).and_then(|feature| feature.kind.as_ref());
            let wrong =
                |what: String| RunError::invalid(format!("Name: <unknown>, Key: {key}, Index: {number}.  {what}"));
            let count = |found: usize| {
                let text = format!(
                    "Number of {} values != expected.  Values size: {found} but output shape: {}",
                    feature.dtype.short_name(),
                    super::super::tensor::shape_text(&feature.shape)
                );
                if found == feature.count { Ok(()) } else { Err(wrong(text)) }
            };
            match (&mut columns[index], kind) {
                (TensorData::Float(column), Some(Kind::Floats(list))) => {
                    count(list.value.len())?;
                    column.extend(&list.value);
                }
                (TensorData::Int64(column), Some(Kind::Integers(list))) => {
                    count(list.value.len())?;
                    column.extend(&list.value);
                }
                (TensorData::String(column), Some(Kind::Bytes(list))) => {
                    count(list.value.len())?;
                    column.extend(list.value.iter().cloned());
                }
                (column, None) => {
                    let default = input(inputs, defaults + index)?;
                    if !append_default(column, default, feature.count) {
                        let text = format!(
                            "Feature: {key} (data type: {}) is required but could not be found.",
                            feature.dtype.short_name()
                        );
                        return Err(RunError::invalid(format!("Name: <unknown>, {text}")));
                    }
                }
                _ => {
                    let text = format!("Data types don't match. Expected type: {}", feature.dtype.short_name());
                    return Err(wrong(text));
                }
            }
        }
    }
    Ok(features
        .iter()
        .zip(columns)
        .map(|(feature, data)| {
            let mut shape = serialized.shape.clone();
            shape.extend(&feature.shape);
            Value::new(Tensor { shape, data })
        })
        .collect())
}

/// Adds the default value of a feature; an empty default means that the feature is required.
fn append_default(column: &mut TensorData, default: &Tensor, count: usize) -> bool {
    macro_rules! append {
        ($($kind:ident),+) => {
            match (column, &default.data) {
                $( (TensorData::$kind(column), TensorData::$kind(values)) if values.len() == count => {
                    column.extend(values.iter().cloned());
                    true
                }
                (TensorData::$kind(column), TensorData::$kind(values)) if values.len() == 1 => {
                    column.extend(std::iter::repeat_n(values[0].clone(), count));
                    true
                } )+
                _ => false,
            }
        };
    }
    append!(Float, Int64, String)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{attributes, floats, run_all};
    use super::*;
    use crate::savedmodel::proto::{TensorShapeProto, attr_value};

    fn strings(values: &[&[u8]]) -> Tensor {
        Tensor::new(&[values.len()], TensorData::String(values.iter().map(|value| value.to_vec()).collect())).unwrap()
    }

    fn example(values: &[f32]) -> Vec<u8> {
        let kind = Some(Kind::Floats(FloatList { value: values.to_vec() }));
        let feature = BTreeMap::from([("x".to_owned(), Feature { kind })]);
        Example { features: Some(Features { feature }) }.encode_to_vec()
    }

    fn list() -> [(&'static str, attr_value::Value); 2] {
        let types = attr_value::ListValue { r#type: vec![DataType::DtFloat as i32], ..Default::default() };
        let shapes = attr_value::ListValue { shape: vec![TensorShapeProto::of(&[2])], ..Default::default() };
        [
            ("Tdense", attr_value::Value::List(Box::new(types))),
            ("dense_shapes", attr_value::Value::List(Box::new(shapes))),
        ]
    }

    #[test]
    fn dense_features_become_columns() {
        let messages = [example(&[1.0, 2.0]), Example { features: None }.encode_to_vec()];
        let serialized = strings(&[&messages[0], &messages[1]]);
        let inputs =
            [serialized, strings(&[]), strings(&[]), strings(&[b"x"]), strings(&[]), floats(&[2], &[7.0, 8.0])];
        let expected = [floats(&[2, 2], &[1.0, 2.0, 7.0, 8.0])];
        assert_eq!(run_all("ParseExampleV2", &list(), &inputs).unwrap(), expected);
        let first = [inputs[0].clone(), strings(&[]), strings(&[b"x"]), inputs[5].clone()];
        assert_eq!(run_all("ParseExample", &list(), &first).unwrap(), expected);
        assert_eq!(output_offset("dense_values", &attributes(&[])), Some(0));
    }

    #[test]
    fn what_does_not_parse_is_named() {
        let of = |message: &[u8]| {
            let inputs =
                [strings(&[message]), strings(&[]), strings(&[]), strings(&[b"x"]), strings(&[]), floats(&[0], &[])];
            run_all("ParseExampleV2", &list(), &inputs).unwrap_err().message
        };
        assert_eq!(of(b"no"), "Could not parse example input, value: 'no'");
        let expected = "Name: <unknown>, Key: x, Index: 0.  Number of float values != expected.  Values size: 1 but output shape: [2]";
        assert_eq!(of(&example(&[1.0])), expected);
        assert_eq!(of(b""), "Name: <unknown>, Feature: x (data type: float) is required but could not be found.");
    }
}
