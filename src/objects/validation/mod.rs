//! What the API server refuses, per built-in kind, in its own words.
//!
//! Objects come here decoded and with [defaults](super::defaults) filled in, as in the API server. Custom resources have
//! their metadata judged here and everything else by [their schema](super::schema).

mod config;
mod container;
mod container_parts;
mod definition;
mod go_values;
mod metadata;
mod pod;
mod pod_update;
mod service;
mod volume;
mod workload;

use serde_json::Value;

use super::{FieldError, Gvk, names};

/// Judges a new object. Complaints come in the API server's order.
pub fn validate_create(gvk: &Gvk, object: &Value) -> Vec<FieldError> {
    let mut errors = metadata::validate(object, is_namespaced(gvk), name_rule(gvk));
    errors.extend(validate_contents(gvk, object));
    errors
}

/// Judges a changed object beside the one that it replaces.
pub fn validate_update(gvk: &Gvk, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::validate_update(new, old);
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        // A pod's unchangeable fields were judged when it was made.
        ("", "Pod") => errors.extend(pod_update::validate(new, old)),
        ("", "ConfigMap" | "Secret") => {
            errors.extend(config::validate_update(gvk, new, old));
            errors.extend(validate_contents(gvk, new));
        }
        ("", "Service") => {
            errors.extend(service::validate_update(new, old));
            errors.extend(validate_contents(gvk, new));
        }
        ("apps", "Deployment" | "ReplicaSet") => {
            errors.extend(validate_contents(gvk, new));
            errors.extend(workload::validate_selector_update(new, old));
        }
        _ => errors.extend(validate_contents(gvk, new)),
    }
    errors
}

fn validate_contents(gvk: &Gvk, object: &Value) -> Vec<FieldError> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::validate_spec(&object["spec"], "spec"),
        ("", "Service") => service::validate(object),
        ("", "ConfigMap") => config::validate_config_map(object),
        ("", "Secret") => config::validate_secret(object),
        ("", "Event") => config::validate_event(object),
        ("", "PersistentVolumeClaim") => volume::validate_claim(object),
        ("apps", "Deployment") => workload::validate_deployment(object),
        ("apps", "ReplicaSet") => workload::validate_replica_set(object),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::validate_autoscaler(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::validate(object),
        _ => Vec::new(),
    }
}

fn is_namespaced(gvk: &Gvk) -> Option<bool> {
    super::BUILTIN_KINDS.iter().find(|known| gvk.is(known.group, known.kind)).map(|known| known.namespaced)
}

/// A check of a name, in the form of those in [`names`].
type NameRule = fn(&str) -> Vec<String>;

fn name_rule(gvk: &Gvk) -> NameRule {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Namespace") => names::dns_label,
        ("", "Service") => names::dns_1035_label,
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        _ => names::dns_subdomain,
    }
}

#[cfg(test)]
mod tests;
