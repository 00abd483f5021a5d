use serde_json::{Map, Value};

use crate::objects::{FieldError, Gvk, meta, names};

/// One mebibyte: no ConfigMap or Secret may hold more.
const SIZE_LIMIT: usize = 1024 * 1024;

pub(super) fn validate_config_map(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    let binary = object.get("binaryData").and_then(Value::as_object);
    for (key, value) in entries(object, "data") {
        errors.extend(
            FieldError::invalid_texts(&format!("data[{key}]"), key, names::config_key(key)).collect::<Vec<_>>(),
        );
        if binary.is_some_and(|binary| binary.contains_key(key)) {
            errors.push(FieldError::invalid_text(
                format!("data[{key}]"),
                key,
                "duplicate of key present in binaryData",
            ));
        }
        size += value.as_str().unwrap_or_default().len();
    }
    for (key, value) in entries(object, "binaryData") {
        let field = format!("binaryData[{key}]");
        errors.extend(FieldError::invalid_texts(&field, key, names::config_key(key)).collect::<Vec<_>>());
        size += decoded_size(value);
    }
    if size > SIZE_LIMIT {
        errors.push(FieldError::too_long("[]", SIZE_LIMIT));
    }
    errors
}

pub(super) fn validate_secret(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        errors.extend(
            FieldError::invalid_texts(&format!("data[{key}]"), key, names::config_key(key)).collect::<Vec<_>>(),
        );
        size += decoded_size(value);
    }
    if size > SIZE_LIMIT {
        errors.push(FieldError::too_long("data", SIZE_LIMIT));
    }
    let required: &[&str] = match object.get("type").and_then(Value::as_str) {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        _ => &[],
    };
    for key in required.iter().filter(|key| meta::at(object, &["data", key]).is_none()) {
        errors.push(FieldError::required(format!("data[{key}]"), ""));
    }
    errors
}

/// Neither immutable contents nor a Secret's type can change.
pub(super) fn validate_update(gvk: &Gvk, new: &Value, old: &Value) -> Vec<FieldError> {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if gvk.kind == "Secret" && new.get("type") != old.get("type") {
        let kind = new.get("type").and_then(Value::as_str).unwrap_or_default();
        errors.push(FieldError::invalid_text("type", kind, "field is immutable"));
    }
    if old.get("immutable").and_then(Value::as_bool) == Some(true) {
        if new.get("immutable").and_then(Value::as_bool) != Some(true) {
            errors.push(FieldError::forbidden("immutable", DETAIL));
        }
        for field in ["data", "binaryData"] {
            if new.get(field) != old.get(field) {
                errors.push(FieldError::forbidden(field, DETAIL));
            }
        }
    }
    errors
}

/// An event lives in the namespace of what it is about.
pub(super) fn validate_event(object: &Value) -> Vec<FieldError> {
    let about = meta::text_at(object, &["involvedObject", "namespace"]).unwrap_or_default();
    let own = meta::namespace(object).unwrap_or_default();
    if about == own || (about.is_empty() && own == "default") {
        return Vec::new();
    }
    vec![FieldError::invalid_text("involvedObject.namespace", about, "does not match event.namespace")]
}

fn entries<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn decoded_size(value: &Value) -> usize {
    value.as_str().unwrap_or_default().trim_end_matches('=').len() * 3 / 4
}
