//! What controllers want to know about a pod.

use serde_json::Value;

use crate::embedded::clock;
use crate::objects::meta;

/// Whether the pod counts for its controller: neither finished nor being deleted.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !meta::is_terminating(pod)
}

/// Whether all its containers ended for good.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Whether it takes requests.
pub(crate) fn is_ready(pod: &Value) -> bool {
    ready_condition(pod).is_some_and(|condition| condition["status"] == "True")
}

/// Since when it takes requests.
pub(crate) fn ready_since(pod: &Value) -> Option<&str> {
    ready_condition(pod).filter(|condition| condition["status"] == "True")?["lastTransitionTime"].as_str()
}

/// Whether it has been ready for this many seconds; `Err` carries the seconds still missing.
pub(crate) fn is_available(pod: &Value, min_ready_seconds: u64) -> Result<bool, u64> {
    let Some(since) = ready_since(pod) else { return Ok(false) };
    if min_ready_seconds == 0 {
        return Ok(true);
    }
    match min_ready_seconds.saturating_sub(clock::seconds_since(Some(since))) {
        0 => Ok(true),
        missing => Err(missing),
    }
}

/// How often its containers were restarted, the most restarted one counting.
pub(crate) fn restarts(pod: &Value) -> u64 {
    let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    containers.filter_map(|container| container["restartCount"].as_u64()).max().unwrap_or(0)
}

fn ready_condition(pod: &Value) -> Option<&Value> {
    pod["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")
}
