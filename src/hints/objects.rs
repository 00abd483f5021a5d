//! Namespaces and objects: what is not there, elsewhere, or refused.

use serde_json::Value;

use super::facts::{Facts, Wanted};
use crate::doctor::{Failure, Situation};
use crate::objects::{Gvk, meta};
use crate::yaml::nearest;

pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = namespaces(facts, wanted);
    found.extend(facts.refused_files.iter().map(|(file, words)| refused(file, words)));
    if super::is_without_namespace(&found) {
        return found;
    }
    for (file, manifest) in &wanted.manifests {
        found.extend(object(facts, file, manifest));
    }
    for (file, (label, fields)) in &facts.altered {
        found.push(
            Situation::Altered
                .seen(format!("{label} is not as {file} says"))
                .observed(format!("differs in {}", fields.join(", ")))
                .then(format!("kubectl diff -f {file}"), "shows the difference; in `canary-lab walk` it is key d")
                .then(format!("kubectl apply -f {file}"), "applies the lab's manifest again"),
        );
    }
    found
}

fn namespaces(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = Vec::new();
    for (name, labels) in &wanted.namespaces {
        let Some(namespace) = facts.namespaces.iter().find(|namespace| meta::name(namespace) == name) else {
            let mut failure = Situation::NamespaceMissing
                .seen(format!("Namespace {name} does not exist"))
                .then(format!("kubectl create ns {name}"), "creates it");
            let there: Vec<String> =
                facts.namespaces.iter().map(|namespace| meta::name(namespace).to_owned()).collect();
            if let Some(near) = nearest(name, &there) {
                failure = failure.observed(format!("Namespace {near} exists, which is another one"));
            }
            for (key, value) in labels {
                failure = failure.then(format!("kubectl label ns {name} {key}={value}"), "asks for sidecars");
            }
            found.push(failure);
            continue;
        };
        if meta::is_terminating(namespace) {
            found.push(terminating(namespace));
            continue;
        }
        for (key, value) in labels {
            let has = meta::label(namespace, key);
            if has == Some(value) {
                continue;
            }
            let seen = has.map_or_else(|| format!("no label {key}"), |has| format!("label {key}={has}"));
            found.push(
                Situation::NamespaceNotLabelled
                    .seen(format!("Namespace {name} lacks the label {key}={value}"))
                    .observed(format!("Namespace {name} has {seen}"))
                    .then(format!("kubectl label ns {name} {key}={value} --overwrite"), "labels it, for new pods")
                    .then(
                        format!("kubectl rollout restart deployment -n {name}"),
                        "makes pods anew that exist already",
                    ),
            );
        }
    }
    found
}

/// A namespace on its way out, with what the server says is still in it.
fn terminating(namespace: &Value) -> Failure {
    let name = meta::name(namespace);
    let mut failure = Situation::NamespaceTerminating.seen(format!("Namespace {name} is being deleted"));
    for condition in meta::list_at(namespace, &["status", "conditions"]) {
        let remains = condition["type"].as_str().is_some_and(|kind| kind.ends_with("Remaining"));
        if let Some(message) = condition["message"].as_str().filter(|_| remains && condition["status"] == "True") {
            failure = failure.observed(message.to_owned());
        }
    }
    failure
        .then(format!("kubectl get ns {name} -o yaml"), "shows in its conditions what it waits for")
        .then("canary-lab up", "makes it anew as soon as it has gone")
}

fn refused(file: &str, words: &str) -> Failure {
    let situation =
        if words.contains("total destination weight") { Situation::WeightsRefused } else { Situation::ManifestRefused };
    let mut failure = situation.seen(format!("{file} is refused")).observed(words.to_owned());
    if words.contains("limits.embedded.canary-lab") {
        failure.cause = Some("it is valid in Istio, and the embedded cluster does not emulate it".to_owned());
    }
    failure
        .then(
            format!("canary-lab walk, key d in its stage, or an editor on {file}"),
            "shows where it differs from the lab's",
        )
        .then("canary-lab up", "applies the lab's own manifest and keeps yours beside it")
}

/// What is wrong with one object that the lab wants; nothing when it is there.
fn object(facts: &Facts, file: &str, manifest: &Value) -> Option<Failure> {
    let gvk = Gvk::of(manifest)?;
    let (name, namespace) = (meta::name(manifest), meta::namespace(manifest));
    let same = |object: &&Value| {
        meta::name(object) == name
            && Gvk::of(object).is_some_and(|other| other.group == gvk.group && other.kind == gvk.kind)
    };
    if facts.all().filter(same).any(|object| meta::namespace(object) == namespace) {
        return None;
    }
    let label =
        format!("{} {}{name}", gvk.kind, namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default());
    let elsewhere = facts.all().filter(same).find_map(meta::namespace);
    let plural = kubectl_kind(&gvk);
    Some(match elsewhere {
        Some(other) => Situation::WrongNamespace
            .seen(format!("{label} does not exist; there is one in namespace {other}"))
            .observed(format!("{} {other}/{name}", gvk.kind))
            .then(format!("kubectl apply -f {file}"), "makes it where it belongs")
            .then(format!("kubectl delete {plural} {name} -n {other}"), "removes the other one"),
        None => Situation::NotApplied
            .seen(format!("{label} does not exist"))
            .then(format!("kubectl apply -f {file}"), "makes it"),
    })
}

/// A kind as kubectl takes it without doubt: `deployment.apps`, `configmap`.
pub(super) fn kubectl_kind(gvk: &Gvk) -> String {
    let kind = gvk.kind.to_lowercase();
    if gvk.group.is_empty() { kind } else { format!("{kind}.{}", gvk.group) }
}
