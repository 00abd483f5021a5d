use serde_json::Value;

use crate::objects::{FieldError, go_json, meta};

/// Judges changes of a pod: hardly anything in its spec may change.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for list in ["containers", "initContainers"] {
        if meta::list_at(new, &["spec", list]).len() != meta::list_at(old, &["spec", list]).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{list}"), detail));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in meta::list_at(new, &["spec", list]).iter().enumerate() {
            if meta::text_at(container, &["image"]).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("spec.{list}[{index}].image"), ""));
            }
        }
    }
    let (new_rest, old_rest) = (unchangeable(new), unchangeable(old));
    let tolerations_shrank = {
        let new = meta::list_at(new, &["spec", "tolerations"]);
        meta::list_at(old, &["spec", "tolerations"]).iter().any(|known| !new.contains(known))
    };
    if tolerations_shrank {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
    let mut changes = String::new();
    difference("spec", &old_rest, &new_rest, &mut changes);
    if !changes.is_empty() {
        let detail = format!(
            "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations) or `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n{changes}"
        );
        errors.push(FieldError::forbidden("spec", &detail));
    }
    errors
}

fn unchangeable(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            meta::remove_at(container, &["image"]);
        }
    }
    for key in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
        meta::remove_at(&mut spec, &[key]);
    }
    spec
}

/// Lists what differs, a line for the old value and one for the new. (The API server prints Go structures here.)
fn difference(path: &str, old: &Value, new: &Value, out: &mut String) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                difference(&format!("{path}.{key}"), value, new.get(key).unwrap_or(&Value::Null), out);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                difference(&format!("{path}.{key}"), &Value::Null, value, out);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                difference(&format!("{path}[{index}]"), old, new, out);
            }
        }
        (old, new) if old != new => {
            for (sign, value) in [('-', old), ('+', new)] {
                if !value.is_null() {
                    out.push_str(&format!("{sign} \t{path}: {}\n", go_json::to_string(value)));
                }
            }
        }
        _ => {}
    }
}
