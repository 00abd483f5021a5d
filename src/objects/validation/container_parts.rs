use std::collections::HashSet;

use serde_json::Value;

use super::pod::validate_choice;
use super::service::validate_port_reference;
use crate::objects::quantity::Quantity;
use crate::objects::{FieldError, meta, names};

/// Judges `env` and `envFrom`.
pub(super) fn validate_environment(container: &Value, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, variable) in meta::list_at(container, &["env"]).iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        } else {
            let problems = names::environment_name(name);
            errors.extend(FieldError::invalid_texts(&format!("{field}.name"), name, problems).collect::<Vec<_>>());
        }
        if let Some(source) = variable.get("valueFrom").filter(|source| !source.is_null()) {
            let value = variable.get("value").and_then(Value::as_str).unwrap_or_default();
            errors.extend(validate_value_source(source, value, &format!("{field}.valueFrom")));
        }
    }
    for (index, source) in meta::list_at(container, &["envFrom"]).iter().enumerate() {
        let field = format!("{field}.envFrom[{index}]");
        let prefix = source.get("prefix").and_then(Value::as_str).unwrap_or_default();
        if !prefix.is_empty() {
            let problems = names::environment_name(prefix);
            errors.extend(FieldError::invalid_texts(&format!("{field}.prefix"), prefix, problems).collect::<Vec<_>>());
        }
        let kinds = ["configMapRef", "secretRef"];
        let given: Vec<&str> =
            kinds.into_iter().filter(|kind| source.get(kind).is_some_and(Value::is_object)).collect();
        for kind in &given {
            if meta::text_at(source, &[kind, "name"]).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{field}.{kind}.name"), ""));
            }
        }
        match given.len() {
            1 => {}
            0 => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid_text(field, "", detail));
            }
            _ => {
                let detail = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid_text(field, "", detail));
            }
        }
    }
    errors
}

fn validate_value_source(source: &Value, value: &str, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| source.get(kind).is_some_and(Value::is_object)).collect();
    for kind in &given {
        let required: &[&str] = match *kind {
            "fieldRef" => &["fieldPath"],
            "resourceFieldRef" => &["resource"],
            _ => &["name", "key"],
        };
        for key in required {
            if meta::text_at(source, &[kind, key]).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{field}.{kind}.{key}"), ""));
            }
        }
        if *kind == "fieldRef"
            && let Some(path) = meta::text_at(source, &["fieldRef", "fieldPath"]).filter(|path| !path.is_empty())
        {
            errors.extend(validate_field_path(path, &format!("{field}.fieldRef.fieldPath")));
        }
    }
    match given.len() {
        0 => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            errors.push(FieldError::invalid_text(field, "", detail));
        }
        _ if !value.is_empty() => {
            errors.push(FieldError::invalid_text(field, "", "may not be specified when `value` is not empty"));
        }
        1 => {}
        _ => errors.push(FieldError::invalid_text(field, "", "may not have more than one field specified at a time")),
    }
    errors
}

fn validate_field_path(path: &str, field: &str) -> Option<FieldError> {
    const PATHS: &[&str] = &[
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
        "status.podIPs",
    ];
    let subscript = ["metadata.annotations['", "metadata.labels['"];
    if PATHS.contains(&path) || subscript.iter().any(|start| path.starts_with(start) && path.ends_with("']")) {
        return None;
    }
    let detail = format!("error converting fieldPath: field label not supported: {path}");
    Some(FieldError::invalid_text(field, path, &detail))
}

/// Judges volume mounts against the pod's volumes.
pub(super) fn validate_mounts(mounts: &[Value], volumes: &HashSet<&str>, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = |key: &str| format!("{field}[{index}].{key}");
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name");
        if name.is_empty() {
            errors.push(FieldError::required(at("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(at("name"), &names::quote(name)));
        }
        let path = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
        if path.is_empty() {
            errors.push(FieldError::required(at("mountPath"), ""));
        }
        if !seen.insert(path) {
            errors.push(FieldError::invalid_text(at("mountPath"), path, "must be unique"));
        }
        let inner = text("subPath");
        if inner.starts_with('/') {
            errors.push(FieldError::invalid_text(at("subPath"), inner, "must be a relative path"));
        }
        if inner.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid_text(at("subPath"), inner, "must not contain '..'"));
        }
    }
    errors
}

/// Judges a probe: one handler, no negative numbers.
pub(super) fn validate_probe(probe: &Value, field: &str, may_repeat: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |key: &str| format!("{field}.{key}");
    let mut handlers = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc"] {
        let Some(handler) = probe.get(kind).filter(|handler| handler.is_object()) else { continue };
        handlers += 1;
        if handlers > 1 {
            errors.push(FieldError::forbidden(at(kind), "may not specify more than 1 handler type"));
            continue;
        }
        let field = at(kind);
        match kind {
            "exec" if meta::list_at(handler, &["command"]).is_empty() => {
                errors.push(FieldError::required(format!("{field}.command"), ""));
            }
            "httpGet" => {
                if meta::text_at(handler, &["path"]).unwrap_or_default().is_empty() {
                    errors.push(FieldError::required(format!("{field}.path"), ""));
                }
                errors.extend(validate_port_reference(handler.get("port"), &format!("{field}.port")));
                let scheme = meta::text_at(handler, &["scheme"]).unwrap_or_default();
                errors.extend(validate_choice(scheme, &["HTTP", "HTTPS"], &format!("{field}.scheme")));
            }
            "tcpSocket" | "grpc" => {
                errors.extend(validate_port_reference(handler.get("port"), &format!("{field}.port")));
            }
            _ => {}
        }
    }
    if handlers == 0 {
        errors.push(FieldError::required(field, "must specify a handler type"));
    }
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        let number = probe.get(key).and_then(Value::as_i64).unwrap_or_default();
        if number < 0 {
            errors.push(FieldError::invalid(at(key), &number.to_string(), "must be greater than or equal to 0"));
        }
    }
    let successes = probe.get("successThreshold").and_then(Value::as_i64).unwrap_or(1);
    if !may_repeat && successes > 1 {
        errors.push(FieldError::invalid(at("successThreshold"), &successes.to_string(), "must be 1"));
    }
    errors
}

/// Judges limits and requests.
pub(super) fn validate_resources(resources: &Value, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let amount =
        |list: &str, name: &str| -> Option<Quantity> { resources.get(list)?.get(name)?.as_str()?.parse().ok() };
    for list in ["limits", "requests"] {
        for (name, value) in resources.get(list).and_then(Value::as_object).into_iter().flatten() {
            let field = format!("{field}.{list}[{name}]");
            let known =
                matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
            if !known && !name.contains('/') {
                errors.push(FieldError::invalid_text(
                    field.clone(),
                    name,
                    "must be a standard resource type or fully qualified",
                ));
                errors.push(FieldError::invalid_text(
                    field.clone(),
                    name,
                    "must be a standard resource for containers",
                ));
            }
            if amount(list, name).is_some_and(|amount| amount.is_negative()) {
                let value = names::quote(value.as_str().unwrap_or_default());
                errors.push(FieldError::invalid(field, &value, "must be greater than or equal to 0"));
            }
        }
    }
    for (name, value) in resources.get("requests").and_then(Value::as_object).into_iter().flatten() {
        if let Some((request, limit)) = amount("requests", name).zip(amount("limits", name))
            && request > limit
        {
            let value = names::quote(value.as_str().unwrap_or_default());
            let detail = format!("must be less than or equal to {name} limit");
            errors.push(FieldError::invalid(format!("{field}.requests"), &value, &detail));
        }
    }
    errors
}
