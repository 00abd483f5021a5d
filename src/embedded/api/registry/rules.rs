//! What each kind does with metadata, status and generation when it is created or changed.

use jiff::Timestamp;
use rand::Rng;
use serde_json::{Map, Value, json};

use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::objects::meta;

/// Letters of generated name suffixes: no vowels, so that no words come out.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// A generated name is at most as long as a DNS label.
const LONGEST_GENERATED_BASE: usize = 63 - SUFFIX_LENGTH;

/// Fields of metadata that only the server sets.
const SERVER_FIELDS: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields"];

/// Five letters that make a name unique.
pub(super) fn random_suffix() -> String {
    let mut random = rand::rng();
    (0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_LETTERS[random.random_range(0..SUFFIX_LETTERS.len())])).collect()
}

/// The object's metadata, made if it is missing.
pub(super) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("metadata was just made an object"),
    }
}

/// Checks the namespace of a request against the object's, and writes it into the object.
pub(super) fn settle_namespace(resource: &Resource, namespace: Option<&str>, object: &mut Value) -> Result<(), Status> {
    let metadata = metadata(object);
    let given = metadata.get("namespace").and_then(Value::as_str).filter(|given| !given.is_empty());
    match (resource.namespaced, namespace) {
        (true, Some(namespace)) => {
            if given.is_some_and(|given| given != namespace) {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        (true, None) => {
            return Err(Status::bad_request("an empty namespace may not be set during creation"));
        }
        (false, _) => {
            if given.is_some() {
                return Err(Status::bad_request("namespace may not be set on a cluster-scoped object"));
            }
            metadata.shift_remove("namespace");
        }
    }
    Ok(())
}

/// Gives a new object its name, identity and initial status. Defaults have been applied.
pub(super) fn prepare_creation(resource: &Resource, object: &mut Value) {
    let has_generation = has_generation(resource);
    let metadata = metadata(object);
    for field in SERVER_FIELDS {
        metadata.shift_remove(field);
    }
    for field in ["selfLink", "resourceVersion"] {
        metadata.shift_remove(field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), meta::time_text(Timestamp::now()).into());
    if has_generation {
        metadata.insert("generation".to_owned(), 1.into());
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        ("", "Service") => object["status"] = json!({"loadBalancer": {}}),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => object["status"] = json!({"phase": "Pending"}),
        // Kubelets register their node with its status; the other two are given theirs elsewhere.
        ("", "Node" | "Pod") | ("apiextensions.k8s.io", _) => {}
        ("autoscaling", _) => object["status"] = json!({"currentReplicas": 0, "desiredReplicas": 0}),
        ("policy", _) => {
            object["status"] = json!({
                "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
            });
        }
        _ if resource.custom && resource.has_status() => {
            if let Some(object) = object.as_object_mut() {
                object.shift_remove("status");
            }
        }
        ("apps", _) => object["status"] = json!({}),
        _ => {}
    }
}

/// Sets the name from `generateName` where there is no name.
pub(super) fn settle_name(object: &mut Value) {
    if !meta::name(object).is_empty() {
        return;
    }
    let Some(base) = meta::generate_name(object) else { return };
    let end = base.char_indices().nth(LONGEST_GENERATED_BASE).map_or(base.len(), |(end, _)| end);
    let name = format!("{}{}", &base[..end], random_suffix());
    metadata(object).insert("name".to_owned(), name.into());
}

/// The label by which selectors find a namespace by name.
pub(super) fn label_namespace(resource: &Resource, object: &mut Value) {
    if resource.group.is_empty() && resource.kind == "Namespace" {
        let name = meta::name(object).to_owned();
        meta::set_label(object, "kubernetes.io/metadata.name", &name);
    }
}

/// Which part of an object a change may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded::api) enum Part {
    /// Everything but status, where status is a subresource.
    Main,
    /// Status only.
    Status,
    /// Everything, by the daemon's own parts.
    Whole,
}

/// Keeps in `new` what this kind of change may not touch, and counts the generation.
pub(super) fn prepare_change(resource: &Resource, part: Part, old: &Value, new: &mut Value) {
    if part == Part::Status {
        let status = new.get("status").cloned();
        *new = old.clone();
        match (status, new.as_object_mut()) {
            (Some(status), _) => new["status"] = status,
            (None, Some(object)) => {
                object.shift_remove("status");
            }
            (None, None) => {}
        }
        return;
    }
    let old_metadata = &old["metadata"];
    let metadata = metadata(new);
    for field in SERVER_FIELDS.iter().chain(&["resourceVersion", "generateName"]) {
        match old_metadata.get(*field) {
            Some(kept) => metadata.insert((*field).to_owned(), kept.clone()),
            None => metadata.shift_remove(*field),
        };
    }
    metadata.shift_remove("selfLink");
    if part == Part::Main && resource.has_status() {
        match old.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => {
                if let Some(object) = new.as_object_mut() {
                    object.shift_remove("status");
                }
            }
        }
    }
    if resource.group.is_empty() && resource.kind == "Namespace" && part == Part::Main {
        new["spec"] = old["spec"].clone();
        label_namespace(resource, new);
    }
    if has_generation(resource) && counts_as_new_generation(resource, part, old, new) {
        let generation = meta::generation(old) + 1;
        self::metadata(new).insert("generation".to_owned(), generation.into());
    }
}

/// The kinds that count changes of what is wanted in `metadata.generation`.
fn has_generation(resource: &Resource) -> bool {
    resource.custom
        || matches!(
            resource.group.as_str(),
            "apps" | "policy" | "apiextensions.k8s.io" | "admissionregistration.k8s.io" | "discovery.k8s.io"
        )
}

fn counts_as_new_generation(resource: &Resource, part: Part, old: &Value, new: &Value) -> bool {
    match (resource.group.as_str(), resource.kind.as_str()) {
        // The controller writes its annotations through the status subresource, which counts for nothing.
        ("apps", "Deployment") if part == Part::Main => {
            old["spec"] != new["spec"] || old["metadata"]["annotations"] != new["metadata"]["annotations"]
        }
        ("apps" | "policy" | "apiextensions.k8s.io", _) => old["spec"] != new["spec"],
        ("admissionregistration.k8s.io", _) => old["webhooks"] != new["webhooks"],
        _ => {
            let ignored = |key: &str| key == "metadata" || (key == "status" && resource.has_status());
            let relevant = |object: &Value| -> Map<String, Value> {
                let fields = object.as_object().into_iter().flatten();
                fields.filter(|(key, _)| !ignored(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
            };
            relevant(old) != relevant(new)
        }
    }
}

/// Whether an object whose deletion was asked for has nothing left that holds it.
pub(super) fn is_finished(resource: &Resource, object: &Value) -> bool {
    meta::is_terminating(object)
        && meta::finalizers(object).next().is_none()
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !(resource.group.is_empty()
            && resource.kind == "Namespace"
            && !meta::list_at(object, &["spec", "finalizers"]).is_empty())
}

/// Whether two states are the same to a client, so that nothing needs to be stored.
pub(super) fn is_same(old: &Value, new: &Value) -> bool {
    old == new
}
