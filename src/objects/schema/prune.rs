use serde_json::Value;

use super::node::{Additional, Node};

/// Removes what the schema does not have. A `resource` keeps its type and metadata whatever the schema says.
pub(super) fn prune(node: &Node, value: &mut Value, resource: bool) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                if resource && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                if let Some(property) = node.property(key) {
                    prune(property, value, property.embedded_resource);
                    return true;
                }
                match &node.additional {
                    Additional::Schema(inner) => {
                        prune(inner, value, inner.embedded_resource);
                        true
                    }
                    Additional::Anything => true,
                    Additional::Unsaid | Additional::Forbidden => node.preserve_unknown,
                }
            });
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    prune(items, item, items.embedded_resource);
                }
            }
        }
        _ => {}
    }
}
