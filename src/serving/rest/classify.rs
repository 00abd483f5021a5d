//! The body of a classify or regress request, read into examples.

use bytes::Bytes;
use prost::Message as _;

use super::predict::{about_value, base64_text, decode_base64, parse_object, signature_name};
use crate::serving::json::{Kind, Value};
use crate::serving::proto::feature::{BytesList, FloatList, Int64List, Kind as List};
use crate::serving::proto::{Example, ExampleList, ExampleListWithContext, Feature, Features, Input, input};
use crate::serving::status::Status;

/// A request's signature name and its examples.
pub(super) struct ExamplesRequest {
    pub(super) signature_name: String,
    pub(super) input: Input,
}

/// Reads `{signature_name?, context?, examples: […]}`.
pub(super) fn read_examples(body: &[u8]) -> Result<ExamplesRequest, Status> {
    let document = parse_object(body)?;
    let root = document.root();
    let signature_name = signature_name(root)?;
    let context = root.member("context").map(encoded_example).transpose()?;
    let examples = root
        .member("examples")
        .ok_or_else(|| about_value(root, "When method is classify, key 'examples' is expected and was not found"))?;
    match examples.array_length() {
        None => return Err(about_value(root, "Expecting 'examples' value to be an list/array")),
        Some(0) => return Err(about_value(root, "'examples' value is an empty array")),
        Some(_) => {}
    }
    let examples = examples.elements().map(encoded_example).collect::<Result<Vec<_>, _>>()?;
    let kind = match context {
        None => input::Kind::ExampleList(ExampleList { examples }),
        context => input::Kind::ExampleListWithContext(ExampleListWithContext { examples, context }),
    };
    Ok(ExamplesRequest { signature_name, input: Input { kind: Some(kind) } })
}

fn encoded_example(value: Value<'_>) -> Result<Bytes, Status> {
    if !value.is_object() {
        let kind = value.kind().name();
        return Err(Status::invalid(format!("Example must be JSON object but got JSON {kind}")));
    }
    let mut features = Features::default();
    for (name, content) in value.members() {
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        let mut feature = Feature::default();
        if content.kind() == Kind::Array {
            for element in content.elements() {
                add_value(element, &name, &mut feature)?;
            }
        } else {
            add_value(content, &name, &mut feature)?;
        }
        features.feature.insert(name, feature);
    }
    Ok(Example { features: Some(features) }.encode_to_vec().into())
}

/// Adds a value to a feature, whose first value decides what kind of list it is.
fn add_value(value: Value<'_>, name: &str, feature: &mut Feature) -> Result<(), Status> {
    let unexpected = || {
        let kind = value.kind().name();
        Status::invalid(format!("Feature: {name} has element with unexpected JSON type: {kind}"))
    };
    match value.kind() {
        Kind::Null | Kind::Array => Err(unexpected()),
        Kind::True | Kind::False => add_integer(i64::from(value.kind() == Kind::True), name, feature),
        Kind::Object => {
            let text = base64_text(value).ok_or_else(unexpected)?;
            bytes_list(name, feature)?.push(decode_base64(text)?.into());
            Ok(())
        }
        Kind::String => {
            bytes_list(name, feature)?.push(Bytes::copy_from_slice(value.bytes().unwrap_or_default()));
            Ok(())
        }
        Kind::Number if value.is_double() => {
            let number = value.double().unwrap_or_default() as f32;
            match feature.kind.get_or_insert_with(|| List::FloatList(FloatList::default())) {
                List::FloatList(list) => list.value.push(number),
                other => return Err(incompatible(name, other)),
            }
            Ok(())
        }
        Kind::Number => {
            if let Some(other @ (List::BytesList(_) | List::FloatList(_))) = &feature.kind {
                return Err(incompatible(name, other));
            }
            let number = value.int64().ok_or_else(|| {
                Status::invalid(format!("Feature: {name} has uint64 element. Only int64 is supported."))
            })?;
            add_integer(number, name, feature)
        }
    }
}

fn add_integer(number: i64, name: &str, feature: &mut Feature) -> Result<(), Status> {
    match feature.kind.get_or_insert_with(|| List::Int64List(Int64List::default())) {
        List::Int64List(list) => list.value.push(number),
        other => return Err(incompatible(name, other)),
    }
    Ok(())
}

fn bytes_list<'a>(name: &str, feature: &'a mut Feature) -> Result<&'a mut Vec<Bytes>, Status> {
    match feature.kind.get_or_insert_with(|| List::BytesList(BytesList::default())) {
        List::BytesList(list) => Ok(&mut list.value),
        other => Err(incompatible(name, other)),
    }
}

fn incompatible(name: &str, list: &List) -> Status {
    let kind = match list {
        List::BytesList(_) => "bytes",
        List::FloatList(_) => "float",
        List::Int64List(_) => "int64",
    };
    Status::invalid(format!("Unexpected element type in feature: {name} expecting type: {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Example>, String> {
        let input = read_examples(body.as_bytes()).map_err(|error| error.text().into_owned())?.input;
        let Some(input::Kind::ExampleList(list)) = input.kind else { return Ok(Vec::new()) };
        Ok(list.examples.into_iter().map(|example| Example::decode(example).unwrap()).collect())
    }

    #[test]
    fn features_become_lists_of_one_kind() {
        let examples =
            read("{\"examples\": [{\"f\": 1.5, \"i\": [1, true], \"s\": {\"b64\": \"aGk=\"}, \"e\": []}]}").unwrap();
        let features = &examples[0].features.as_ref().unwrap().feature;
        assert_eq!(features["f"].kind, Some(List::FloatList(FloatList { value: vec![1.5] })));
        assert_eq!(features["i"].kind, Some(List::Int64List(Int64List { value: vec![1, 1] })));
        assert_eq!(features["s"].kind, Some(List::BytesList(BytesList { value: vec!["hi".into()] })));
        assert_eq!(features["e"].kind, None);
    }

    #[test]
    fn mixed_lists_and_other_mistakes_are_named() {
        let cases = [
            ("{\"examples\": [{\"f\": [1.5, 1]}]}", "Unexpected element type in feature: f expecting type: float"),
            ("{\"examples\": [{\"f\": [1, \"a\"]}]}", "Unexpected element type in feature: f expecting type: int64"),
            ("{\"examples\": [{\"f\": {\"x\": 1}}]}", "Feature: f has element with unexpected JSON type: Object"),
            ("{\"examples\": []}", "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
            ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body), Err(expected.to_owned()), "{body}");
        }
    }
}
