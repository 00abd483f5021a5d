//! From what a client sends to what is stored: kind, version, defaults and validation, as the kind's schema has them.

use serde_json::Value;

use super::convert;
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::objects::FieldError;
use crate::objects::defaults::apply_defaults;
use crate::objects::schemas::TypeRef;
use crate::objects::validation::{validate_create, validate_update};

/// Levels of nesting that an object may have; the JSON reader refuses 128.
const DEEPEST: usize = 100;

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
    fields.insert("kind".to_owned(), storage.kind.into());
    let version = if version.is_empty() { storage.version } else { version.to_owned() };
    convert::from_version(resource, &version, object);
    Ok(())
}

/// Drops what the kind does not know and fills in its defaults.
pub(super) fn normalize(resource: &Resource, object: &mut Value) {
    let gvk = resource.storage_gvk();
    if let Some(schema) = &resource.versions[resource.storage].schema {
        schema.prune(object);
        schema.default(object);
    } else if let Some(kind) = TypeRef::of(&gvk) {
        keep_known(kind, object);
    }
    apply_defaults(&gvk, object);
}

/// Drops unknown fields and nulls, as decoding into Go's types does.
fn keep_known(place: TypeRef, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let next = |key: &str| place.property(key).or_else(|| place.map_values());
            let free = !place.has_properties();
            fields.retain(|key, value| !value.is_null() && (free || next(key).is_some()));
            for (key, value) in fields.iter_mut() {
                if let Some(place) = next(key) {
                    keep_known(place, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(place) = place.items() {
                for item in items {
                    keep_known(place, item);
                }
            }
        }
        _ => {}
    }
}

/// What is wrong with a new object.
pub(super) fn validate_creation(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = validate_create(&resource.storage_gvk(), object);
    if let Some(schema) = &resource.versions[resource.storage].schema {
        errors.extend(schema.validate(object));
    }
    errors
}

/// What is wrong with a changed object.
pub(super) fn validate_change(resource: &Resource, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = validate_update(&resource.storage_gvk(), new, old);
    if let Some(schema) = &resource.versions[resource.storage].schema {
        errors.extend(schema.validate(new));
    }
    errors
}

/// Refuses what is nested so deeply that it could not be read again.
pub(super) fn check_depth(object: &Value) -> Result<(), Status> {
    fn fits(value: &Value, left: usize) -> bool {
        match value {
            Value::Object(fields) => left > 0 && fields.values().all(|value| fits(value, left - 1)),
            Value::Array(items) => left > 0 && items.iter().all(|item| fits(item, left - 1)),
            _ => true,
        }
    }
    if fits(object, DEEPEST) { Ok(()) } else { Err(Status::bad_request("exceeded max depth")) }
}
