use jiff::Timestamp;
use serde_json::Value;

use super::age::{age, since};
use crate::objects::meta;

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let restarts = match summary.last_restart {
        Some(_) => format!("{} ({} ago)", summary.restarts, since(summary.last_restart, now)),
        None => summary.restarts.to_string(),
    };
    let text = |path: &[&str]| meta::text_at(pod, path).filter(|text| !text.is_empty()).unwrap_or("<none>").to_owned();
    let address = meta::list_at(pod, &["status", "podIPs"]).first().and_then(|address| meta::text_at(address, &["ip"]));
    let gates = meta::list_at(pod, &["spec", "readinessGates"]);
    let open = gates.iter().filter(|gate| {
        let name = meta::text_at(gate, &["conditionType"]).unwrap_or_default();
        condition(pod, name) == Some("True")
    });
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{}/{}", open.count(), gates.len()) };
    vec![
        format!("{}/{}", summary.ready, meta::list_at(pod, &["spec", "containers"]).len()).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        address.map_or_else(|| text(&["status", "podIP"]), str::to_owned).into(),
        text(&["spec", "nodeName"]).into(),
        text(&["status", "nominatedNodeName"]).into(),
        gates.into(),
    ]
}

/// The one word that `kubectl get pods` shows in STATUS: `Init:0/1`, `CrashLoopBackOff`, `Terminating` and so on.
pub fn pod_status(pod: &Value) -> String {
    summarize(pod).status
}

struct Summary {
    status: String,
    ready: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn summarize(pod: &Value) -> Summary {
    let text = |key: &str| meta::text_at(pod, &["status", key]).unwrap_or_default();
    let reason = if text("reason").is_empty() { text("phase") } else { text("reason") };
    let mut summary = Summary { status: reason.to_owned(), ready: 0, restarts: 0, last_restart: None };
    if let Some(status) = initializing(pod, &mut summary) {
        summary.status = status;
    } else {
        summary.restarts = 0;
        running(pod, &mut summary);
    }
    if meta::is_terminating(pod) {
        let word = if text("reason") == "NodeLost" { "Unknown" } else { "Terminating" };
        word.clone_into(&mut summary.status);
    }
    summary
}

/// The status while init containers are not done; `None` once they are.
fn initializing(pod: &Value, summary: &mut Summary) -> Option<String> {
    let total = meta::list_at(pod, &["spec", "initContainers"]).len();
    for (index, container) in meta::list_at(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        summary.count(container);
        let waiting = meta::text_at(container, &["state", "waiting", "reason"]).unwrap_or_default();
        return Some(match meta::at(container, &["state", "terminated"]) {
            Some(end) if meta::integer_at(end, &["exitCode"]).unwrap_or_default() == 0 => continue,
            Some(end) => format!("Init:{}", end_reason(end)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{total}"),
        });
    }
    None
}

fn running(pod: &Value, summary: &mut Summary) {
    let mut one_runs = false;
    for container in meta::list_at(pod, &["status", "containerStatuses"]).iter().rev() {
        summary.count(container);
        let waiting = meta::text_at(container, &["state", "waiting", "reason"]).unwrap_or_default();
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.status);
        } else if let Some(end) = meta::at(container, &["state", "terminated"]) {
            summary.status = end_reason(end);
        } else if container.get("ready").and_then(Value::as_bool) == Some(true)
            && meta::at(container, &["state", "running"]).is_some()
        {
            one_runs = true;
            summary.ready += 1;
        }
    }
    if summary.status == "Completed" && one_runs {
        let ready = condition(pod, "Ready") == Some("True");
        if ready { "Running" } else { "NotReady" }.clone_into(&mut summary.status);
    }
}

impl Summary {
    fn count(&mut self, container: &Value) {
        self.restarts += meta::integer_at(container, &["restartCount"]).unwrap_or_default();
        let ended = meta::time_at(container, &["lastState", "terminated", "finishedAt"]);
        self.last_restart = self.last_restart.max(ended);
    }
}

fn end_reason(end: &Value) -> String {
    let number = |key: &str| meta::integer_at(end, &[key]).unwrap_or_default();
    match meta::text_at(end, &["reason"]).unwrap_or_default() {
        "" if number("signal") != 0 => format!("Signal:{}", number("signal")),
        "" => format!("ExitCode:{}", number("exitCode")),
        reason => reason.to_owned(),
    }
}

fn condition<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let found = conditions.iter().find(|condition| meta::text_at(condition, &["type"]) == Some(name))?;
    meta::text_at(found, &["status"])
}
