//! A Deployment is ready: watched, not polled, and when it is not, the pods tell why.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Change, Seen, World};
use crate::cluster::{Api, ApiError, ObjectRef, Watched};
use crate::doctor::{Failure, Reason};
use crate::lab::Rollout;
use crate::objects::{Gvk, meta};

/// Restarts after which a crash is believed to go on.
const RESTARTS: i64 = 3;

pub(super) async fn judge(spec: &Rollout, world: &World<'_>) -> Result<Seen, Failure> {
    let api = world.api().await?;
    let mut last = Standing::Waiting { seen: "not seen yet".to_owned(), pods: Vec::new() };
    let waiting = follow(spec, world, &api, &mut last);
    if let Ok(result) = tokio::time::timeout(spec.within, waiting).await {
        return result;
    }
    let label = format!("Deployment {}/{}", spec.namespace, spec.deployment);
    let mut failure =
        Failure::new(Reason::RolloutTimeout, format!("{label} is not ready after {} s", spec.within.as_secs()));
    if let Standing::Waiting { seen, pods } = last {
        failure = failure.observed(seen);
        failure.observed.extend(pods);
    }
    Err(failure)
}

/// Deletes the Deployment's pods that lack their sidecar; the ones that are made in their place get one.
pub(super) async fn apply(spec: &Rollout, world: &World<'_>) -> Result<Change, Failure> {
    let api = world.api().await?;
    let reference = ObjectRef::new("apps/v1", "Deployment", Some(&spec.namespace), &spec.deployment);
    let Some(deployment) = api.get(&reference).await? else { return Ok(Change::default()) };
    let mut view = View { deployment: Some(deployment.clone()), ..View::default() };
    for pod in api.list(&Gvk::new("", "v1", "Pod"), Some(&spec.namespace), "").await? {
        view.pod(Watched::Is(pod));
    }
    let mut made_anew = Vec::new();
    for pod in view.pods_of(&deployment) {
        let containers = meta::list_at(pod, &["spec", "containers"]).len();
        if spec.containers.is_some_and(|wanted| containers < wanted) {
            let reference = ObjectRef::new("v1", "Pod", Some(&spec.namespace), meta::name(pod));
            let _ = api.delete(&reference, Some(meta::uid(pod))).await?;
            made_anew.push(meta::name(pod).to_owned());
        }
    }
    let text = format!("made anew with a sidecar: {}", made_anew.join(", "));
    Ok(Change { text: (!made_anew.is_empty()).then_some(text), ..Change::default() })
}

/// Follows the Deployment and its pods until the Deployment is ready or cannot become it.
async fn follow(spec: &Rollout, world: &World<'_>, api: &Api, last: &mut Standing) -> Result<Seen, Failure> {
    loop {
        let name = format!("metadata.name={}", spec.deployment);
        let namespace = Some(spec.namespace.as_str());
        let deployments = api.watch(&Gvk::new("apps", "v1", "Deployment"), namespace, ("fieldSelector", &name)).await?;
        let pods = api.watch(&Gvk::new("", "v1", "Pod"), namespace, ("labelSelector", "")).await?;
        let (mut deployments, mut pods) = (std::pin::pin!(deployments), std::pin::pin!(pods));
        let mut view = View::default();
        loop {
            let (event, is_pod) = tokio::select! {
                event = deployments.next() => (event, false),
                event = pods.next() => (event, true),
            };
            // A watch that ended, or fell behind, is begun anew from what there is.
            let Some(event) = event else { break };
            match event {
                Ok(event) if is_pod => view.pod(event),
                Ok(event) => view.deployment(event),
                Err(ApiError::Refused { code: 410, .. }) => break,
                Err(error) => return Err(error.into()),
            }
            let standing = view.judge(spec);
            match &standing {
                Standing::Ready { text, facts } => return Ok(Seen::new(text.clone(), facts.clone())),
                Standing::Stuck(failure) => return Err(failure.as_ref().clone()),
                Standing::Waiting { seen, .. } => {
                    let awaited = format!("waiting for Deployment {}", spec.deployment);
                    world.progress.awaiting(awaited, Some(seen.clone()));
                }
            }
            *last = standing;
        }
    }
}

/// How far a rollout is.
#[derive(Debug)]
enum Standing {
    Ready { text: String, facts: Value },
    Waiting { seen: String, pods: Vec<String> },
    Stuck(Box<Failure>),
}

/// The Deployment and the pods of its namespace, as last seen.
#[derive(Default)]
struct View {
    deployment: Option<Value>,
    pods: BTreeMap<String, Value>,
}

impl View {
    fn deployment(&mut self, event: Watched) {
        self.deployment = match event {
            Watched::Is(object) => Some(object),
            Watched::Gone(_) => None,
        };
    }

    fn pod(&mut self, event: Watched) {
        match event {
            Watched::Is(pod) => self.pods.insert(meta::name(&pod).to_owned(), pod),
            Watched::Gone(pod) => self.pods.remove(meta::name(&pod)),
        };
    }

    fn judge(&self, spec: &Rollout) -> Standing {
        let Some(deployment) = &self.deployment else {
            return Standing::Waiting { seen: "it does not exist".to_owned(), pods: Vec::new() };
        };
        let number = |path: &[&str]| meta::integer_at(deployment, path).unwrap_or(0);
        let wanted = meta::integer_at(deployment, &["spec", "replicas"]).unwrap_or(1);
        let (ready, updated) = (number(&["status", "readyReplicas"]), number(&["status", "updatedReplicas"]));
        let total = number(&["status", "replicas"]);
        let observed = number(&["status", "observedGeneration"]) >= meta::generation(deployment);
        let pods = self.pods_of(deployment);
        if observed && ready == wanted && updated == wanted && total == wanted && wanted > 0 {
            return finished(spec, &pods, ready, wanted);
        }
        for pod in &pods {
            if let Some(failure) = stuck(pod) {
                return Standing::Stuck(Box::new(failure));
            }
        }
        let lines: Vec<String> = pods.iter().map(|pod| describe(pod)).collect();
        let detail = lines.first().map(|line| format!(", {line}")).unwrap_or_default();
        Standing::Waiting { seen: format!("{ready}/{wanted} ready{detail}"), pods: lines }
    }

    /// The pods that the Deployment selects and that are not on their way out.
    fn pods_of(&self, deployment: &Value) -> Vec<&Value> {
        let wanted = meta::at(deployment, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
        let matches = |pod: &Value| {
            wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| meta::label(pod, key) == value.as_str()))
        };
        self.pods.values().filter(|pod| !meta::is_terminating(pod) && matches(pod)).collect()
    }
}

fn finished(spec: &Rollout, pods: &[&Value], ready: i64, wanted: i64) -> Standing {
    let ready_containers = |pod: &Value| {
        let statuses = meta::list_at(pod, &["status", "containerStatuses"]);
        (statuses.iter().filter(|status| status["ready"] == true).count(), statuses.len())
    };
    // The pods' own watch may be a moment behind the Deployment's.
    if (pods.len() as i64) < wanted
        || pods.iter().any(|pod| ready_containers(pod).1 == 0 || ready_containers(pod).0 < ready_containers(pod).1)
    {
        return Standing::Waiting { seen: format!("{ready}/{wanted} ready"), pods: Vec::new() };
    }
    if let Some(containers) = spec.containers
        && let Some(pod) = pods.iter().find(|pod| ready_containers(pod).1 != containers)
    {
        let found = ready_containers(pod).1;
        let reason = if found < containers { Reason::SidecarMissing } else { Reason::ObjectChanged };
        let failure = Failure::new(
            reason,
            format!("Pod {}/{} has {found} of {containers} containers", spec.namespace, meta::name(pod)),
        );
        return Standing::Stuck(Box::new(failure));
    }
    let containers = pods.first().map_or((0, 0), |pod| ready_containers(pod));
    let names: Vec<&str> = pods.iter().map(|pod| meta::name(pod)).collect();
    let text = format!("{} {ready}/{wanted}, pod {}/{}", spec.deployment, containers.0, containers.1);
    Standing::Ready {
        text,
        facts: json!({"deployment": spec.deployment, "ready": ready, "wanted": wanted, "pods": names}),
    }
}

/// A pod that will not become ready by waiting.
fn stuck(pod: &Value) -> Option<Failure> {
    let place = format!("Pod {}", meta::key(pod));
    let statuses = meta::list_at(pod, &["status", "initContainerStatuses"])
        .iter()
        .chain(meta::list_at(pod, &["status", "containerStatuses"]));
    for status in statuses {
        let container = status["name"].as_str().unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        let message = waiting["message"].as_str().unwrap_or_default();
        let restarts = status["restartCount"].as_i64().unwrap_or(0);
        let (reason, what) = match waiting["reason"].as_str().unwrap_or_default() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
                (Reason::ImageUnknown, "its image cannot be had")
            }
            "CreateContainerConfigError" => (Reason::ContainerConfig, "its configuration is not complete"),
            "CrashLoopBackOff" if restarts >= RESTARTS => (Reason::CrashLoop, "it ends again and again"),
            _ => continue,
        };
        let mut failure = Failure::new(reason, format!("{place}, container {container}: {what}"));
        if !message.is_empty() {
            failure = failure.observed(message);
        }
        if let Some(code) = status["lastState"]["terminated"]["exitCode"].as_i64() {
            failure = failure.observed(format!("{restarts} restarts, last exit code {code}"));
        }
        return Some(failure);
    }
    None
}

/// One pod in a line: what its containers wait for.
fn describe(pod: &Value) -> String {
    let phase = meta::text_at(pod, &["status", "phase"]).unwrap_or("Pending");
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let unscheduled = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
    if let Some(message) = unscheduled.and_then(|one| one["message"].as_str()) {
        return format!("pod {phase}: {message}");
    }
    let statuses = meta::list_at(pod, &["status", "containerStatuses"]);
    let details: Vec<String> = statuses
        .iter()
        .filter(|status| status["ready"] != true)
        .map(|status| {
            let name = status["name"].as_str().unwrap_or_default();
            let waiting = &status["state"]["waiting"];
            let why = waiting["reason"].as_str().unwrap_or(if status["state"]["running"].is_object() {
                "not ready"
            } else {
                "starting"
            });
            format!("{name} {why}")
        })
        .collect();
    let details = if details.is_empty() { String::new() } else { format!(": {}", details.join(", ")) };
    format!("pod {phase}{details}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(containers: Option<usize>) -> Rollout {
        Rollout { namespace: "n".into(), deployment: "d".into(), containers, within: Duration::from_secs(1) }
    }

    fn deployment(ready: i64, observed: i64) -> Value {
        json!({
            "metadata": {"name": "d", "generation": 2},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}},
            "status": {"observedGeneration": observed, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready},
        })
    }

    fn pod(statuses: &Value) -> Value {
        json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "a"}}, "status": {"phase": "Running", "containerStatuses": statuses}})
    }

    fn judged(deployment: Value, pods: Vec<Value>, containers: Option<usize>) -> Standing {
        let mut view = View::default();
        view.deployment(Watched::Is(deployment));
        for pod in pods {
            view.pod(Watched::Is(pod));
        }
        view.judge(&spec(containers))
    }

    fn reason_of(standing: Standing) -> Reason {
        let Standing::Stuck(failure) = standing else { panic!("{standing:?}") };
        failure.reason
    }

    #[test]
    fn ready_means_seen_updated_and_complete() {
        let both = json!([{"name": "a", "ready": true}, {"name": "b", "ready": true}]);
        let Standing::Ready { text, .. } = judged(deployment(1, 2), vec![pod(&both)], Some(2)) else {
            panic!("not ready")
        };
        assert_eq!(text, "d 1/1, pod 2/2");
        assert!(
            matches!(judged(deployment(1, 1), vec![pod(&both)], Some(2)), Standing::Waiting { .. }),
            "an old status"
        );
        assert!(
            matches!(judged(deployment(1, 2), vec![], Some(2)), Standing::Waiting { .. }),
            "the pods' watch is behind"
        );
    }

    #[test]
    fn a_pod_without_its_sidecar_is_named() {
        let one = json!([{"name": "a", "ready": true}]);
        assert_eq!(reason_of(judged(deployment(1, 2), vec![pod(&one)], Some(2))), Reason::SidecarMissing);
    }

    #[test]
    fn a_pod_that_has_no_node_says_why() {
        let mut waiting = pod(&json!([]));
        waiting["status"] = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]});
        let Standing::Waiting { seen, .. } = judged(deployment(0, 2), vec![waiting], None) else { panic!() };
        assert_eq!(seen, "0/1 ready, pod Pending: 0/1 nodes are available: 1 Insufficient cpu.");
    }

    #[test]
    fn what_waiting_does_not_mend_is_told_at_once() {
        for (waiting, restarts, reason) in [
            ("ImagePullBackOff", 0, Reason::ImageUnknown),
            ("CreateContainerConfigError", 0, Reason::ContainerConfig),
            ("CrashLoopBackOff", 3, Reason::CrashLoop),
        ] {
            let statuses = json!([{"name": "a", "ready": false, "restartCount": restarts, "state": {"waiting": {"reason": waiting, "message": "m"}}}]);
            assert_eq!(reason_of(judged(deployment(0, 2), vec![pod(&statuses)], None)), reason);
        }
        let once = json!([{"name": "a", "ready": false, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
        assert!(
            matches!(judged(deployment(0, 2), vec![pod(&once)], None), Standing::Waiting { .. }),
            "one crash may be chance"
        );
    }
}
