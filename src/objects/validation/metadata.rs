use serde_json::{Map, Value};

use super::NameRule;
use super::go_values::string_list;
use crate::objects::{FieldError, meta, names};

/// Judges `metadata` of a new object. Whether the kind has namespaces is `None` for custom resources, whose caller knows.
pub(super) fn validate(object: &Value, namespaced: Option<bool>, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(prefix) = meta::generate_name(object) {
        // Random characters follow, so a dash at the end is fine.
        let prefix_checked = match prefix.strip_suffix('-') {
            Some(short) if !short.is_empty() => format!("{short}a"),
            _ => prefix.to_owned(),
        };
        errors.extend(FieldError::invalid_texts("metadata.generateName", prefix, rule(&prefix_checked)));
    }
    let name = meta::name(object);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(FieldError::invalid_texts("metadata.name", name, rule(name)));
    }
    match (namespaced, meta::namespace(object)) {
        (Some(true), None) => errors.push(FieldError::required("metadata.namespace", "")),
        (Some(true), Some(namespace)) => {
            errors.extend(FieldError::invalid_texts("metadata.namespace", namespace, names::dns_label(namespace)));
        }
        (Some(false), Some(_)) => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
        _ => {}
    }
    errors.extend(validate_freely_changed(object));
    errors
}

/// Judges what changed in `metadata`.
pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, field) in [("name", "metadata.name"), ("namespace", "metadata.namespace"), ("uid", "metadata.uid")] {
        let value = |object| meta::text_at(object, &["metadata", key]).unwrap_or_default();
        if value(new) != value(old) {
            errors.push(FieldError::invalid_text(field, value(new), "field is immutable"));
        }
    }
    if meta::is_terminating(old) {
        let known: Vec<&str> = meta::finalizers(old).collect();
        let mut added: Vec<&str> = meta::finalizers(new).filter(|finalizer| !known.contains(finalizer)).collect();
        added.sort_unstable();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                string_list(added.into_iter())
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &detail));
        }
    }
    errors.extend(validate_freely_changed(new));
    errors
}

fn validate_freely_changed(object: &Value) -> Vec<FieldError> {
    let mut errors = validate_labels(meta::labels(object), "metadata.labels");
    let annotations = meta::at(object, &["metadata", "annotations"]).and_then(Value::as_object);
    errors.extend(validate_annotations(annotations, "metadata.annotations"));
    for (index, owner) in meta::owner_references(object).iter().enumerate() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(key).and_then(Value::as_str).unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences[{index}].{key}");
                let detail = if key == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                errors.push(FieldError::invalid_text(field, "", detail));
            }
        }
    }
    for (index, finalizer) in meta::finalizers(object).enumerate() {
        let field = format!("metadata.finalizers[{index}]");
        errors
            .extend(FieldError::invalid_texts(&field, finalizer, names::qualified_name(finalizer)).collect::<Vec<_>>());
    }
    errors
}

/// Judges keys and values of labels; both are complained about under the map's path.
pub(super) fn validate_labels(labels: Option<&Map<String, Value>>, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(FieldError::invalid_texts(field, key, names::qualified_name(key)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(FieldError::invalid_texts(field, value, names::label_value(value)));
    }
    errors
}

/// Judges keys of annotations, in which capitals count as small letters, and their size.
pub(super) fn validate_annotations(annotations: Option<&Map<String, Value>>, field: &str) -> Vec<FieldError> {
    const LIMIT: usize = 256 * 1024;
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        errors.extend(FieldError::invalid_texts(field, key, names::qualified_name(&key.to_lowercase())));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > LIMIT {
        errors.push(FieldError::too_long(field, LIMIT));
    }
    errors
}
