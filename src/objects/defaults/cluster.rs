use base64::Engine;
use serde_json::{Map, Value, json};

use super::fill::{each, existing, fill, fill_text, object, text};

/// The label with the namespace's name, by which selectors can choose one namespace, and the phase.
pub(super) fn namespace(namespace: &mut Map<String, Value>) {
    if let Some(metadata) = object(namespace, "metadata") {
        let name = text(metadata, "name").to_owned();
        if !name.is_empty()
            && let Some(labels) = object(metadata, "labels")
        {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
    }
    object(namespace, "spec");
    if let Some(status) = object(namespace, "status") {
        fill_text(status, "phase", "Active");
    }
}

/// The type; and `stringData` becomes `data`, over which it wins.
pub(super) fn secret(secret: &mut Map<String, Value>) {
    fill_text(secret, "type", "Opaque");
    if let Some(Value::Object(plain)) = secret.shift_remove("stringData")
        && !plain.is_empty()
        && let Some(data) = object(secret, "data")
    {
        for (key, value) in plain {
            let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}

/// The fields that Go's encoder always prints.
pub(super) fn event(event: &mut Map<String, Value>) {
    object(event, "involvedObject");
    object(event, "source");
    for time in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        event.entry(time).or_insert(Value::Null);
    }
    fill(event, "reportingComponent", "");
    fill(event, "reportingInstance", "");
}

pub(super) fn persistent_volume(volume: &mut Map<String, Value>) {
    if let Some(spec) = object(volume, "spec") {
        fill_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill_text(spec, "volumeMode", "Filesystem");
        if let Some(path) = existing(spec, "hostPath") {
            fill(path, "type", "");
        }
    }
    if let Some(status) = object(volume, "status") {
        fill_text(status, "phase", "Pending");
    }
}

pub(super) fn persistent_volume_claim(claim: &mut Map<String, Value>) {
    if let Some(spec) = object(claim, "spec") {
        fill_text(spec, "volumeMode", "Filesystem");
    }
    if let Some(status) = object(claim, "status") {
        fill_text(status, "phase", "Pending");
    }
}

pub(super) fn webhooks(configuration: &mut Map<String, Value>, mutating: bool) {
    for webhook in each(configuration, "webhooks") {
        if let Some(service) = existing(webhook, "clientConfig").and_then(|config| existing(config, "service")) {
            fill(service, "port", 443);
        }
        for rule in each(webhook, "rules") {
            fill(rule, "scope", "*");
        }
        fill(webhook, "failurePolicy", "Fail");
        fill(webhook, "matchPolicy", "Equivalent");
        object(webhook, "namespaceSelector");
        object(webhook, "objectSelector");
        fill(webhook, "timeoutSeconds", 10);
        if mutating {
            fill(webhook, "reinvocationPolicy", "Never");
        }
    }
}

pub(super) fn custom_resource_definition(definition: &mut Map<String, Value>) {
    let Some(spec) = object(definition, "spec") else { return };
    fill(spec, "conversion", json!({"strategy": "None"}));
    if let Some(names) = object(spec, "names") {
        let kind = text(names, "kind").to_owned();
        fill_text(names, "singular", &kind.to_lowercase());
        if !kind.is_empty() {
            fill_text(names, "listKind", &format!("{kind}List"));
        }
    }
}

pub(super) fn role_binding(binding: &mut Map<String, Value>) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = existing(binding, "roleRef") {
        fill_text(role, "apiGroup", GROUP);
    }
    for subject in each(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            fill_text(subject, "apiGroup", GROUP);
        }
    }
}
