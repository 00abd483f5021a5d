use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use crate::objects::go_json;

/// One step of a path into an object.
#[derive(Clone, Debug)]
pub enum Element {
    /// A key of an object.
    Field(String),
    /// The item of a list whose keys have these values, sorted by key.
    Keys(Vec<(String, Value)>),
    /// A value of a set.
    Value(Value),
    /// A place in a list; only read, never made here.
    Index(i64),
}

impl Element {
    /// Reads a key of `FieldsV1`, such as `f:spec` or `k:{"name":"a"}`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut keys: Vec<(String, Value)> = keys.into_iter().collect();
                keys.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Keys(keys)
            }
            "v" => Self::Value(serde_json::from_str(rest).ok()?),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    /// The key in `FieldsV1`.
    pub(super) fn to_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Keys(keys) => {
                format!("k:{}", go_json::to_string(&Value::Object(keys.iter().cloned().collect())))
            }
            Self::Value(value) => format!("v:{}", go_json::to_string(value)),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Keys(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

/// As conflicts name a step: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(out, ".{name}"),
            Self::Keys(keys) => {
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={}", scalar(value))).collect();
                write!(out, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(out, "[={}]", scalar(value)),
            Self::Index(index) => write!(out, "[{index}]"),
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => crate::objects::names::quote(text),
        other => other.to_string(),
    }
}

fn compare_values(one: &Value, other: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            one.total_cmp(&other)
        }
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)).then_with(|| one.to_string().cmp(&other.to_string())),
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(one), Self::Field(other)) => one.cmp(other),
            (Self::Keys(one), Self::Keys(other)) => {
                for ((name, value), (other_name, other_value)) in one.iter().zip(other) {
                    let order = name.cmp(other_name).then_with(|| compare_values(value, other_value));
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                one.len().cmp(&other.len())
            }
            (Self::Value(one), Self::Value(other)) => compare_values(one, other),
            (Self::Index(one), Self::Index(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element {}
