//! `saved_model.pbtxt`: the model file in protocol buffers' text format, turned into the bytes of `saved_model.pb`.
//!
//! The text is read into a tree without a schema; the tables here say which field of which message has which number and
//! kind. They list what [`super::proto`] knows of; like its decoder, they leave out what serving has no use for.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::proto::DataType;
use super::text_format::{Field, FieldValue, parse};

/// What a field holds.
enum Kind {
    /// Any integer or flag.
    Number,
    Float,
    Double,
    /// A string, or bytes.
    Bytes,
    /// An element type by name or number.
    Type,
    /// Another enumeration, by the names of its values.
    Named(&'static [(&'static str, i64)]),
    Message(&'static Schema),
}

use Kind::{Bytes, Double, Float, Message, Named, Number, Type};

/// The fields of a message: name, number, kind.
struct Schema(&'static [(&'static str, u32, Kind)]);

static SAVED_MODEL: Schema =
    Schema(&[("saved_model_schema_version", 1, Number), ("meta_graphs", 2, Message(&META_GRAPH))]);
static META_GRAPH: Schema = Schema(&[
    ("meta_info_def", 1, Message(&META_INFO)),
    ("graph_def", 2, Message(&GRAPH)),
    ("saver_def", 3, Message(&SAVER)),
    ("collection_def", 4, Message(&COLLECTION_ENTRY)),
    ("signature_def", 5, Message(&SIGNATURE_ENTRY)),
    ("asset_file_def", 6, Message(&ASSET)),
]);
static META_INFO: Schema = Schema(&[
    ("meta_graph_version", 1, Bytes),
    ("tags", 4, Bytes),
    ("tensorflow_version", 5, Bytes),
    ("tensorflow_git_version", 6, Bytes),
    ("stripped_default_attrs", 7, Number),
]);
static COLLECTION_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Message(&COLLECTION))]);
static COLLECTION: Schema = Schema(&[("node_list", 1, Message(&VALUES)), ("bytes_list", 2, Message(&VALUES))]);
static VALUES: Schema = Schema(&[("value", 1, Bytes)]);
static SAVER: Schema = Schema(&[
    ("filename_tensor_name", 1, Bytes),
    ("save_tensor_name", 2, Bytes),
    ("restore_op_name", 3, Bytes),
    ("max_to_keep", 4, Number),
    ("sharded", 5, Number),
    ("keep_checkpoint_every_n_hours", 6, Float),
    ("version", 7, Named(&[("LEGACY", 0), ("V1", 1), ("V2", 2)])),
]);
static SIGNATURE_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Message(&SIGNATURE))]);
static SIGNATURE: Schema = Schema(&[
    ("inputs", 1, Message(&INFO_ENTRY)),
    ("outputs", 2, Message(&INFO_ENTRY)),
    ("method_name", 3, Bytes),
    ("defaults", 4, Message(&TENSOR_ENTRY)),
]);
static TENSOR_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Message(&TENSOR))]);
static INFO_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Message(&INFO))]);
static INFO: Schema = Schema(&[
    ("name", 1, Bytes),
    ("dtype", 2, Type),
    ("tensor_shape", 3, Message(&SHAPE)),
    ("coo_sparse", 4, Message(&SPARSE)),
]);
static SPARSE: Schema = Schema(&[
    ("values_tensor_name", 1, Bytes),
    ("indices_tensor_name", 2, Bytes),
    ("dense_shape_tensor_name", 3, Bytes),
]);
static ASSET: Schema = Schema(&[("tensor_info", 1, Message(&INFO)), ("filename", 2, Bytes)]);
static GRAPH: Schema =
    Schema(&[("node", 1, Message(&NODE)), ("library", 2, Message(&LIBRARY)), ("versions", 4, Message(&VERSIONS))]);
static VERSIONS: Schema = Schema(&[("producer", 1, Number), ("min_consumer", 2, Number), ("bad_consumers", 3, Number)]);
static NODE: Schema = Schema(&[
    ("name", 1, Bytes),
    ("op", 2, Bytes),
    ("input", 3, Bytes),
    ("device", 4, Bytes),
    ("attr", 5, Message(&ATTR_ENTRY)),
]);
static ATTR_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Message(&ATTR))]);
static ATTR: Schema = Schema(&[
    ("list", 1, Message(&LIST)),
    ("s", 2, Bytes),
    ("i", 3, Number),
    ("f", 4, Float),
    ("b", 5, Number),
    ("type", 6, Type),
    ("shape", 7, Message(&SHAPE)),
    ("tensor", 8, Message(&TENSOR)),
    ("placeholder", 9, Bytes),
    ("func", 10, Message(&FUNC)),
]);
static LIST: Schema = Schema(&[
    ("s", 2, Bytes),
    ("i", 3, Number),
    ("f", 4, Float),
    ("b", 5, Number),
    ("type", 6, Type),
    ("shape", 7, Message(&SHAPE)),
    ("tensor", 8, Message(&TENSOR)),
    ("func", 9, Message(&FUNC)),
]);
static FUNC: Schema = Schema(&[("name", 1, Bytes), ("attr", 2, Message(&ATTR_ENTRY))]);
static LIBRARY: Schema = Schema(&[("function", 1, Message(&FUNCTION))]);
static FUNCTION: Schema = Schema(&[
    ("signature", 1, Message(&OP)),
    ("node_def", 3, Message(&NODE)),
    ("ret", 4, Message(&NAME_ENTRY)),
    ("attr", 5, Message(&ATTR_ENTRY)),
    ("control_ret", 6, Message(&NAME_ENTRY)),
]);
static NAME_ENTRY: Schema = Schema(&[("key", 1, Bytes), ("value", 2, Bytes)]);
static OP: Schema = Schema(&[
    ("name", 1, Bytes),
    ("input_arg", 2, Message(&ARG)),
    ("output_arg", 3, Message(&ARG)),
    ("attr", 4, Message(&ATTR_DEF)),
    ("is_stateful", 17, Number),
    ("control_output", 20, Bytes),
]);
static ARG: Schema = Schema(&[
    ("name", 1, Bytes),
    ("type", 3, Type),
    ("type_attr", 4, Bytes),
    ("number_attr", 5, Bytes),
    ("type_list_attr", 6, Bytes),
]);
static ATTR_DEF: Schema = Schema(&[("name", 1, Bytes), ("type", 2, Bytes), ("default_value", 3, Message(&ATTR))]);
static SHAPE: Schema = Schema(&[("dim", 2, Message(&DIM)), ("unknown_rank", 3, Number)]);
static DIM: Schema = Schema(&[("size", 1, Number), ("name", 2, Bytes)]);
static TENSOR: Schema = Schema(&[
    ("dtype", 1, Type),
    ("tensor_shape", 2, Message(&SHAPE)),
    ("version_number", 3, Number),
    ("tensor_content", 4, Bytes),
    ("float_val", 5, Float),
    ("double_val", 6, Double),
    ("int_val", 7, Number),
    ("string_val", 8, Bytes),
    ("scomplex_val", 9, Float),
    ("int64_val", 10, Number),
    ("bool_val", 11, Number),
    ("dcomplex_val", 12, Double),
    ("half_val", 13, Number),
    ("uint32_val", 16, Number),
    ("uint64_val", 17, Number),
]);

/// The bytes of a `SavedModel` message in text format; `None` when it is not one.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(text.len() / 2);
    encode_message(&parse(text)?, &SAVED_MODEL, &mut encoded)?;
    Some(encoded)
}

fn encode_message(fields: &[Field], schema: &Schema, target: &mut Vec<u8>) -> Option<()> {
    for field in fields {
        let known = schema.0.iter().find(|(name, _, _)| *name == field.name);
        if let Some((_, number, kind)) = known {
            encode_field(&field.value, *number, kind, target)?;
        }
    }
    Some(())
}

fn encode_field(value: &FieldValue, number: u32, kind: &Kind, target: &mut Vec<u8>) -> Option<()> {
    let mut with_length = |bytes: &[u8]| {
        encode_key(number, WireType::LengthDelimited, target);
        encode_varint(bytes.len() as u64, target);
        target.extend_from_slice(bytes);
    };
    match (kind, value) {
        (Message(schema), FieldValue::Message(fields)) => {
            let mut inner = Vec::new();
            encode_message(fields, schema, &mut inner)?;
            with_length(&inner);
        }
        (Bytes, FieldValue::Text(bytes)) => with_length(bytes),
        (Float, FieldValue::Word(word)) => {
            encode_key(number, WireType::ThirtyTwoBit, target);
            target.extend_from_slice(&real(word)?.to_le_bytes());
        }
        (Double, FieldValue::Word(word)) => {
            encode_key(number, WireType::SixtyFourBit, target);
            target.extend_from_slice(&word.parse::<f64>().ok()?.to_le_bytes());
        }
        (Number | Type | Named(_), FieldValue::Word(word)) => {
            let value = match kind {
                Type => element_type(word).or_else(|| integer(word))?,
                Named(names) => {
                    names.iter().find(|(name, _)| name == word).map(|(_, value)| *value).or_else(|| integer(word))?
                }
                _ => integer(word)?,
            };
            encode_key(number, WireType::Varint, target);
            encode_varint(value as u64, target);
        }
        _ => return None,
    }
    Some(())
}

/// A 32-bit float, which may carry C's suffix.
fn real(word: &str) -> Option<f32> {
    word.parse().or_else(|_| word.trim_end_matches(['f', 'F']).parse()).ok()
}

/// An integer of 64 bits with or without a sign, or a flag.
fn integer(word: &str) -> Option<i64> {
    match word {
        "true" | "True" | "t" => Some(1),
        "false" | "False" | "f" => Some(0),
        _ => match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as i64),
            None => word.parse::<i64>().ok().or_else(|| word.parse::<u64>().ok().map(|value| value as i64)),
        },
    }
}

/// `DT_FLOAT`, or `DT_FLOAT_REF`, whose number is larger by 100.
fn element_type(word: &str) -> Option<i64> {
    let (name, offset) = word.strip_suffix("_REF").map_or((word, 0), |name| (name, 100));
    (0..=23)
        .filter_map(|number| DataType::try_from(number).ok())
        .find(|dtype| dtype.proto_name() == name)
        .map(|dtype| dtype as i64 + offset)
}

#[cfg(test)]
mod tests {
    use super::super::proto::{SavedModel, attr_value};
    use super::*;
    use prost::Message as _;

    #[test]
    fn a_model_in_text_form_is_the_model() {
        let text = r#"
            saved_model_schema_version: 1
            meta_graphs {
              meta_info_def { tags: "serve" stripped_op_list { op { name: "Const" } } }
              graph_def {
                node {
                  name: "c" op: "Const"
                  attr { key: "dtype" value { type: DT_FLOAT } }
                  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 2 } }
                    float_val: -1.5 float_val: inf tensor_content: "\000\377\x41\n" } } }
                  attr { key: "l" value { list { i: [1, -2] b: true } } }
                  attr { key: "r" value { type: DT_INT32_REF } }
                }
                versions { producer: 716 }
              }
              saver_def { version: V2 }
            }"#;
        let model = SavedModel::decode(&encode(text).unwrap()[..]).unwrap();
        let meta_graph = &model.meta_graphs[0];
        assert_eq!(meta_graph.meta_info_def.as_ref().unwrap().tags, ["serve"]);
        assert_eq!(meta_graph.saver_def.as_ref().unwrap().version, 2);
        let node = &meta_graph.graph_def.as_ref().unwrap().node[0];
        let value = |name: &str| node.attr[name].value.clone().unwrap();
        let attr_value::Value::Tensor(tensor) = value("value") else { panic!() };
        assert_eq!((tensor.float_val, &tensor.tensor_content[..]), (vec![-1.5, f32::INFINITY], &b"\0\xFFA\n"[..]));
        assert_eq!(value("r"), attr_value::Value::Type(103));
        let attr_value::Value::List(list) = value("l") else { panic!() };
        assert_eq!((list.i, list.b), (vec![1, -2], vec![true]));
    }

    #[test]
    fn other_texts_are_not_models() {
        for text in
            ["meta_graphs: 1", "saved_model_schema_version: x", "meta_graphs {", "saved_model_schema_version { }"]
        {
            assert_eq!(encode(text), None, "{text}");
        }
    }
}
