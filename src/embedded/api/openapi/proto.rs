//! OpenAPI v2 in protocol buffers: the messages of gnostic's `openapi.v2` package, as far as the documents use them.
//! Field numbers are those of its `OpenAPIv2.proto`.

use prost::Message;
use serde_json::{Map, Value};

/// Encodes a document that was made as JSON.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let info = &document["info"];
    let message = Document {
        swagger: text(&document["swagger"]),
        info: Some(Info { title: text(&info["title"]), version: text(&info["version"]) }),
        paths: Some(Paths {
            path: entries(&document["paths"])
                .map(|(name, path)| NamedPathItem { name: name.clone(), value: Some(path_item(path)) })
                .collect(),
        }),
        definitions: Some(Definitions { additional_properties: named_schemas(&document["definitions"]) }),
    };
    message.encode_to_vec()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn named_schemas(value: &Value) -> Vec<NamedSchema> {
    entries(value).map(|(name, value)| NamedSchema { name: name.clone(), value: Some(schema(value)) }).collect()
}

/// What begins with `x-` has no field of its own and travels as text. JSON is YAML, so the text is JSON.
fn extensions(value: &Value) -> Vec<NamedAny> {
    entries(value)
        .filter(|(name, _)| name.starts_with("x-"))
        .map(|(name, value)| NamedAny { name: name.clone(), value: Some(any(value)) })
        .collect()
}

fn any(value: &Value) -> Any {
    Any { yaml: value.to_string() }
}

fn path_item(path: &Value) -> PathItem {
    let method = |name: &str| path.get(name).map(operation);
    PathItem {
        get: method("get"),
        put: method("put"),
        post: method("post"),
        delete: method("delete"),
        patch: method("patch"),
        parameters: parameters(&path["parameters"]),
    }
}

fn operation(operation: &Value) -> Operation {
    Operation {
        description: text(&operation["description"]),
        parameters: parameters(&operation["parameters"]),
        responses: Some(Responses {
            response_code: entries(&operation["responses"])
                .map(|(name, response)| NamedResponseValue {
                    name: name.clone(),
                    value: Some(ResponseValue {
                        response: Some(Response {
                            description: text(&response["description"]),
                            schema: Some(SchemaItem { schema: Some(schema(&response["schema"])) }),
                        }),
                    }),
                })
                .collect(),
        }),
        vendor_extension: extensions(operation),
    }
}

fn parameters(list: &Value) -> Vec<ParametersItem> {
    list.as_array().into_iter().flatten().map(parameter).collect()
}

fn parameter(parameter: &Value) -> ParametersItem {
    let required = parameter["required"].as_bool().unwrap_or(false);
    let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
    let description = text(&parameter["description"]);
    let kind = text(&parameter["type"]);
    let parameter = match place.as_str() {
        "body" => parameter::Place::Body(Box::new(BodyParameter {
            description,
            name,
            r#in: place,
            required,
            schema: Some(schema(&parameter["schema"])),
        })),
        "path" => parameter::Place::NonBody(NonBodyParameter {
            place: Some(non_body_parameter::Place::Path(PathParameter {
                required,
                r#in: place,
                description,
                name,
                kind,
            })),
        }),
        _ => parameter::Place::NonBody(NonBodyParameter {
            place: Some(non_body_parameter::Place::Query(QueryParameter {
                required,
                r#in: place,
                description,
                name,
                kind,
            })),
        }),
    };
    ParametersItem { parameter: Some(Parameter { place: Some(parameter) }) }
}

fn schema(value: &Value) -> Schema {
    let number = |key: &str| value[key].as_f64().unwrap_or(0.0);
    let count = |key: &str| value[key].as_i64().unwrap_or(0);
    let flag = |key: &str| value[key].as_bool().unwrap_or(false);
    let additional = &value["additionalProperties"];
    let additional_properties = match additional {
        Value::Object(_) => Some(additional_properties_item::Item::Schema(Box::new(schema(additional)))),
        Value::Bool(allowed) => Some(additional_properties_item::Item::Boolean(*allowed)),
        _ => None,
    };
    let types = match &value["type"] {
        Value::String(kind) => vec![kind.clone()],
        list => texts(list),
    };
    Schema {
        reference: text(&value["$ref"]),
        format: text(&value["format"]),
        description: text(&value["description"]),
        default: value.get("default").map(any),
        maximum: number("maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        pattern: text(&value["pattern"]),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        unique_items: flag("uniqueItems"),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        required: texts(&value["required"]),
        allowed: value["enum"].as_array().into_iter().flatten().map(any).collect(),
        additional_properties: additional_properties
            .map(|item| Box::new(AdditionalPropertiesItem { item: Some(item) })),
        types: (!types.is_empty()).then_some(TypeItem { value: types }),
        items: value.get("items").map(|items| Box::new(ItemsItem { schema: vec![schema(items)] })),
        properties: value
            .get("properties")
            .map(|properties| Properties { additional_properties: named_schemas(properties) }),
        vendor_extension: extensions(value),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<Definitions>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, tag = "3")]
    description: String,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(oneof = "parameter::Place", tags = "1, 2")]
    place: Option<parameter::Place>,
}

mod parameter {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Place {
        #[prost(message, tag = "1")]
        Body(Box<super::BodyParameter>),
        #[prost(message, tag = "2")]
        NonBody(super::NonBodyParameter),
    }
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    r#in: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(oneof = "non_body_parameter::Place", tags = "3, 4")]
    place: Option<non_body_parameter::Place>,
}

mod non_body_parameter {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Place {
        #[prost(message, tag = "3")]
        Query(super::QueryParameter),
        #[prost(message, tag = "4")]
        Path(super::PathParameter),
    }
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponseValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Definitions {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct Properties {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypeItem {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ItemsItem {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalPropertiesItem {
    #[prost(oneof = "additional_properties_item::Item", tags = "1, 2")]
    item: Option<additional_properties_item::Item>,
}

mod additional_properties_item {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Item {
        #[prost(message, tag = "1")]
        Schema(Box<super::Schema>),
        #[prost(bool, tag = "2")]
        Boolean(bool),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(message, optional, tag = "5")]
    default: Option<Any>,
    #[prost(double, tag = "7")]
    maximum: f64,
    #[prost(bool, tag = "8")]
    exclusive_maximum: bool,
    #[prost(double, tag = "9")]
    minimum: f64,
    #[prost(bool, tag = "10")]
    exclusive_minimum: bool,
    #[prost(int64, tag = "11")]
    max_length: i64,
    #[prost(int64, tag = "12")]
    min_length: i64,
    #[prost(string, tag = "13")]
    pattern: String,
    #[prost(int64, tag = "14")]
    max_items: i64,
    #[prost(int64, tag = "15")]
    min_items: i64,
    #[prost(bool, tag = "16")]
    unique_items: bool,
    #[prost(int64, tag = "17")]
    max_properties: i64,
    #[prost(int64, tag = "18")]
    min_properties: i64,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    allowed: Vec<Any>,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalPropertiesItem>>,
    #[prost(message, optional, tag = "22")]
    types: Option<TypeItem>,
    #[prost(message, optional, boxed, tag = "23")]
    items: Option<Box<ItemsItem>>,
    #[prost(message, optional, tag = "25")]
    properties: Option<Properties>,
    #[prost(message, repeated, tag = "31")]
    vendor_extension: Vec<NamedAny>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::api::catalog::Catalog;
    use crate::embedded::api::openapi::v2;

    #[test]
    fn the_whole_document_survives_the_wire() {
        let document = v2::document(&Catalog::new([]), &[]);
        let message = Document::decode(encode(&document).as_slice()).expect("decodes");
        let schemas = message.definitions.expect("there").additional_properties;
        assert_eq!(schemas.len(), document["definitions"].as_object().map_or(0, Map::len));
        let deployment = schemas.iter().find(|schema| schema.name == "io.k8s.api.apps.v1.Deployment").expect("there");
        let deployment = deployment.value.as_ref().expect("there");
        assert_eq!(deployment.vendor_extension[0].name, "x-kubernetes-group-version-kind");
        assert_eq!(deployment.properties.as_ref().map_or(0, |fields| fields.additional_properties.len()), 5);
        let paths = message.paths.expect("there").path;
        let one = paths.iter().find(|path| path.name == "/api/v1/namespaces/{namespace}/pods/{name}").expect("there");
        let patch = one.value.as_ref().and_then(|path| path.patch.as_ref()).expect("there");
        assert!(patch.vendor_extension.iter().any(|extension| extension.name == "x-kubernetes-group-version-kind"));
    }
}
