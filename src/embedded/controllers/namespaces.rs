//! The namespace controller: what every namespace holds from the start, and the end of one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::queue::{ObjectKey, WorkQueue};
use crate::embedded::api::{DeleteOptions, Propagation, Registry, Status};
use crate::embedded::clock;
use crate::objects::meta;

/// Runs for as long as the daemon does. `certificate` is the cluster's CA in PEM, which every namespace carries.
pub(super) async fn run(registry: Registry, certificate: String) {
    let mut queue = WorkQueue::default();
    let mut namespaces = registry.watch("namespaces", None);
    let mut accounts = registry.watch("serviceaccounts", None);
    let mut maps = registry.watch("configmaps", None);
    // A namespace that is going away waits for its pods, and for whatever has finalizers.
    let mut pods = registry.watch("pods", None);
    let inside = |object: &Value| ObjectKey {
        namespace: String::new(),
        name: meta::namespace(object).unwrap_or_default().to_owned(),
    };
    loop {
        let key = tokio::select! {
            biased;
            event = namespaces.next() => {
                queue.add(ObjectKey::of(event.object()));
                continue;
            }
            event = accounts.next() => {
                if event.is_deleted() {
                    queue.add(inside(event.object()));
                }
                continue;
            }
            event = maps.next() => {
                if event.is_deleted() {
                    queue.add(inside(event.object()));
                }
                continue;
            }
            event = pods.next() => {
                if event.is_deleted() {
                    queue.add(inside(event.object()));
                }
                continue;
            }
            key = queue.next() => key,
        };
        let outcome = sync(&registry, &key, &certificate).await;
        queue.done("namespace", key, outcome);
    }
}

async fn sync(registry: &Registry, key: &ObjectKey, certificate: &str) -> Result<Option<Duration>, Status> {
    let namespace = match registry.get("namespaces", None, &key.name) {
        Ok(namespace) => namespace,
        Err(status) if status.is_not_found() => return Ok(None),
        Err(status) => return Err(status),
    };
    if meta::is_terminating(&namespace) {
        return empty(registry, &namespace).await;
    }
    furnish(registry, &key.name, certificate).await?;
    Ok(None)
}

/// Puts in place what every namespace holds.
async fn furnish(registry: &Registry, name: &str, certificate: &str) -> Result<(), Status> {
    if registry.get("serviceaccounts", Some(name), "default").is_err_and(|status| status.is_not_found()) {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name}});
        registry.create("serviceaccounts", Some(name), account).await?;
    }
    if registry.get("configmaps", Some(name), "kube-root-ca.crt").is_err_and(|status| status.is_not_found()) {
        let text = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": name, "annotations": {"kubernetes.io/description": text}},
            "data": {"ca.crt": certificate}});
        registry.create("configmaps", Some(name), map).await?;
    }
    Ok(())
}

/// Deletes what is left in a namespace that is going away; lets the namespace go when nothing is.
async fn empty(registry: &Registry, namespace: &Value) -> Result<Option<Duration>, Status> {
    let name = meta::name(namespace);
    let mut remaining: Vec<(String, usize)> = vec![];
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    let background = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    for resource in registry.catalog().iter().filter(|resource| resource.namespaced) {
        let full_name = resource.full_name();
        let (objects, _) = registry.list(&full_name, Some(name))?;
        for object in &objects {
            if !meta::is_terminating(object) {
                match registry.delete(&full_name, Some(name), meta::name(object), background.clone()).await {
                    Ok(_) => {}
                    Err(status) if status.is_not_found() => {}
                    Err(status) => return Err(status),
                }
            }
        }
        let (left, _) = registry.list(&full_name, Some(name))?;
        if !left.is_empty() {
            remaining.push((full_name, left.len()));
            for finalizer in left.iter().flat_map(|object| meta::finalizers(object)) {
                *finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }
    if remaining.is_empty() {
        let released = registry.modify("namespaces", None, name, |stored| stored["spec"] = json!({}));
        released.await?;
        return Ok(None);
    }
    let conditions = conditions(namespace, &remaining, &finalizers);
    if namespace["status"]["conditions"] != conditions {
        let changed = registry.modify("namespaces", None, name, |stored| {
            stored["status"]["conditions"] = conditions.clone();
        });
        changed.await?;
    }
    // Pods tell when they are gone; other objects with finalizers are looked for again after a while.
    Ok(remaining.iter().any(|(resource, _)| resource != "pods").then_some(Duration::from_secs(5)))
}

/// The five conditions that `kubectl get ns -o yaml` shows for a namespace that cannot go yet.
fn conditions(namespace: &Value, remaining: &[(String, usize)], finalizers: &BTreeMap<String, usize>) -> Value {
    let counts: Vec<String> = remaining
        .iter()
        .map(|(resource, count)| {
            format!("{}{} has {count} resource instances", resource, if resource.contains('.') { "" } else { "." })
        })
        .collect();
    let content = format!("Some resources are remaining: {}", counts.join(", "));
    let held: Vec<String> =
        finalizers.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let held = format!("Some content in the namespace has finalizers remaining: {}", held.join(", "));
    let held = if finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    } else {
        ("True", "SomeFinalizersRemain", held.as_str())
    };
    let since = |kind: &str, status: &str| {
        let current = namespace["status"]["conditions"].as_array().into_iter().flatten();
        current
            .into_iter()
            .find(|one| one["type"] == *kind && one["status"] == *status)
            .map_or_else(|| json!(clock::now()), |one| one["lastTransitionTime"].clone())
    };
    let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "lastTransitionTime": since(kind, status), "reason": reason, "message": message});
    json!([
        condition(
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered"
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed"
        ),
        condition(
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization"
        ),
        condition("NamespaceContentRemaining", "True", "SomeResourcesRemain", &content),
        condition("NamespaceFinalizersRemaining", held.0, held.1, held.2),
    ])
}
