use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::{Value, json};

use super::objects::Ask;
use crate::embedded::api::status::Status;
use crate::objects::{FieldError, Gvk, table};

/// An object on its way out. Items of lists of built-in kinds do not repeat their kind.
pub(super) struct ObjectView<'a> {
    pub(super) object: &'a Value,
    pub(super) with_kind: bool,
}

impl<'a> ObjectView<'a> {
    pub(super) fn whole(object: &'a Value) -> Self {
        Self { object, with_kind: true }
    }
}

/// What comes first, for whoever reads the raw text.
const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];

impl Serialize for ObjectView<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(fields) = self.object.as_object() else { return self.object.serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for key in FIRST {
            if let Some(value) = fields.get(key).filter(|_| self.with_kind || key == "metadata") {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, value) in fields.iter().filter(|(key, _)| !FIRST.contains(&key.as_str())) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A list on its way out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListView<'a> {
    pub(super) kind: String,
    pub(super) api_version: String,
    pub(super) metadata: Value,
    pub(super) items: Vec<ObjectView<'a>>,
}

/// An object's metadata alone.
pub(super) fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"],
    })
}

/// The table that `kubectl get` prints of these objects. A watch names the columns in its first event only.
///
/// # Errors
/// 422 for an `includeObject` that does not exist.
pub(super) fn of<'a>(
    ask: &Ask<'_>,
    version: &str,
    objects: impl Iterator<Item = &'a Value>,
    with_columns: bool,
) -> Result<Value, Status> {
    let include = ask.exchange.parameter("includeObject").unwrap_or_default();
    let attach = |object: &Value| match include {
        "" | "Metadata" => Ok(metadata_only(object, version)),
        "Object" => Ok(object.clone()),
        "None" => Ok(Value::Null),
        other => {
            let error = FieldError::invalid_text("includeObject", other, "must be one of: [Metadata None Object]");
            Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "TableOptions"), "", &[error]))
        }
    };
    let now = jiff::Timestamp::now();
    let mut rows = Vec::new();
    for object in objects {
        rows.push(json!({"cells": cells(ask, object, now), "object": attach(object)?}));
    }
    let columns = if with_columns { columns(ask) } else { Value::Null };
    Ok(json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": {}, "columnDefinitions": columns,
        "rows": rows,
    }))
}

pub(super) fn with_metadata(mut table: Value, metadata: &Value) -> Value {
    table["metadata"] = metadata.clone();
    table
}

fn columns(ask: &Ask<'_>) -> Value {
    let custom = ask.resource.served(&ask.version).and_then(|version| version.columns.as_ref());
    let columns = custom.map_or_else(|| table::columns(&ask.gvk()), |columns| columns.definitions());
    json!(columns)
}

fn cells(ask: &Ask<'_>, object: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let custom = ask.resource.served(&ask.version).and_then(|version| version.columns.as_ref());
    custom.map_or_else(|| table::cells(&ask.gvk(), object, now), |columns| columns.cells(object, now))
}
