use std::collections::HashSet;

use serde_json::Value;

use super::container::validate_container;
use super::metadata::validate_labels;
use super::volume::validate_volumes;
use crate::objects::{FieldError, meta, names};

const DNS: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Judges a pod's spec, on its own or inside a template.
pub(super) fn validate_spec(spec: &Value, field: &str) -> Vec<FieldError> {
    let (volumes, mut errors) = validate_volumes(meta::list_at(spec, &["volumes"]), &format!("{field}.volumes"));
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
    let at = |key: &str| format!("{field}.{key}");
    let containers = meta::list_at(spec, &["containers"]);
    if containers.is_empty() {
        errors.push(FieldError::required(at("containers"), ""));
    }
    let mut seen = HashSet::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            errors.extend(validate_container(container, &volumes, &mut seen, &format!("{field}.{list}[{index}]")));
        }
    }
    errors.extend(validate_choice(text("restartPolicy"), &["Always", "OnFailure", "Never"], &at("restartPolicy")));
    errors.extend(validate_choice(text("dnsPolicy"), DNS, &at("dnsPolicy")));
    errors.extend(validate_labels(spec.get("nodeSelector").and_then(Value::as_object), &at("nodeSelector")));
    let account = text("serviceAccountName");
    if !account.is_empty() {
        errors.extend(FieldError::invalid_texts(&at("serviceAccountName"), account, names::dns_subdomain(account)));
    }
    let node = text("nodeName");
    if !node.is_empty() {
        errors.extend(FieldError::invalid_texts(&at("nodeName"), node, names::dns_subdomain(node)));
    }
    if let Some(deadline) = spec.get("activeDeadlineSeconds").and_then(Value::as_i64)
        && !(1..=i64::from(i32::MAX)).contains(&deadline)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(at("activeDeadlineSeconds"), &deadline.to_string(), detail));
    }
    for key in ["hostname", "subdomain"] {
        let name = text(key);
        if !name.is_empty() {
            errors.extend(FieldError::invalid_texts(&at(key), name, names::dns_label(name)));
        }
    }
    errors.extend(validate_tolerations(meta::list_at(spec, &["tolerations"]), &at("tolerations")));
    errors
}

/// One of a fixed set of words; the set is shown in its own order.
pub(super) fn validate_choice(value: &str, choices: &[&str], field: &str) -> Option<FieldError> {
    if value.is_empty() {
        Some(FieldError::required(field, ""))
    } else if choices.contains(&value) {
        None
    } else {
        Some(FieldError::not_supported(field, &names::quote(value), choices))
    }
}

fn validate_tolerations(tolerations: &[Value], field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = |key: &str| format!("{field}[{index}].{key}");
        let text = |key: &str| toleration.get(key).and_then(Value::as_str).unwrap_or_default();
        let (key, operator) = (text("key"), text("operator"));
        if !key.is_empty() {
            errors.extend(FieldError::invalid_texts(&at("key"), key, names::qualified_name(key)));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid_text(at("operator"), operator, detail));
        }
        if toleration.get("tolerationSeconds").is_some_and(|seconds| !seconds.is_null())
            && text("effect") != "NoExecute"
        {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid_text(at("effect"), text("effect"), detail));
        }
        match operator {
            "" | "Equal" => {
                let value = text("value");
                errors.extend(FieldError::invalid_texts(&at("value"), value, names::label_value(value)));
            }
            "Exists" if !text("value").is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid_text(at("operator"), text("value"), detail));
            }
            "Exists" => {}
            other => {
                errors.push(FieldError::not_supported(at("operator"), &names::quote(other), &["Equal", "Exists"]));
            }
        }
        if !matches!(text("effect"), "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.push(FieldError::not_supported(at("effect"), &names::quote(text("effect")), EFFECTS));
        }
    }
    errors
}
