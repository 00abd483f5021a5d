//! The replicaset controller: makes and deletes pods until their number is right.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::queue::{ObjectKey, WorkQueue};
use super::{names, ownership, pod_facts};
use crate::embedded::api::{DeleteOptions, Registry, Status};
use crate::embedded::clock;
use crate::objects::meta;
use crate::objects::selector::LabelSelector;

const SETS: &str = "replicasets.apps";
const COMPONENT: &str = "replicaset-controller";
/// No more pods are made or deleted in one step, as in Kubernetes.
const BURST: usize = 500;

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry) {
    let mut queue = WorkQueue::default();
    let mut sets = registry.watch(SETS, None);
    let mut pods = registry.watch("pods", None);
    loop {
        let key = tokio::select! {
            biased;
            event = sets.next() => {
                queue.add(ObjectKey::of(event.object()));
                continue;
            }
            event = pods.next() => {
                let versions = [Some(event.object()), event.old()];
                for pod in versions.into_iter().flatten() {
                    match meta::controller_of(pod) {
                        Some(_) => {
                            if let Some(name) = ownership::controller_name(pod, "ReplicaSet") {
                                queue.add(ObjectKey::beside(pod, name));
                            }
                        }
                        // A pod without a controller may be adopted by a set that selects it.
                        None => queue.add_all(selecting(&registry, pod)),
                    }
                }
                continue;
            }
            key = queue.next() => key,
        };
        let outcome = sync(&registry, &key).await;
        queue.done("replica set", key, outcome);
    }
}

fn selecting(registry: &Registry, pod: &Value) -> Vec<ObjectKey> {
    let Ok((sets, _)) = registry.list(SETS, pod["metadata"]["namespace"].as_str()) else { return vec![] };
    sets.iter().filter(|set| selects(set, pod)).map(|set| ObjectKey::of(set)).collect()
}

fn selects(set: &Value, pod: &Value) -> bool {
    LabelSelector::from_object(&set["spec"]["selector"]).is_ok_and(|selector| selector.matches_object(pod))
}

/// Makes the number of pods right; returns after which time to look again without an event.
async fn sync(registry: &Registry, key: &ObjectKey) -> Result<Option<Duration>, Status> {
    let set = match registry.get(SETS, key.scope(), &key.name) {
        Ok(set) => set,
        Err(status) if status.is_not_found() => return Ok(None),
        Err(status) => return Err(status),
    };
    let mut active = claim_pods(registry, &set).await?;
    let mut failure = None;
    if !meta::is_terminating(&set) {
        let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
        if active.len() < wanted {
            failure = create_pods(registry, &set, (wanted - active.len()).min(BURST), &mut active).await.err();
        } else if active.len() > wanted {
            active.sort_by_key(|pod| deletion_rank(pod));
            let surplus: Vec<_> = active.drain(..(active.len() - wanted).min(BURST)).collect();
            failure = delete_pods(registry, &set, &surplus).await.err().map(|status| ("FailedDelete", status));
        }
    }
    let min_ready = set["spec"]["minReadySeconds"].as_u64().unwrap_or(0);
    let soonest = active.iter().filter_map(|pod| pod_facts::is_available(pod, min_ready).err()).min();
    write_status(registry, &set, &active, failure.as_ref()).await?;
    match failure {
        Some((_, status)) => Err(status),
        None => Ok(soonest.map(Duration::from_secs)),
    }
}

/// The active pods of a set. Orphans that it selects are adopted, own pods that it no longer selects are let go.
async fn claim_pods(registry: &Registry, set: &Value) -> Result<Vec<Arc<Value>>, Status> {
    let namespace = set["metadata"]["namespace"].as_str();
    let (pods, _) = registry.list("pods", namespace)?;
    let mut claimed = vec![];
    for pod in pods.into_iter().filter(|pod| pod_facts::is_active(pod)) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let selected = selects(set, &pod);
        if ownership::is_controlled_by(&pod, set) {
            if selected {
                claimed.push(pod);
            } else {
                let uid = set["metadata"]["uid"].clone();
                let released = registry.modify("pods", namespace, name, |pod| {
                    if let Some(references) = pod["metadata"]["ownerReferences"].as_array_mut() {
                        references.retain(|reference| reference["uid"] != uid);
                    }
                });
                released.await?;
            }
        } else if selected && meta::controller_of(&pod).is_none() && !meta::is_terminating(set) {
            let reference = ownership::controller_reference("apps/v1", "ReplicaSet", set);
            let adopted = registry.modify("pods", namespace, name, |pod| {
                if !pod["metadata"]["ownerReferences"].is_array() {
                    pod["metadata"]["ownerReferences"] = json!([]);
                }
                if let Some(references) = pod["metadata"]["ownerReferences"].as_array_mut() {
                    references.push(reference.clone());
                }
            });
            claimed.push(adopted.await?);
        }
    }
    Ok(claimed)
}

async fn create_pods(
    registry: &Registry,
    set: &Value,
    number: usize,
    active: &mut Vec<Arc<Value>>,
) -> Result<(), (&'static str, Status)> {
    let namespace = set["metadata"]["namespace"].as_str();
    for _ in 0..number {
        match registry.create("pods", namespace, pod_of(set)).await {
            Ok(pod) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let text = format!("Created pod: {name}");
                registry.event(set, "Normal", "SuccessfulCreate", &text, COMPONENT).await;
                active.push(pod);
            }
            // The random name is taken; the next attempt draws another.
            Err(status) if status.reason == "AlreadyExists" => {}
            Err(status) => {
                let text = format!("Error creating: {}", status.message);
                registry.event(set, "Warning", "FailedCreate", &text, COMPONENT).await;
                return Err(("FailedCreate", status));
            }
        }
    }
    Ok(())
}

/// A pod as the set's template describes it.
fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let prefix = format!("{}-", set["metadata"]["name"].as_str().unwrap_or_default());
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(format!("{prefix}{}", names::random_suffix(5))));
    metadata.insert("generateName".into(), json!(prefix));
    metadata.insert("namespace".into(), set["metadata"]["namespace"].clone());
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let owner = ownership::controller_reference("apps/v1", "ReplicaSet", set);
    metadata.insert("ownerReferences".into(), json!([owner]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

async fn delete_pods(registry: &Registry, set: &Value, pods: &[Arc<Value>]) -> Result<(), Status> {
    for pod in pods {
        let key = ObjectKey::of(pod);
        match registry.delete("pods", key.scope(), &key.name, DeleteOptions::default()).await {
            Ok(_) => {
                let text = format!("Deleted pod: {}", key.name);
                registry.event(set, "Normal", "SuccessfulDelete", &text, COMPONENT).await;
            }
            Err(status) if status.is_not_found() => {}
            Err(status) => {
                let text = format!("Error deleting: {}", status.message);
                registry.event(set, "Warning", "FailedDelete", &text, COMPONENT).await;
                return Err(status);
            }
        }
    }
    Ok(())
}

/// Which pod goes first when there are too many: the smaller one. Pods without a node go before those with one, then
/// pending before running, not ready before ready, the one ready for a shorter time, the more restarted, the younger.
fn deletion_rank(
    pod: &Value,
) -> (bool, u8, bool, std::cmp::Reverse<String>, std::cmp::Reverse<u64>, std::cmp::Reverse<String>) {
    let phase = match pod["status"]["phase"].as_str() {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let text = |text: Option<&str>| std::cmp::Reverse(text.unwrap_or_default().to_owned());
    (
        pod["spec"]["nodeName"].is_string(),
        phase,
        pod_facts::is_ready(pod),
        text(pod_facts::ready_since(pod)),
        std::cmp::Reverse(pod_facts::restarts(pod)),
        text(pod["metadata"]["creationTimestamp"].as_str()),
    )
}

async fn write_status(
    registry: &Registry,
    set: &Value,
    active: &[Arc<Value>],
    failure: Option<&(&'static str, Status)>,
) -> Result<(), Status> {
    let min_ready = set["spec"]["minReadySeconds"].as_u64().unwrap_or(0);
    let template_labels = set["spec"]["template"]["metadata"]["labels"].as_object();
    let labelled = |pod: &Value| {
        template_labels
            .is_none_or(|labels| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value))
    };
    let count = |test: &dyn Fn(&Value) -> bool| active.iter().filter(|pod| test(pod)).count();
    let counts = [
        ("fullyLabeledReplicas", count(&labelled)),
        ("readyReplicas", count(&pod_facts::is_ready)),
        ("availableReplicas", count(&|pod| pod_facts::is_available(pod, min_ready) == Ok(true))),
    ];
    let mut status = Map::new();
    status.insert("replicas".into(), json!(active.len()));
    for (name, value) in counts.into_iter().filter(|(_, value)| *value > 0) {
        status.insert(name.into(), json!(value));
    }
    status.insert("observedGeneration".into(), set["metadata"]["generation"].clone());
    if let Some((reason, cause)) = failure {
        let current = set["status"]["conditions"].as_array().into_iter().flatten();
        // One with the same reason stays as it is: its message may name a pod by a random name, and a status that
        // changed with every attempt would itself bring about the next one at once.
        let same = current.into_iter().find(|condition| condition["reason"] == *reason).cloned();
        let condition = same.unwrap_or_else(|| {
            json!({"type": "ReplicaFailure", "status": "True", "lastTransitionTime": clock::now(),
                "reason": reason, "message": cause.message})
        });
        status.insert("conditions".into(), json!([condition]));
    }
    let status = Value::Object(status);
    if set["status"] == status {
        return Ok(());
    }
    let key = ObjectKey::of(set);
    registry.modify(SETS, key.scope(), &key.name, |stored| stored["status"] = status.clone()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_after_the_template() {
        let set = json!({
            "metadata": {"name": "web-abc", "namespace": "shop", "uid": "7"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        });
        let pod = pod_of(&set);
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("web-abc-") && name.len() == "web-abc-".len() + 5, "{name}");
        assert_eq!(pod["metadata"]["generateName"], "web-abc-");
        assert_eq!(pod["metadata"]["labels"], json!({"app": "web"}));
        assert!(ownership::is_controlled_by(&pod, &set));
    }

    #[test]
    fn the_least_useful_pod_is_deleted_first() {
        let pod = |node: bool, phase: &str, ready: &str, created: &str| {
            let condition = json!({"type": "Ready", "status": if ready.is_empty() { "False" } else { "True" },
                "lastTransitionTime": ready});
            let mut pod = json!({"metadata": {"creationTimestamp": created}, "spec": {},
                "status": {"phase": phase, "conditions": [condition]}});
            if node {
                pod["spec"]["nodeName"] = json!("n");
            }
            pod
        };
        let ordered = [
            pod(false, "Pending", "", "2"),
            pod(true, "Pending", "", "2"),
            pod(true, "Running", "", "2"),
            pod(true, "Running", "9", "2"),
            pod(true, "Running", "5", "2"),
            pod(true, "Running", "5", "1"),
        ];
        let mut shuffled: Vec<_> = ordered.iter().rev().collect();
        shuffled.sort_by_key(|pod| deletion_rank(pod));
        assert_eq!(shuffled, ordered.iter().collect::<Vec<_>>());
    }
}
