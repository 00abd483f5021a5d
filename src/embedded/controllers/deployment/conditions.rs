//! The status of a Deployment: counts, conditions and the texts that `kubectl` shows.

use serde_json::{Value, json};

use super::rolling::{Bounds, Counts};
use crate::embedded::clock;

/// What the status of a Deployment is computed from.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    /// The Deployment as it is stored.
    pub(super) deployment: &'a Value,
    /// All its ReplicaSets, the new one included.
    pub(super) all: Counts,
    /// The new ReplicaSet, once there is one.
    pub(super) new: Option<(&'a str, Counts)>,
    /// Why a ReplicaSet cannot make its pods, if one cannot: its condition `ReplicaFailure`.
    pub(super) failure: Option<&'a Value>,
}

/// The reason of a rollout that is over.
const COMPLETE: &str = "NewReplicaSetAvailable";
/// The reason of a rollout that takes too long.
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// Finds a condition by its type.
pub(super) fn condition<'a>(deployment: &'a Value, kind: &str) -> Option<&'a Value> {
    deployment["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Sets a condition in a list. One with the same status and reason stays as it is; one with the same status
/// keeps the time of its last transition.
pub(super) fn set_condition(list: &mut Vec<Value>, kind: &str, status: bool, reason: &str, message: &str) {
    let now = clock::now();
    let status = if status { "True" } else { "False" };
    let position = list.iter().position(|condition| condition["type"] == kind);
    let mut since = json!(now);
    if let Some(index) = position {
        let current = &list[index];
        if current["status"] == status {
            if current["reason"] == reason {
                return;
            }
            since = current["lastTransitionTime"].clone();
        }
        list.remove(index);
    }
    list.push(json!({
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }));
}

/// The new status, apart from whether the rollout moves on.
pub(super) fn counted_status(observed: &Observed<'_>) -> Value {
    let deployment = observed.deployment;
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let bounds = Bounds::of(deployment, wanted);
    let new = observed.new.map(|(_, counts)| counts).unwrap_or_default();
    let mut conditions = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if observed.all.available >= wanted.saturating_sub(bounds.unavailable) {
        let text = "Deployment has minimum availability.";
        set_condition(&mut conditions, "Available", true, "MinimumReplicasAvailable", text);
    } else {
        let text = "Deployment does not have minimum availability.";
        set_condition(&mut conditions, "Available", false, "MinimumReplicasUnavailable", text);
    }
    let mut status = serde_json::Map::new();
    let mut count = |name: &str, value: u64| {
        // Kubernetes leaves counts of zero out.
        if value > 0 {
            status.insert(name.to_owned(), json!(value));
        }
    };
    count("observedGeneration", deployment["metadata"]["generation"].as_u64().unwrap_or(0));
    count("replicas", observed.all.actual);
    count("updatedReplicas", new.actual);
    count("readyReplicas", observed.all.ready);
    count("availableReplicas", observed.all.available);
    count("unavailableReplicas", observed.all.wanted.saturating_sub(observed.all.available));
    count("collisionCount", deployment["status"]["collisionCount"].as_u64().unwrap_or(0));
    status.insert("conditions".to_owned(), Value::Array(conditions));
    Value::Object(status)
}

/// Adds to a counted status whether the rollout is complete, moves on or takes too long.
pub(super) fn judge_progress(observed: &Observed<'_>, status: &mut Value) {
    let deployment = observed.deployment;
    let has_deadline = deadline_seconds(deployment).is_some();
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    if !has_deadline {
        conditions.retain(|condition| condition["type"] != "Progressing");
    }
    let current = condition(deployment, "Progressing");
    let settled = status["replicas"] == status["updatedReplicas"]
        && current.is_some_and(|condition| condition["reason"] == COMPLETE);
    if has_deadline && !settled {
        let who = match observed.new {
            Some((name, _)) => format!("ReplicaSet \"{name}\""),
            None => format!("Deployment \"{}\"", deployment["metadata"]["name"].as_str().unwrap_or_default()),
        };
        if is_complete(deployment, status) {
            let text = format!("{who} has successfully progressed.");
            set_condition(&mut conditions, "Progressing", true, COMPLETE, &text);
        } else if has_progressed(&deployment["status"], status) {
            let text = format!("{who} is progressing.");
            let since = current.filter(|condition| condition["status"] == "True");
            let since = since.map(|condition| condition["lastTransitionTime"].clone());
            // Taken out first, so that the time of the last update moves although the reason stays.
            conditions.retain(|condition| condition["type"] != "Progressing");
            set_condition(&mut conditions, "Progressing", true, "ReplicaSetUpdated", &text);
            if let (Some(since), Some(last)) = (since, conditions.last_mut()) {
                last["lastTransitionTime"] = since;
            }
        } else if has_timed_out(deployment, status) {
            let text = format!("{who} has timed out progressing.");
            set_condition(&mut conditions, "Progressing", false, TIMED_OUT, &text);
        }
    }
    conditions.retain(|condition| condition["type"] != "ReplicaFailure");
    if let Some(failure) = observed.failure {
        let text = |field: &str| failure[field].as_str().unwrap_or_default();
        set_condition(&mut conditions, "ReplicaFailure", true, text("reason"), text("message"));
    }
    status["conditions"] = Value::Array(conditions);
}

/// Whether every wanted pod is new and available and no old one is left.
pub(super) fn is_complete(deployment: &Value, status: &Value) -> bool {
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let observed = count("observedGeneration") >= deployment["metadata"]["generation"].as_u64().unwrap_or(0);
    observed && ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| count(field) == wanted)
}

/// The seconds until the progress deadline has to be looked at again; `None` when no deadline runs.
pub(super) fn deadline_left(deployment: &Value) -> Option<u64> {
    let limit = deadline_seconds(deployment)?;
    let progressing = condition(deployment, "Progressing")?;
    if is_complete(deployment, &deployment["status"])
        || progressing["reason"] == COMPLETE
        || progressing["reason"] == TIMED_OUT
        || deployment["spec"]["paused"] == true
    {
        return None;
    }
    Some((limit + 1).saturating_sub(clock::seconds_since(progressing["lastUpdateTime"].as_str())))
}

/// Whether anything got better between two statuses.
fn has_progressed(old: &Value, new: &Value) -> bool {
    let count = |status: &Value, field: &str| status[field].as_u64().unwrap_or(0);
    let more = |field: &str| count(new, field) > count(old, field);
    let outdated = |status: &Value| count(status, "replicas").saturating_sub(count(status, "updatedReplicas"));
    more("updatedReplicas") || more("availableReplicas") || more("readyReplicas") || outdated(new) < outdated(old)
}

fn has_timed_out(deployment: &Value, status: &Value) -> bool {
    let Some(progressing) = condition(deployment, "Progressing") else { return false };
    if progressing["reason"] == TIMED_OUT {
        return true;
    }
    let Some(limit) = deadline_seconds(deployment) else { return false };
    !is_complete(deployment, status)
        && progressing["reason"] != COMPLETE
        && clock::seconds_since(progressing["lastUpdateTime"].as_str()) > limit
}

/// The deadline; the largest 32-bit number means that there is none.
fn deadline_seconds(deployment: &Value) -> Option<u64> {
    deployment["spec"]["progressDeadlineSeconds"].as_u64().filter(|&seconds| seconds < i32::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: Value) -> Value {
        json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 1, "progressDeadlineSeconds": 600, "strategy": {"type": "RollingUpdate"}},
            "status": status,
        })
    }

    fn judged(deployment: &Value, new: Counts) -> Value {
        let observed = Observed { deployment, all: new, new: Some(("web-abc", new)), failure: None };
        let mut status = counted_status(&observed);
        judge_progress(&observed, &mut status);
        status
    }

    fn shown(status: &Value) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = status["conditions"].as_array().unwrap();
        conditions.iter().map(|c| [&c["type"], &c["status"], &c["reason"]].map(text).join(" ")).collect()
    }

    #[test]
    fn a_rollout_goes_from_unavailable_to_complete() {
        let counts = |actual, available| Counts { wanted: 1, actual, ready: available, available };
        let first = judged(&deployment(json!({})), counts(1, 0));
        assert_eq!(first["unavailableReplicas"], 1);
        assert_eq!(shown(&first), ["Available False MinimumReplicasUnavailable", "Progressing True ReplicaSetUpdated"]);
        let last = judged(&deployment(first), counts(1, 1));
        assert_eq!(
            shown(&last),
            ["Available True MinimumReplicasAvailable", "Progressing True NewReplicaSetAvailable"]
        );
        assert_eq!(last.get("unavailableReplicas"), None);
        let message = condition(&json!({"status": last}), "Progressing").unwrap()["message"].clone();
        assert_eq!(message, "ReplicaSet \"web-abc\" has successfully progressed.");
        assert!(is_complete(&deployment(json!({})), &last));
        assert_eq!(deadline_left(&deployment(last)), None);
    }

    #[test]
    fn a_rollout_that_stands_still_times_out() {
        let status = json!({
            "replicas": 1, "updatedReplicas": 1, "observedGeneration": 2,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                "lastUpdateTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"}],
        });
        let counts = Counts { wanted: 1, actual: 1, ready: 0, available: 0 };
        let judged = judged(&deployment(status.clone()), counts);
        assert!(shown(&judged).contains(&"Progressing False ProgressDeadlineExceeded".to_owned()), "{judged}");
        assert_eq!(deadline_left(&deployment(status)), Some(0));
    }

    #[test]
    fn an_unchanged_condition_keeps_its_times() {
        let mut list = vec![];
        set_condition(&mut list, "Available", true, "A", "m");
        list[0]["lastUpdateTime"] = json!("2020-01-01T00:00:00Z");
        list[0]["lastTransitionTime"] = json!("2020-01-01T00:00:00Z");
        let before = list.clone();
        set_condition(&mut list, "Available", true, "A", "other");
        assert_eq!(list, before);
        set_condition(&mut list, "Available", true, "B", "other");
        assert_eq!(list[0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_ne!(list[0]["lastUpdateTime"], "2020-01-01T00:00:00Z");
        set_condition(&mut list, "Available", false, "B", "other");
        assert_ne!(list[0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    }
}
