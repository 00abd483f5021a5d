//! The status of a pod, computed from what is known of its containers.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::embedded::clock;

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerState {
    /// It does not run yet, or not now.
    Waiting {
        /// One word.
        reason: String,
        /// A sentence; may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It ended.
    Terminated(Ended),
}

/// How a run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit code; 128 and more for a signal.
    pub(crate) code: i32,
    /// One word: `Completed`, `Error`, ….
    pub(crate) reason: String,
    /// A sentence; may be empty.
    pub(crate) message: String,
    /// When it started.
    pub(crate) started: Timestamp,
    /// When it ended.
    pub(crate) finished: Timestamp,
    /// The id that this run had.
    pub(crate) container_id: String,
}

/// What is known of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerRecord {
    /// Its name.
    pub(crate) name: String,
    /// Its image as the pod names it.
    pub(crate) image: String,
    /// The image's id, once it was found.
    pub(crate) image_id: String,
    /// The id of the present or last run.
    pub(crate) container_id: String,
    /// What it does now.
    pub(crate) state: ContainerState,
    /// How the run before ended.
    pub(crate) last: Option<Ended>,
    /// How often it was started again.
    pub(crate) restarts: u64,
    /// Whether it takes requests (or, for an init container, has completed).
    pub(crate) ready: bool,
    /// Whether its startup probe, if any, has passed.
    pub(crate) started: bool,
}

impl ContainerRecord {
    /// A container that was not started yet.
    pub(crate) fn waiting(name: &str, image: &str, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            image_id: String::new(),
            container_id: String::new(),
            state: ContainerState::Waiting { reason: reason.to_owned(), message: String::new() },
            last: None,
            restarts: 0,
            ready: false,
            started: false,
        }
    }

    /// Whether it ended with code 0.
    pub(crate) fn has_completed(&self) -> bool {
        matches!(&self.state, ContainerState::Terminated(ended) if ended.code == 0)
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    fn to_value(&self, is_init: bool) -> Value {
        let mut status = Map::new();
        if !self.container_id.is_empty() {
            status.insert("containerID".into(), json!(self.container_id));
        }
        status.insert("image".into(), json!(self.image));
        status.insert("imageID".into(), json!(self.image_id));
        let last = self.last.as_ref().map_or_else(|| json!({}), |ended| json!({"terminated": ended.to_value()}));
        status.insert("lastState".into(), last);
        status.insert("name".into(), json!(self.name));
        status.insert("ready".into(), json!(self.ready));
        status.insert("restartCount".into(), json!(self.restarts));
        if !is_init {
            status.insert("started".into(), json!(self.started && self.is_running()));
        }
        let state = match &self.state {
            ContainerState::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            ContainerState::Waiting { reason, message } => json!({"waiting": {"message": message, "reason": reason}}),
            ContainerState::Running { since } => json!({"running": {"startedAt": clock::seconds(*since)}}),
            ContainerState::Terminated(ended) => json!({"terminated": ended.to_value()}),
        };
        status.insert("state".into(), state);
        Value::Object(status)
    }

    /// Reads a container's status back; what cannot be understood is as if it had never run.
    pub(crate) fn from_value(status: &Value) -> Self {
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let state = &status["state"];
        let state = if let Some(since) = clock::parse(state["running"]["startedAt"].as_str()) {
            ContainerState::Running { since }
        } else if state["terminated"].is_object() {
            ContainerState::Terminated(Ended::from_value(&state["terminated"]))
        } else {
            let waiting = |field: &str| state["waiting"][field].as_str().unwrap_or_default().to_owned();
            ContainerState::Waiting { reason: waiting("reason"), message: waiting("message") }
        };
        let last = &status["lastState"]["terminated"];
        Self {
            name: text("name"),
            image: text("image"),
            image_id: text("imageID"),
            container_id: text("containerID"),
            state,
            last: last.is_object().then(|| Ended::from_value(last)),
            restarts: status["restartCount"].as_u64().unwrap_or(0),
            ready: status["ready"] == true,
            started: status["started"] == true,
        }
    }
}

impl Ended {
    fn to_value(&self) -> Value {
        let mut value = Map::new();
        if !self.container_id.is_empty() {
            value.insert("containerID".into(), json!(self.container_id));
        }
        value.insert("exitCode".into(), json!(self.code));
        value.insert("finishedAt".into(), json!(clock::seconds(self.finished)));
        if !self.message.is_empty() {
            value.insert("message".into(), json!(self.message));
        }
        value.insert("reason".into(), json!(self.reason));
        value.insert("startedAt".into(), json!(clock::seconds(self.started)));
        Value::Object(value)
    }

    fn from_value(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let time = |field: &str| clock::parse(value[field].as_str()).unwrap_or_default();
        Self {
            code: value["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(255),
            reason: text("reason"),
            message: text("message"),
            started: time("startedAt"),
            finished: time("finishedAt"),
            container_id: text("containerID"),
        }
    }
}

/// What the status of a pod is computed from.
#[derive(Debug)]
pub(crate) struct PodFacts<'a> {
    /// The pod as it is stored; its last status gives the times of conditions that do not change.
    pub(crate) pod: &'a Value,
    /// The init containers, in their order.
    pub(crate) init: &'a [ContainerRecord],
    /// The containers, in their order.
    pub(crate) containers: &'a [ContainerRecord],
    /// The node's address.
    pub(crate) host_ip: String,
    /// The pod's address, once it has one.
    pub(crate) pod_ip: Option<String>,
    /// When the kubelet took the pod on.
    pub(crate) start_time: Timestamp,
}

/// The whole status.
pub(crate) fn pod_status(facts: &PodFacts<'_>) -> Value {
    let phase = phase(facts);
    let mut status = Map::new();
    status.insert("conditions".into(), conditions(facts, phase));
    let mut containers: Vec<&ContainerRecord> = facts.containers.iter().collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let values: Vec<Value> = containers.iter().map(|record| record.to_value(false)).collect();
    status.insert("containerStatuses".into(), Value::Array(values));
    status.insert("hostIP".into(), json!(facts.host_ip));
    if !facts.init.is_empty() {
        let values: Vec<Value> = facts.init.iter().map(|record| record.to_value(true)).collect();
        status.insert("initContainerStatuses".into(), Value::Array(values));
    }
    status.insert("phase".into(), json!(phase));
    if let Some(ip) = &facts.pod_ip {
        status.insert("podIP".into(), json!(ip));
        status.insert("podIPs".into(), json!([{"ip": ip}]));
    }
    if let Some(class) = facts.pod["status"].get("qosClass") {
        status.insert("qosClass".into(), class.clone());
    }
    status.insert("startTime".into(), json!(clock::seconds(facts.start_time)));
    Value::Object(status)
}

/// The phase by the kubelet's rules: what waits for its first run keeps the pod pending, what runs makes it running,
/// and what ended decides by its codes and the restart policy.
fn phase(facts: &PodFacts<'_>) -> &'static str {
    let policy = facts.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    for record in facts.init {
        if let ContainerState::Terminated(ended) = &record.state {
            if ended.code != 0 && policy == "Never" {
                return "Failed";
            }
            if ended.code == 0 {
                continue;
            }
        }
        return "Pending";
    }
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for record in facts.containers {
        match &record.state {
            ContainerState::Running { .. } => running += 1,
            ContainerState::Terminated(ended) => {
                stopped += 1;
                succeeded += usize::from(ended.code == 0);
            }
            ContainerState::Waiting { .. } if record.last.is_some() => stopped += 1,
            ContainerState::Waiting { .. } => waiting += 1,
        }
    }
    if waiting > 0 {
        "Pending"
    } else if running > 0 || policy == "Always" {
        "Running"
    } else if stopped == succeeded {
        "Succeeded"
    } else if policy == "Never" {
        "Failed"
    } else {
        "Running"
    }
}

fn conditions(facts: &PodFacts<'_>, phase: &str) -> Value {
    let current = || facts.pod["status"]["conditions"].as_array().into_iter().flatten();
    let names = |records: Vec<&ContainerRecord>| {
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        format!("[{}]", names.join(" "))
    };
    let incomplete: Vec<_> = facts.init.iter().filter(|record| !record.has_completed()).collect();
    let unready: Vec<_> = facts.containers.iter().filter(|record| !record.ready).collect();
    let condition = |kind: &str, problem: Option<(&str, String)>| {
        let status = if problem.is_none() { "True" } else { "False" };
        let since = current()
            .find(|one| one["type"] == *kind && one["status"] == *status)
            .map_or_else(|| json!(clock::now()), |one| one["lastTransitionTime"].clone());
        let mut value = json!({"lastProbeTime": null, "lastTransitionTime": since, "status": status, "type": kind});
        if let Some((reason, message)) = problem {
            if !message.is_empty() {
                value["message"] = json!(message);
            }
            value["reason"] = json!(reason);
        }
        value
    };
    let finished = matches!(phase, "Succeeded" | "Failed");
    let initialized = match (incomplete.is_empty(), phase) {
        (true, "Succeeded") => {
            let mut value = condition("Initialized", None);
            value["reason"] = json!("PodCompleted");
            value
        }
        (true, _) => condition("Initialized", None),
        (false, _) => {
            let message = format!("containers with incomplete status: {}", names(incomplete));
            condition("Initialized", Some(("ContainersNotInitialized", message)))
        }
    };
    let not_ready = || match phase {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ if unready.is_empty() => None,
        _ => Some(("ContainersNotReady", format!("containers with unready status: {}", names(unready.clone())))),
    };
    debug_assert!(!finished || not_ready().is_some());
    let mut list = vec![initialized, condition("Ready", not_ready()), condition("ContainersReady", not_ready())];
    // The scheduler's condition is kept, and so is whatever somebody else added.
    let own = ["Initialized", "Ready", "ContainersReady"];
    list.extend(current().filter(|one| !own.iter().any(|kind| one["type"] == **kind)).cloned());
    Value::Array(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn ended(code: i32) -> Ended {
        let reason = if code == 0 { "Completed" } else { "Error" };
        Ended {
            code,
            reason: reason.into(),
            message: String::new(),
            started: at(1),
            finished: at(2),
            container_id: "canary-lab://1".into(),
        }
    }

    fn record(name: &str, state: ContainerState, ready: bool) -> ContainerRecord {
        ContainerRecord { state, ready, ..ContainerRecord::waiting(name, "i", "") }
    }

    fn status(policy: &str, init: &[ContainerRecord], containers: &[ContainerRecord]) -> Value {
        let pod = json!({"spec": {"restartPolicy": policy}, "status": {"qosClass": "Burstable", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T09:14:37Z"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T09:14:38Z"},
        ]}});
        let facts = PodFacts {
            pod: &pod,
            init,
            containers,
            host_ip: "127.77.0.2".into(),
            pod_ip: Some("127.77.128.2".into()),
            start_time: at(0),
        };
        pod_status(&facts)
    }

    #[test]
    fn the_phase_follows_the_containers() {
        let waiting = || record("a", ContainerState::Waiting { reason: "x".into(), message: String::new() }, false);
        let running = || record("b", ContainerState::Running { since: at(1) }, true);
        let done = |code| record("c", ContainerState::Terminated(ended(code)), false);
        let crashed = ContainerRecord { last: Some(ended(1)), ..waiting() };
        let cases: [(&str, Vec<ContainerRecord>, Vec<ContainerRecord>, &str); 9] = [
            ("Always", vec![], vec![waiting(), running()], "Pending"),
            ("Always", vec![], vec![crashed.clone(), running()], "Running"),
            ("Always", vec![], vec![done(1)], "Running"),
            ("Never", vec![], vec![done(0)], "Succeeded"),
            ("Never", vec![], vec![done(0), done(1)], "Failed"),
            ("OnFailure", vec![], vec![done(1)], "Running"),
            ("Always", vec![waiting()], vec![waiting()], "Pending"),
            ("Never", vec![done(1)], vec![waiting()], "Failed"),
            ("Always", vec![done(0)], vec![running()], "Running"),
        ];
        for (policy, init, containers, phase) in cases {
            assert_eq!(status(policy, &init, &containers)["phase"], phase, "{policy} {init:?} {containers:?}");
        }
    }

    #[test]
    fn conditions_name_who_is_missing_and_keep_their_times() {
        let init =
            [record("istio-init", ContainerState::Waiting { reason: "x".into(), message: String::new() }, false)];
        let containers = [record("tf-serving", ContainerState::Running { since: at(1) }, false)];
        let status = status("Always", &init, &containers);
        let conditions = status["conditions"].as_array().unwrap();
        let kinds: Vec<_> = conditions.iter().map(|one| one["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Initialized", "Ready", "ContainersReady", "PodScheduled"]);
        assert_eq!(conditions[0]["message"], "containers with incomplete status: [istio-init]");
        assert_eq!(conditions[1]["message"], "containers with unready status: [tf-serving]");
        assert_eq!(conditions[1]["lastTransitionTime"], "2026-11-23T09:14:38Z");
        assert_eq!(status["podIPs"], json!([{"ip": "127.77.128.2"}]));
    }

    #[test]
    fn a_record_survives_its_status() {
        let mut record = record("a", ContainerState::Terminated(ended(1)), false);
        record.restarts = 3;
        record.last = Some(ended(137));
        assert_eq!(ContainerRecord::from_value(&record.to_value(false)), record);
        let running = self::record("a", ContainerState::Running { since: at(1) }, true);
        let running = ContainerRecord { started: true, ..running };
        assert_eq!(ContainerRecord::from_value(&running.to_value(false)), running);
    }
}
