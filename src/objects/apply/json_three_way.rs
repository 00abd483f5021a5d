use serde_json::{Map, Value};

use super::ApplyError;
use crate::objects::go_json;
use crate::objects::merge::create_json_merge_patch;

/// The three-way JSON merge patch: changes from `current` to `modified`, removals from `original` to `modified`.
pub(super) fn patch(original: &Value, modified: &Value, current: &Value) -> Result<Value, ApplyError> {
    let changes = filter(&create_json_merge_patch(current, modified), Keep::Changes);
    let mut patch = filter(&create_json_merge_patch(original, modified), Keep::Removals);
    if conflict(&Value::Object(changes.clone()), &Value::Object(patch.clone())) {
        return Err(ApplyError::Conflict {
            patch: go_json::to_string(&Value::Object(changes)),
            changes: go_json::to_string(&Value::Object(patch)),
        });
    }
    combine(&mut patch, changes);
    Ok(Value::Object(patch))
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Changes,
    Removals,
}

/// Keeps one half of a merge patch. Objects that become empty on the way go; an object that was empty is a value.
fn filter(patch: &Value, keep: Keep) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in patch.as_object().into_iter().flatten() {
        match value {
            Value::Null if keep == Keep::Removals => {
                kept.insert(key.clone(), Value::Null);
            }
            Value::Object(inner) if !inner.is_empty() => {
                let inner = filter(value, keep);
                if !inner.is_empty() {
                    kept.insert(key.clone(), Value::Object(inner));
                }
            }
            Value::Null => {}
            _ if keep == Keep::Changes => {
                kept.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    kept
}

/// Whether both say something else about the same field.
fn conflict(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().any(|(key, value)| other.get(key).is_some_and(|other| conflict(value, other)))
        }
        (one, other) => one != other,
    }
}

/// Adds the changes to the removals; nulls of the removals stay.
fn combine(patch: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (key, value) in changes {
        match (patch.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(changes)) => combine(inner, changes),
            (_, value) => {
                patch.insert(key, value);
            }
        }
    }
}
