//! The scheduler: gives pods the one node there is, or says why it cannot.

use std::sync::Arc;

use serde_json::{Value, json};

use super::node::NODE_NAME;
use super::pod_facts;
use super::queue::{ObjectKey, WorkQueue};
use crate::embedded::api::{Registry, Status};
use crate::embedded::clock;
use crate::objects::{meta, quantity::Quantity};

const COMPONENT: &str = "default-scheduler";

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry) {
    let mut queue = WorkQueue::default();
    let mut pods = registry.watch("pods", None);
    let mut nodes = registry.watch("nodes", None);
    loop {
        let key = tokio::select! {
            biased;
            event = pods.next() => {
                if event.is_deleted() || pod_facts::is_finished(event.object()) {
                    // Room was made: whoever waits may fit now.
                    queue.add_all(waiting(&registry));
                } else if wants_node(event.object()) && event.old().is_none() {
                    queue.add(ObjectKey::of(event.object()));
                }
                continue;
            }
            event = nodes.next() => {
                let changed = event.old().is_none_or(|old| {
                    old["metadata"]["labels"] != event.object()["metadata"]["labels"] || old["spec"] != event.object()["spec"]
                });
                if changed {
                    queue.add_all(waiting(&registry));
                }
                continue;
            }
            key = queue.next() => key,
        };
        match schedule(&registry, &key).await {
            Ok(()) => queue.succeeded(&key),
            Err(status) => {
                tracing::debug!("scheduling {}/{}: {}", key.namespace, key.name, status.message);
                queue.failed(key);
            }
        }
    }
}

fn wants_node(pod: &Value) -> bool {
    pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty)
        && pod_facts::is_active(pod)
        && pod["spec"]["schedulerName"].as_str().is_none_or(|name| name == COMPONENT)
}

fn waiting(registry: &Registry) -> Vec<ObjectKey> {
    let Ok((pods, _)) = registry.list("pods", None) else { return vec![] };
    pods.iter().filter(|pod| wants_node(pod)).map(|pod| ObjectKey::of(pod)).collect()
}

async fn schedule(registry: &Registry, key: &ObjectKey) -> Result<(), Status> {
    let pod = match registry.get("pods", key.scope(), &key.name) {
        Ok(pod) if wants_node(&pod) => pod,
        Ok(_) => return Ok(()),
        Err(status) if status.is_not_found() => return Ok(()),
        Err(status) => return Err(status),
    };
    let node = registry.get("nodes", None, NODE_NAME)?;
    let (pods, _) = registry.list("pods", None)?;
    let now = clock::now();
    match judge(&pod, &node, &pods) {
        Fit::Fits => {
            let bound = registry.modify("pods", key.scope(), &key.name, |stored| {
                stored["spec"]["nodeName"] = json!(NODE_NAME);
                set_scheduled(
                    stored,
                    json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}),
                );
            });
            let bound = bound.await?;
            let text = format!("Successfully assigned {}/{} to {NODE_NAME}", key.namespace, key.name);
            registry.event(&bound, "Normal", "Scheduled", &text, COMPONENT).await;
        }
        Fit::Lacks { what, hint } => {
            let text = format!("0/1 nodes are available: 1 {what}. preemption: 0/1 nodes are available: 1 {hint}.");
            let changed = registry.modify("pods", key.scope(), &key.name, |stored| {
                set_scheduled(
                    stored,
                    json!({"type": "PodScheduled", "status": "False", "lastProbeTime": null,
                        "lastTransitionTime": now, "reason": "Unschedulable", "message": text}),
                );
            });
            changed.await?;
            registry.event(&pod, "Warning", "FailedScheduling", &text, COMPONENT).await;
        }
    }
    Ok(())
}

/// Puts the condition in place; one that says the same stays, with its time.
fn set_scheduled(pod: &mut Value, condition: Value) {
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let Some(list) = pod["status"]["conditions"].as_array_mut() else { return };
    match list.iter_mut().find(|one| one["type"] == "PodScheduled") {
        Some(current) if current["status"] == condition["status"] && current["message"] == condition["message"] => {}
        Some(current) => *current = condition,
        None => list.push(condition),
    }
}

/// Whether a pod can run on the node.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
enum Fit {
    Fits,
    /// What is missing, and what the scheduler says about making room, in its own words.
    Lacks {
        what: String,
        hint: &'static str,
    },
}

const NO_HELP: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

fn judge(pod: &Value, node: &Value, pods: &[Arc<Value>]) -> Fit {
    let tolerates = |taint: &Value| {
        let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
        tolerations.into_iter().any(|one| {
            let key = one["key"].as_str().unwrap_or_default();
            let exists = one["operator"] == "Exists";
            let value =
                exists || one["value"].as_str().unwrap_or_default() == taint["value"].as_str().unwrap_or_default();
            let effect = one["effect"].as_str().is_none_or(|effect| effect.is_empty() || taint["effect"] == effect);
            (key.is_empty() && exists || taint["key"] == key) && value && effect
        })
    };
    if node["spec"]["unschedulable"] == true {
        return Fit::Lacks { what: "node(s) were unschedulable".into(), hint: NO_HELP };
    }
    for taint in node["spec"]["taints"].as_array().into_iter().flatten() {
        if taint["effect"] != "PreferNoSchedule" && !tolerates(taint) {
            let text = |field: &str| taint[field].as_str().unwrap_or_default();
            let what = format!("node(s) had untolerated taint {{{}: {}}}", text("key"), text("value"));
            return Fit::Lacks { what, hint: NO_HELP };
        }
    }
    let labels = &node["metadata"]["labels"];
    let mut wanted = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    if wanted.any(|(name, value)| labels[name] != *value) || !affinity_allows(pod, node) {
        return Fit::Lacks { what: "node(s) didn't match Pod's node affinity/selector".into(), hint: NO_HELP };
    }
    let running = pods.iter().filter(|one| one["spec"]["nodeName"] == NODE_NAME && !pod_facts::is_finished(one));
    let (mut count, mut used) = (0, Request::default());
    for one in running {
        count += 1;
        used = used.plus(Request::of(one));
    }
    let allocatable = |name: &str| &node["status"]["allocatable"][name];
    let asked = Request::of(pod);
    let mut lacking = vec![];
    if count + 1 > allocatable("pods").as_str().and_then(|text| text.parse().ok()).unwrap_or(110) {
        lacking.push("Too many pods");
    }
    if asked.cpu > 0 && used.cpu + asked.cpu > millis(allocatable("cpu")) {
        lacking.push("Insufficient cpu");
    }
    if asked.memory > 0 && used.memory + asked.memory > bytes(allocatable("memory")) {
        lacking.push("Insufficient memory");
    }
    if lacking.is_empty() { Fit::Fits } else { Fit::Lacks { what: lacking.join(", 1 "), hint: NO_VICTIMS } }
}

/// Required node affinity: one of the terms has to match, and a term matches when all its expressions do.
fn affinity_allows(pod: &Value, node: &Value) -> bool {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let Some(terms) = required["nodeSelectorTerms"].as_array() else { return true };
    terms.iter().any(|term| {
        let expressions = term["matchExpressions"].as_array().into_iter().flatten();
        expressions.into_iter().all(|expression| {
            let label = meta::label(node, expression["key"].as_str().unwrap_or_default());
            let values = || expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
            match expression["operator"].as_str() {
                Some("In") => label.is_some_and(|label| values().any(|value| value == label)),
                Some("NotIn") => label.is_none_or(|label| values().all(|value| value != label)),
                Some("Exists") => label.is_some(),
                Some("DoesNotExist") => label.is_none(),
                _ => false,
            }
        })
    })
}

/// What a pod asks for: the sum over its containers, or the largest init container if that is more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Request {
    /// Thousandths of a processor.
    cpu: i128,
    /// Bytes.
    memory: i128,
}

impl Request {
    fn of(pod: &Value) -> Self {
        let requests = |list: &str| {
            let containers = pod["spec"][list].as_array().into_iter().flatten();
            containers.map(|one| {
                let requests = &one["resources"]["requests"];
                Self { cpu: millis(&requests["cpu"]), memory: bytes(&requests["memory"]) }
            })
        };
        let sum = requests("containers").fold(Self::default(), Self::plus);
        requests("initContainers")
            .fold(sum, |most, one| Self { cpu: most.cpu.max(one.cpu), memory: most.memory.max(one.memory) })
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn millis(value: &Value) -> i128 {
    quantity(value).map_or(0, |quantity| quantity.milli_value().into())
}

fn bytes(value: &Value) -> i128 {
    quantity(value).map_or(0, |quantity| quantity.value().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Value {
        json!({
            "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/os": "linux"}},
            "status": {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}},
        })
    }

    fn pod(cpu: &str) -> Value {
        json!({"metadata": {}, "spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}})
    }

    fn running(cpu: &str) -> Arc<Value> {
        let mut pod = pod(cpu);
        pod["spec"]["nodeName"] = json!(NODE_NAME);
        Arc::new(pod)
    }

    #[test]
    fn a_full_node_is_named_by_what_it_lacks() {
        assert_eq!(judge(&pod("1500m"), &node(), &[running("500m")]), Fit::Fits);
        let what = "Insufficient cpu".to_owned();
        assert_eq!(judge(&pod("1600m"), &node(), &[running("500m")]), Fit::Lacks { what, hint: NO_VICTIMS });
        let many: Vec<_> = (0..8).map(|_| running("250m")).collect();
        let what = "Insufficient cpu, 1 Insufficient memory".to_owned();
        assert_eq!(judge(&pod("250m"), &node(), &many), Fit::Lacks { what, hint: NO_VICTIMS });
        let mut done = Value::clone(&running("2"));
        done["status"]["phase"] = json!("Succeeded");
        assert_eq!(judge(&pod("2"), &node(), &[Arc::new(done)]), Fit::Fits);
    }

    #[test]
    fn selectors_affinity_and_taints_are_honoured() {
        let mut wanted = pod("1m");
        wanted["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        assert!(matches!(judge(&wanted, &node(), &[]), Fit::Lacks { hint: NO_HELP, .. }));
        wanted["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
        assert_eq!(judge(&wanted, &node(), &[]), Fit::Fits);
        let term = |values: &[&str]| json!({"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": values}]});
        let affinity = |terms: Vec<Value>| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        wanted["spec"]["affinity"] = affinity(vec![term(&["windows"])]);
        assert!(matches!(judge(&wanted, &node(), &[]), Fit::Lacks { .. }));
        wanted["spec"]["affinity"] = affinity(vec![term(&["windows"]), term(&["linux"])]);
        assert_eq!(judge(&wanted, &node(), &[]), Fit::Fits);
        let mut tainted = node();
        tainted["spec"]["taints"] = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
        assert!(matches!(judge(&wanted, &tainted, &[]), Fit::Lacks { .. }));
        wanted["spec"]["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
        assert_eq!(judge(&wanted, &tainted, &[]), Fit::Fits);
    }

    #[test]
    fn an_init_container_counts_when_it_asks_for_more() {
        let mut pod = pod("100m");
        pod["spec"]["initContainers"] = json!([{"resources": {"requests": {"cpu": "1"}}}]);
        assert_eq!(Request::of(&pod), Request { cpu: 1000, memory: 1 << 30 });
    }

    #[test]
    fn a_condition_that_says_the_same_keeps_its_time() {
        let mut pod = json!({"status": {}});
        let condition = |time: &str, text: &str| json!({"type": "PodScheduled", "status": "False", "lastTransitionTime": time, "message": text});
        set_scheduled(&mut pod, condition("1", "a"));
        set_scheduled(&mut pod, condition("2", "a"));
        assert_eq!(pod["status"]["conditions"], json!([condition("1", "a")]));
        set_scheduled(&mut pod, condition("3", "b"));
        assert_eq!(pod["status"]["conditions"], json!([condition("3", "b")]));
    }
}
