//! Owner references as the controllers write and read them.

use serde_json::{Value, json};

use crate::objects::meta;

/// A reference that makes `owner` the controller of whatever carries it.
pub(crate) fn controller_reference(api_version: &str, kind: &str, owner: &Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Whether this very object, not a namesake, is the controller.
pub(crate) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    meta::is_controlled_by(object, meta::uid(owner))
}

/// The name of the controller, when it is of this kind.
pub(crate) fn controller_name<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    meta::controller_of(object).filter(|reference| reference["kind"] == *kind)?["name"].as_str()
}
