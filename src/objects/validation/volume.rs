use std::collections::HashSet;

use serde_json::Value;

use crate::objects::{FieldError, meta, names};

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Judges a pod's volumes, and gives the names that containers may mount.
pub(super) fn validate_volumes<'a>(volumes: &'a [Value], field: &str) -> (HashSet<&'a str>, Vec<FieldError>) {
    let mut known = HashSet::new();
    let mut errors = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let mut found = validate_source(volume, &field);
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            found.push(FieldError::required(format!("{field}.name"), ""));
        } else {
            let problems = names::dns_label(name);
            found.extend(FieldError::invalid_texts(&format!("{field}.name"), name, problems).collect::<Vec<_>>());
        }
        if known.contains(name) {
            found.push(FieldError::duplicate(format!("{field}.name"), &names::quote(name)));
        }
        // A volume that is itself wrong is not mountable, so that a mount of it is complained about as well.
        if found.is_empty() {
            known.insert(name);
        }
        errors.extend(found);
    }
    (known, errors)
}

fn validate_source(volume: &Value, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, source)| *key != "name" && source.is_object())
        .map(|(key, _)| key)
        .collect();
    if sources.is_empty() {
        errors.push(FieldError::required(field, "must specify a volume type"));
    }
    for (index, source) in sources.into_iter().enumerate() {
        let field = format!("{field}.{source}");
        if index > 0 {
            errors.push(FieldError::forbidden(field, "may not specify more than 1 volume type"));
            continue;
        }
        let text = |key: &str| meta::text_at(volume, &[source, key]).unwrap_or_default();
        let required = match source.as_str() {
            "hostPath" | "nfs" => Some("path"),
            "secret" => Some("secretName"),
            "configMap" => Some("name"),
            "persistentVolumeClaim" => Some("claimName"),
            _ => None,
        };
        if let Some(key) = required.filter(|key| text(key).is_empty()) {
            errors.push(FieldError::required(format!("{field}.{key}"), ""));
        }
        if source == "hostPath" {
            errors.extend(validate_host_path(text("path"), text("type"), &field));
        }
        if let Some(mode) =
            meta::integer_at(volume, &[source, "defaultMode"]).filter(|mode| !(0..=0o777).contains(mode))
        {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            errors.push(FieldError::invalid(format!("{field}.defaultMode"), &mode.to_string(), detail));
        }
    }
    errors
}

fn validate_host_path(path: &str, kind: &str, field: &str) -> Vec<FieldError> {
    const KINDS: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let mut errors = Vec::new();
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid_text(format!("{field}.path"), path, "must not contain '..'"));
    }
    if !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{field}.type"), &names::quote(kind), KINDS));
    }
    errors
}

/// Judges a PersistentVolumeClaim.
pub(super) fn validate_claim(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let modes = meta::list_at(claim, &["spec", "accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in modes.iter().filter_map(Value::as_str).filter(|mode| !MODES.contains(mode)) {
        errors.push(FieldError::not_supported("spec.accessModes", &names::quote(mode), MODES));
    }
    if meta::at(claim, &["spec", "resources", "requests", "storage"]).is_none() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    errors
}
