//! A namespace exists and carries its labels, made as `kubectl create ns` and `kubectl label ns` make it.

use serde_json::{Value, json};

use super::{Change, Probe, Seen, World};
use crate::cluster::ObjectRef;
use crate::doctor::{Failure, Reason};
use crate::lab::NamespaceSpec;
use crate::objects::meta;

pub(super) async fn probe(spec: &NamespaceSpec, world: &World<'_>) -> Result<Probe, Failure> {
    let api = world.api().await?;
    let reference = reference(spec);
    let Some(namespace) = api.get(&reference).await? else {
        return Ok(Probe::Needed(Failure::new(Reason::ObjectMissing, format!("{} does not exist", reference.label()))));
    };
    if meta::is_terminating(&namespace) {
        return Err(Failure::new(Reason::NamespaceTerminating, format!("{} is being deleted", reference.label())));
    }
    let missing: Vec<String> = spec
        .labels
        .iter()
        .filter(|(key, value)| meta::label(&namespace, key) != Some(value))
        .map(|(key, value)| {
            let found = meta::label(&namespace, key).map_or("no such label".to_owned(), |found| format!("`{found}`"));
            format!("label {key} should be `{value}`, found {found}")
        })
        .collect();
    if missing.is_empty() {
        let labels: Vec<String> = spec.labels.iter().map(|(key, value)| format!(", {key}={value}")).collect();
        let text = format!("{}{}", spec.name, labels.concat());
        let facts = json!({"uid": meta::uid(&namespace), "labels": meta::labels(&namespace)});
        return Ok(Probe::Satisfied(Seen::new(text, facts).with_objects(vec![namespace])));
    }
    let mut failure = Failure::new(Reason::ObjectChanged, format!("{} lacks labels", reference.label()));
    failure.observed = missing;
    Ok(Probe::Needed(failure))
}

pub(super) async fn apply(spec: &NamespaceSpec, world: &World<'_>) -> Result<Change, Failure> {
    let api = world.api().await?;
    let reference = reference(spec);
    let mut created = Vec::new();
    if api.get(&reference).await?.is_none() {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": spec.name}});
        match api.create(&object, "kubectl-create").await {
            Ok(object) => created.push(object),
            Err(error) if error.is_already_there() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let labels: Value = spec.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let patch = json!({"metadata": {"labels": labels}});
    api.patch(&reference, "application/merge-patch+json", &patch, "kubectl-label").await?;
    Ok(Change { created, ..Change::default() })
}

fn reference(spec: &NamespaceSpec) -> ObjectRef {
    ObjectRef::new("v1", "Namespace", None, &spec.name)
}
