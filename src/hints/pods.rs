//! Deployments and pods: what keeps a model server from serving.

use serde_json::Value;

use super::facts::{Facts, Wanted, has_labels, shown, text_map};
use crate::doctor::{Failure, Situation};
use crate::objects::meta;

/// The label by which a namespace asks for sidecars.
const INJECTION: &str = "istio-injection";
/// The number of a ReplicaSet among those of its Deployment; it grows when an earlier template is taken up again.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// What TensorFlow Serving says when the folder that it watches holds no version.
const NO_VERSIONS: [&str; 2] = ["No versions of servable", "Could not find base path"];
/// Words by which it reports damaged files.
const DAMAGE: [&str; 5] = ["Data loss", "DATA_LOSS", "DataLoss", "truncated", "checksum"];
/// What it says of a flag's value that it does not understand; its usage follows, which tells nothing of the mistake.
const MISTYPED: &str = "Couldn't interpret value";
/// What it says once it answers over HTTP.
const SERVING: &str = "Exporting HTTP/REST API at";

pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = Vec::new();
    for (file, manifest) in wanted.manifests.iter().filter(|(_, manifest)| manifest["kind"] == "Deployment") {
        let (name, namespace) = (meta::name(manifest), meta::namespace(manifest));
        let same = |object: &&Value| meta::name(object) == name && meta::namespace(object) == namespace;
        let Some(deployment) = facts.deployments.iter().find(same) else { continue };
        if meta::integer_at(deployment, &["spec", "replicas"]) == Some(0) {
            let place = namespace.unwrap_or_default();
            found.push(
                Situation::ReplicasZero
                    .seen(format!("Deployment {place}/{name} is scaled to 0"))
                    .observed(format!("Deployment {place}/{name} has spec.replicas 0"))
                    .then(format!("kubectl scale deployment {name} -n {place} --replicas=1"), "starts a pod again"),
            );
        }
        let selector = text_map(meta::at(deployment, &["spec", "selector", "matchLabels"]));
        let pods = facts
            .pods()
            .filter(|pod| meta::namespace(pod) == namespace && !selector.is_empty() && has_labels(pod, &selector));
        let pods = of_newest_template(facts, pods.collect());
        if let Some(failure) = pods.iter().find_map(|pod| pod_failure(facts, wanted, deployment, pod, file)) {
            found.push(failure);
        } else if let Some(failure) = pods.iter().find_map(|pod| sidecar(facts, pod)) {
            found.push(failure);
        }
    }
    found
}

/// The pods that were made by the Deployment as it is now, or was last while it could make any; the newest first.
///
/// A rollout that is stuck keeps pods of the template before, and what ails them is an earlier mistake, mended or not:
/// the new pods tell what is wrong now.
fn of_newest_template<'a>(facts: &Facts, mut pods: Vec<&'a Value>) -> Vec<&'a Value> {
    let revision = |pod: &Value| {
        let owner = meta::controller_of(pod)?;
        let set = facts.replica_sets.iter().find(|set| meta::uid(set) == owner["uid"].as_str().unwrap_or_default())?;
        meta::annotation(set, REVISION)?.parse::<u64>().ok()
    };
    let newest = pods.iter().filter_map(|pod| revision(pod)).max();
    pods.retain(|pod| revision(pod) == newest);
    pods.sort_by_key(|pod| std::cmp::Reverse(meta::creation_time(pod)));
    pods
}

/// A pod without a sidecar in a namespace that asks for one.
fn sidecar(facts: &Facts, pod: &Value) -> Option<Failure> {
    let name = meta::namespace(pod)?;
    let namespace = facts.namespaces.iter().find(|namespace| meta::name(namespace) == name)?;
    let containers = meta::list_at(pod, &["spec", "containers"]);
    if meta::label(namespace, INJECTION) != Some("enabled")
        || containers.iter().any(|container| container["name"] == "istio-proxy")
    {
        return None;
    }
    Some(
        Situation::LabelAfterPods
            .seen(format!("Pod {} has no sidecar", meta::key(pod)))
            .observed(format!("its containers: {}; the namespace carries {INJECTION}=enabled", containers.len()))
            .then(format!("kubectl rollout restart deployment -n {name}"), "makes new pods, with sidecars"),
    )
}

fn pod_failure(facts: &Facts, wanted: &Wanted, deployment: &Value, pod: &Value, file: &str) -> Option<Failure> {
    let place = meta::key(pod);
    let namespace = meta::namespace(pod).unwrap_or_default();
    for status in meta::list_at(pod, &["status", "containerStatuses"]) {
        let container = status["name"].as_str().unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        let message = waiting["message"].as_str().unwrap_or_default();
        let subject = format!("Pod {place}, container {container}");
        match waiting["reason"].as_str().unwrap_or_default() {
            "CreateContainerConfigError" => return Some(config_missing(wanted, &subject, message, namespace)),
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                let image = spec_of(pod, container).and_then(|spec| spec["image"].as_str()).unwrap_or("?");
                return Some(
                    Situation::ImageMisspelt
                        .seen(format!("{subject}: the image {image} cannot be had"))
                        .observed(message.to_owned())
                        .then(format!("kubectl apply -f {file}"), "puts the lab's image back"),
                );
            }
            _ => {}
        }
        let log = facts.logs.get(&format!("{place}/{container}")).map(String::as_str).unwrap_or_default();
        if !is_serving(log, status) {
            let found = key_missing(facts, wanted, pod, container).or_else(|| by_log(&subject, pod, container, log));
            if found.is_some() {
                return found;
            }
        }
        let restarts = status["restartCount"].as_i64().unwrap_or(0);
        let ended = waiting["reason"] == "CrashLoopBackOff" || (restarts > 1 && status["ready"] != true);
        if ended && container != "istio-proxy" {
            let code = status["lastState"]["terminated"]["exitCode"].as_i64();
            let code = code.map(|code| format!(", last exit code {code}")).unwrap_or_default();
            let mut failure = Situation::Crashing
                .seen(format!("{subject}: it ends again and again"))
                .observed(format!("{restarts} restarts{code}"));
            let last = log.lines().skip(log.lines().count().saturating_sub(2));
            match log.lines().find(|line| line.contains(MISTYPED)) {
                Some(line) => failure.observed.push(line.trim().to_owned()),
                None => failure.observed.extend(last.map(str::to_owned)),
            }
            let name = meta::name(pod);
            return Some(failure.then(
                format!("kubectl logs -n {namespace} {name} -c {container} --previous"),
                "shows what it wrote before it ended",
            ));
        }
    }
    unschedulable(pod, deployment)
}

fn config_missing(wanted: &Wanted, subject: &str, message: &str, namespace: &str) -> Failure {
    let name = message.split('"').nth(1).unwrap_or_default();
    let failure =
        Situation::ConfigMapMissing.seen(format!("{subject} waits for its configuration")).observed(message.to_owned());
    wanted
        .put_back(failure, "ConfigMap", name, "makes the ConfigMap; the pod goes on by itself")
        .then(format!("kubectl get configmaps -n {namespace}"), "lists the ones that exist")
}

/// Arguments of a container that name a variable, such as `--model_base_path=$(MODEL_PATH)`, with the variable.
fn arguments_with_variables(pod: &Value, container: &str) -> Vec<(String, String)> {
    let Some(spec) = spec_of(pod, container) else { return Vec::new() };
    let arguments = meta::list_at(spec, &["args"]).iter().filter_map(Value::as_str);
    arguments
        .filter_map(|argument| {
            let (_, rest) = argument.split_once("$(")?;
            let (variable, _) = rest.split_once(')')?;
            Some((argument.to_owned(), variable.to_owned()))
        })
        .collect()
}

/// A variable of the arguments that no ConfigMap of the container provides.
fn key_missing(facts: &Facts, wanted: &Wanted, pod: &Value, container: &str) -> Option<Failure> {
    let namespace = meta::namespace(pod);
    let spec = spec_of(pod, container);
    let sources: Vec<&str> = spec
        .map(|spec| meta::list_at(spec, &["envFrom"]))
        .unwrap_or_default()
        .iter()
        .filter_map(|source| source.pointer("/configMapRef/name").and_then(Value::as_str))
        .collect();
    let own: Vec<&str> = spec
        .map(|spec| meta::list_at(spec, &["env"]))
        .unwrap_or_default()
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    let data = |name: &str| {
        let map = facts.config_maps.iter().find(|map| meta::name(map) == name && meta::namespace(map) == namespace);
        text_map(map.and_then(|map| map.get("data")))
    };
    let provided =
        |variable: &str| own.contains(&variable) || sources.iter().any(|name| data(name).contains_key(variable));
    let arguments = arguments_with_variables(pod, container);
    let (argument, variable) = arguments.iter().find(|(_, variable)| !provided(variable))?;
    let mut failure = Situation::ConfigMapKeyMissing
        .seen(format!("Pod {}, container {container}: {variable} is not set", meta::key(pod)))
        .observed(format!("argument {argument}"));
    for name in &sources {
        let keys: Vec<String> = data(name).into_keys().collect();
        failure = failure.observed(format!("ConfigMap {name} has {}", keys.join(", ")));
    }
    let name = sources.first().copied().unwrap_or_default();
    let deployment = meta::name(pod).rsplitn(3, '-').last().unwrap_or_default();
    Some(wanted.put_back(failure, "ConfigMap", name, "puts the lab's ConfigMap back").then(
        format!("kubectl rollout restart deployment {deployment} -n {}", namespace.unwrap_or_default()),
        "makes new pods, which read it",
    ))
}

/// What a log says about a model server that does not serve.
fn by_log(subject: &str, pod: &Value, container: &str, log: &str) -> Option<Failure> {
    if let Some(line) = log.lines().rev().find(|line| DAMAGE.iter().any(|word| line.contains(word))) {
        return Some(
            Situation::ModelDamaged
                .seen(format!("{subject}: the model cannot be loaded"))
                .observed(line.trim().to_owned())
                .then("canary-lab up", "checks the models' files and builds damaged ones again"),
        );
    }
    let line = log.lines().rev().find(|line| NO_VERSIONS.iter().any(|words| line.contains(words)))?;
    let mut failure = no_versions(subject, pod, container, base_path_of(line));
    failure.observed.insert(0, line.trim().to_owned());
    Some(failure)
}

/// The path that a log line speaks of.
fn base_path_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("base path ")?;
    rest.split_whitespace().next().map(|path| path.trim_end_matches(['.', ',']))
}

/// No version of the model is where the server looks: the path is not the mount's, or what is mounted is empty.
fn no_versions(subject: &str, pod: &Value, container: &str, base: Option<&str>) -> Failure {
    let mounts = spec_of(pod, container).map(|spec| meta::list_at(spec, &["volumeMounts"])).unwrap_or_default();
    let paths: Vec<&str> = mounts
        .iter()
        .filter_map(|mount| mount["mountPath"].as_str())
        .filter(|path| !path.starts_with("/var/run/secrets"))
        .collect();
    let namespace = meta::namespace(pod).unwrap_or_default();
    if let Some(base) = base
        && !paths.contains(&base)
    {
        let deployment = meta::name(pod).rsplitn(3, '-').last().unwrap_or_default();
        return Situation::ModelPathWrong
            .seen(format!("{subject}: no model at {base}"))
            .observed(format!("the pod mounts {}", paths.join(", ")))
            .then(format!("kubectl get configmaps -n {namespace} -o yaml"), "shows MODEL_PATH")
            .then(
                format!("kubectl rollout restart deployment {deployment} -n {namespace}"),
                "after the ConfigMap is right: makes new pods, which read it",
            );
    }
    let volumes = meta::list_at(pod, &["spec", "volumes"]);
    let host = volumes.iter().find_map(|volume| volume.pointer("/hostPath/path").and_then(Value::as_str));
    let host = host.unwrap_or("?");
    Situation::HostPathEmpty
        .seen(format!("{subject}: the folder that it mounts holds no model"))
        .observed(format!("hostPath {host}"))
        .then(format!("ls -la {host}"), "on the node: shows what is there; a folder 1 with saved_model.pb should be")
        .then("canary-lab up", "puts the models back, and the lab's own manifests")
}

/// Whether the model server answers requests: it says so in its log, and nothing ended it since.
fn is_serving(log: &str, status: &Value) -> bool {
    status["state"]["running"].is_object() && (log.is_empty() || log.contains(SERVING))
}

fn spec_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    meta::list_at(pod, &["spec", "containers"]).iter().find(|spec| spec["name"] == container)
}

fn unschedulable(pod: &Value, deployment: &Value) -> Option<Failure> {
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let condition =
        conditions.iter().find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")?;
    let requests = meta::list_at(deployment, &["spec", "template", "spec", "containers"]);
    let requests = requests.first().and_then(|container| container.pointer("/resources/requests"));
    Some(
        Situation::Unschedulable
            .seen(format!("Pod {} has no node", meta::key(pod)))
            .observed(condition["message"].as_str().unwrap_or_default().to_owned())
            .observed(format!("it asks for {}", shown(&text_map(requests))))
            .then("kubectl describe nodes", "shows what the nodes have left"),
    )
}
