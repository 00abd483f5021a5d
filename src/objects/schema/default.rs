use serde_json::Value;

use super::node::Node;

/// Removes nulls from fields that are not nullable and have no default; list items stay, and fail validation.
pub(super) fn drop_nulls(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            let Some(inner) = node.value_of(key) else { return true };
            if value.is_null() && !inner.nullable && inner.default.is_none() {
                return false;
            }
            drop_nulls(inner, value);
            true
        }),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    drop_nulls(items, item);
                }
            }
        }
        _ => {}
    }
}

/// Fills defaults in where the parent is there and the field is absent, or null without being nullable.
pub(super) fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                match map.get_mut(key) {
                    None => {
                        map.insert(key.clone(), default.clone());
                    }
                    Some(value) => replace_null(property, value),
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(inner) = node.value_of(key) {
                    replace_null(inner, value);
                    fill(inner, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    replace_null(items, item);
                    fill(items, item);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(node: &Node, value: &mut Value) {
    if let Some(default) = node.default.as_ref().filter(|_| value.is_null() && !node.nullable) {
        *value = default.clone();
    }
}
