use jiff::Timestamp;
use serde_json::Value;

use super::ColumnDefinition;
use super::age::since;
use super::columns::{creation_description, name_column};
use crate::objects::jsonpath::{JsonPath, Missing, value_text};
use crate::objects::meta;

/// The columns of a custom resource: its name, then what the CRD's `additionalPrinterColumns` say, or else its age.
#[derive(Clone, Debug)]
pub struct CustomColumns {
    columns: Vec<(ColumnDefinition, Option<JsonPath>)>,
}

impl CustomColumns {
    /// Reads a CRD version's `additionalPrinterColumns`; pass an empty list when there are none.
    pub fn parse(columns: &[Value]) -> Self {
        let text = |column: &Value, key: &str| meta::text_at(column, &[key]).unwrap_or_default().to_owned();
        let mut found: Vec<_> = columns
            .iter()
            .map(|column| {
                let path = text(column, "jsonPath");
                let mut description = text(column, "description");
                if description.is_empty() {
                    description = format!("Custom resource definition column (in JSONPath format): {path}");
                }
                let definition = ColumnDefinition {
                    name: text(column, "name"),
                    kind: text(column, "type"),
                    format: text(column, "format"),
                    description,
                    priority: meta::integer_at(column, &["priority"]).unwrap_or_default() as i32,
                };
                (definition, JsonPath::parse_path(&path).ok())
            })
            .collect();
        if found.is_empty() {
            let definition = ColumnDefinition {
                name: "Age".to_owned(),
                kind: "date".to_owned(),
                format: String::new(),
                description: creation_description().to_owned(),
                priority: 0,
            };
            found.push((definition, JsonPath::parse_path(".metadata.creationTimestamp").ok()));
        }
        Self { columns: found }
    }

    /// The columns, the name first.
    pub fn definitions(&self) -> Vec<ColumnDefinition> {
        let own = self.columns.iter().map(|(definition, _)| definition.clone());
        std::iter::once(name_column()).chain(own).collect()
    }

    /// An object's cells; what is missing is null.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let own = self.columns.iter().map(|(definition, path)| {
            let found = path.as_ref().and_then(|path| path.find(object, Missing::Nothing).ok()?.first().copied());
            found.map_or(Value::Null, |value| cell(&definition.kind, value, now))
        });
        std::iter::once(Value::from(meta::name(object))).chain(own).collect()
    }
}

fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", value) => value_text(value).into(),
        ("date", Value::String(text)) => match text.parse() {
            Ok(time) => since(Some(time), now).into(),
            Err(_) => "<invalid>".into(),
        },
        ("integer" | "number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        _ => Value::Null,
    }
}
