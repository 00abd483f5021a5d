use std::collections::HashSet;

use serde_json::Value;

use super::container_parts::{validate_environment, validate_mounts, validate_probe, validate_resources};
use super::pod::validate_choice;
use super::service::invalid_number;
use crate::objects::{FieldError, meta, names};

const MESSAGES: &[&str] = &["File", "FallbackToLogsOnError"];
const POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

/// Judges one container. `seen` holds the names of those before it.
pub(super) fn validate_container<'a>(
    container: &'a Value,
    volumes: &HashSet<&str>,
    seen: &mut HashSet<&'a str>,
    field: &str,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default();
    let at = |key: &str| format!("{field}.{key}");
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(at("name"), ""));
    } else {
        errors.extend(FieldError::invalid_texts(&at("name"), name, names::dns_label(name)));
    }
    if !name.is_empty() && !seen.insert(name) {
        errors.push(FieldError::duplicate(at("name"), &names::quote(name)));
    }
    let image = text("image");
    if image.is_empty() {
        errors.push(FieldError::required(at("image"), ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid_text(at("image"), image, "must not have leading or trailing whitespace"));
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(value) = container.get(probe).filter(|value| !value.is_null()) {
            errors.extend(validate_probe(value, &at(probe), probe == "readinessProbe"));
        }
    }
    errors.extend(validate_choice(text("terminationMessagePolicy"), MESSAGES, &at("terminationMessagePolicy")));
    errors.extend(validate_ports(meta::list_at(container, &["ports"]), &at("ports")));
    errors.extend(validate_environment(container, field));
    errors.extend(validate_mounts(meta::list_at(container, &["volumeMounts"]), volumes, &at("volumeMounts")));
    errors.extend(validate_choice(text("imagePullPolicy"), POLICIES, &at("imagePullPolicy")));
    errors.extend(validate_resources(&container["resources"], &at("resources")));
    errors
}

fn validate_ports(ports: &[Value], field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = |key: &str| format!("{field}[{index}].{key}");
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        if !name.is_empty() {
            let problems = names::port_name(name);
            if problems.is_empty() {
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(at("name"), &names::quote(name)));
                }
            } else {
                errors.extend(FieldError::invalid_texts(&at("name"), name, problems));
            }
        }
        let number = |key: &str| port.get(key).and_then(Value::as_i64).unwrap_or_default();
        match number("containerPort") {
            0 => errors.push(FieldError::required(at("containerPort"), "")),
            number => errors.extend(invalid_number(&at("containerPort"), number)),
        }
        if number("hostPort") != 0 {
            errors.extend(invalid_number(&at("hostPort"), number("hostPort")));
        }
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or_default();
        errors.extend(validate_choice(protocol, &["SCTP", "TCP", "UDP"], &at("protocol")));
    }
    errors
}
