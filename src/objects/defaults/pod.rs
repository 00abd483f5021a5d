use serde_json::{Map, Value};

use super::fill::{each, existing, fill, fill_text, object, text};
use crate::objects::quantity::Quantity;

/// A pod on its own: what a template gets, service links, requests taken from limits, and a status.
pub(super) fn pod(pod: &mut Map<String, Value>) {
    if let Some(spec) = object(pod, "spec") {
        pod_spec(spec);
        fill(spec, "enableServiceLinks", true);
        for list in ["initContainers", "containers"] {
            for container in each(spec, list) {
                requests_from_limits(container);
            }
        }
    }
    if let Some(status) = object(pod, "status") {
        fill_text(status, "phase", "Pending");
    }
}

/// The template in a Deployment or a ReplicaSet. Go's encoder prints the creation time that a template never has.
pub(super) fn template(spec: &mut Map<String, Value>) {
    let Some(template) = object(spec, "template") else { return };
    if let Some(metadata) = object(template, "metadata") {
        metadata.entry("creationTimestamp").or_insert(Value::Null);
    }
    if let Some(spec) = object(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default();
    each(spec, "volumes").for_each(volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for found in each(spec, list) {
            container(found, host_network);
        }
    }
    fill_text(spec, "restartPolicy", "Always");
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill_text(spec, "dnsPolicy", "ClusterFirst");
    object(spec, "securityContext");
    fill_text(spec, "schedulerName", "default-scheduler");
}

fn container(container: &mut Map<String, Value>, host_network: bool) {
    for port in each(container, "ports") {
        fill_text(port, "protocol", "TCP");
        if host_network && port.get("hostPort").and_then(Value::as_i64).unwrap_or_default() == 0 {
            let number = port.get("containerPort").cloned().unwrap_or_default();
            port.insert("hostPort".to_owned(), number);
        }
    }
    for variable in each(container, "env") {
        if let Some(field) = existing(variable, "valueFrom").and_then(|source| existing(source, "fieldRef")) {
            fill_text(field, "apiVersion", "v1");
        }
    }
    if let Some(resources) = object(container, "resources") {
        for list in ["limits", "requests"] {
            existing(resources, list).into_iter().for_each(canonical);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = existing(container, probe) {
            fill(probe, "timeoutSeconds", 1);
            fill(probe, "periodSeconds", 10);
            fill(probe, "successThreshold", 1);
            fill(probe, "failureThreshold", 3);
            if let Some(grpc) = existing(probe, "grpc") {
                fill(grpc, "service", "");
            }
            handler(probe);
        }
    }
    if let Some(lifecycle) = existing(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            existing(lifecycle, hook).into_iter().for_each(handler);
        }
    }
    fill_text(container, "terminationMessagePath", "/dev/termination-log");
    fill_text(container, "terminationMessagePolicy", "File");
    let policy = pull_policy(text(container, "image"));
    fill_text(container, "imagePullPolicy", policy);
}

fn handler(handler: &mut Map<String, Value>) {
    if let Some(http) = existing(handler, "httpGet") {
        fill_text(http, "path", "/");
        fill_text(http, "scheme", "HTTP");
    }
}

/// `Always` for images without a tag or digest, or tagged `latest`.
fn pull_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') {
        return "IfNotPresent";
    }
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if !volume.iter().any(|(key, source)| key != "name" && !source.is_null()) {
        volume.insert("emptyDir".to_owned(), Value::Object(Map::new()));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, source) {
            fill(source, "defaultMode", 0o644);
        }
    }
    if let Some(source) = existing(volume, "downwardAPI") {
        field_references(source);
    }
    if let Some(projected) = existing(volume, "projected") {
        for source in each(projected, "sources") {
            existing(source, "downwardAPI").into_iter().for_each(field_references);
            if let Some(token) = existing(source, "serviceAccountToken") {
                fill(token, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(path) = existing(volume, "hostPath") {
        fill(path, "type", "");
    }
}

fn field_references(source: &mut Map<String, Value>) {
    for item in each(source, "items") {
        if let Some(field) = existing(item, "fieldRef") {
            fill_text(field, "apiVersion", "v1");
        }
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = existing(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = object(resources, "requests") {
        for (name, amount) in limits {
            fill(requests, &name, amount);
        }
    }
}

/// Amounts come back from the API server in their canonical text, however they were written.
fn canonical(amounts: &mut Map<String, Value>) {
    for amount in amounts.values_mut() {
        let text = match &*amount {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        if let Ok(quantity) = text.parse::<Quantity>() {
            *amount = quantity.to_string().into();
        }
    }
}
