use regex::Regex;
use serde_json::{Map, Value};

/// One schema in the tree.
#[derive(Clone, Debug, Default)]
pub(in crate::objects) struct Node {
    pub(super) types: Vec<String>,
    pub(super) format: Option<String>,
    pub(super) nullable: bool,
    pub(super) properties: Vec<(String, Node)>,
    pub(super) additional: Additional,
    pub(super) required: Vec<String>,
    pub(super) min_properties: Option<i64>,
    pub(super) max_properties: Option<i64>,
    pub(in crate::objects) items: Option<Box<Node>>,
    pub(super) min_items: Option<i64>,
    pub(super) max_items: Option<i64>,
    pub(super) unique_items: bool,
    pub(super) values: Option<Vec<Value>>,
    pub(super) pattern: Option<Pattern>,
    pub(super) min_length: Option<i64>,
    pub(super) max_length: Option<i64>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
    pub(in crate::objects) default: Option<Value>,
    pub(super) preserve_unknown: bool,
    pub(super) embedded_resource: bool,
    /// `x-kubernetes-list-type`.
    pub(in crate::objects) list_type: Option<String>,
    /// `x-kubernetes-list-map-keys`.
    pub(in crate::objects) list_keys: Vec<String>,
    /// Whether `x-kubernetes-map-type` is `atomic`.
    pub(in crate::objects) atomic_map: bool,
}

/// What `additionalProperties` says.
#[derive(Clone, Debug, Default)]
pub(in crate::objects) enum Additional {
    /// Nothing: other keys are pruned, yet valid.
    #[default]
    Unsaid,
    /// Any value.
    Anything,
    /// No other keys.
    Forbidden,
    /// Values of this schema.
    Schema(Box<Node>),
}

/// A limit of a number.
#[derive(Clone, Copy, Debug)]
pub(in crate::objects) struct Bound {
    pub(super) limit: f64,
    pub(super) exclusive: bool,
}

/// A regular expression beside its text; one that cannot be read matches everything.
#[derive(Clone, Debug)]
pub(in crate::objects) struct Pattern {
    pub(super) text: String,
    pub(super) regex: Option<Regex>,
}

impl Node {
    pub(super) fn parse(schema: &Value) -> Self {
        let Value::Object(schema) = schema else { return Self::default() };
        let integer = |key: &str| schema.get(key).and_then(Value::as_i64);
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let nodes = |key: &str| -> Vec<Self> {
            schema.get(key).and_then(Value::as_array).into_iter().flatten().map(Self::parse).collect()
        };
        let boxed = |key: &str| schema.get(key).filter(|node| node.is_object()).map(|node| Box::new(Self::parse(node)));
        Self {
            types: texts(schema, "type"),
            format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
            nullable: flag("nullable"),
            properties: schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(key, node)| (key.clone(), Self::parse(node)))
                .collect(),
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Anything,
                Some(Value::Bool(false)) => Additional::Forbidden,
                Some(node @ Value::Object(_)) => Additional::Schema(Box::new(Self::parse(node))),
                _ => Additional::Unsaid,
            },
            required: texts(schema, "required"),
            min_properties: integer("minProperties"),
            max_properties: integer("maxProperties"),
            items: boxed("items"),
            min_items: integer("minItems"),
            max_items: integer("maxItems"),
            unique_items: flag("uniqueItems"),
            values: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern: schema
                .get("pattern")
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(|text| Pattern { text: text.to_owned(), regex: Regex::new(text).ok() }),
            min_length: integer("minLength"),
            max_length: integer("maxLength"),
            minimum: bound(schema, "minimum", "exclusiveMinimum"),
            maximum: bound(schema, "maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            all_of: nodes("allOf"),
            any_of: nodes("anyOf"),
            one_of: nodes("oneOf"),
            not: boxed("not"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            list_type: schema.get("x-kubernetes-list-type").and_then(Value::as_str).map(str::to_owned),
            list_keys: texts(schema, "x-kubernetes-list-map-keys"),
            atomic_map: schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
        }
    }

    /// The schema of a named property.
    pub(in crate::objects) fn property(&self, key: &str) -> Option<&Self> {
        self.properties.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The schema of a property, named or not.
    pub(in crate::objects) fn value_of(&self, key: &str) -> Option<&Self> {
        self.property(key).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        })
    }
}

fn texts(schema: &Map<String, Value>, key: &str) -> Vec<String> {
    match schema.get(key) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn bound(schema: &Map<String, Value>, limit: &str, exclusive: &str) -> Option<Bound> {
    let limit = schema.get(limit)?.as_f64()?;
    Some(Bound { limit, exclusive: schema.get(exclusive).and_then(Value::as_bool).unwrap_or_default() })
}
