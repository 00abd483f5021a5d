//! Changed behind its back: `verify` names what is not as it was, `up` mends that, and nothing else is touched.
//!
//! Several objects are changed at a time, one of each kind of the inventory; `CANARY_LAB_DRIFT=all` changes every object
//! of the inventory by itself, in every way.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::bench::Bench;
use super::kubernetes::Cluster;
use super::likeness::Likeness;

/// A way to change an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    /// What a manifest says is made to say something else.
    Change,
    /// Something is added that no manifest has.
    Add,
    /// The object goes.
    Delete,
}

const EDITS: [Edit; 3] = [Edit::Change, Edit::Add, Edit::Delete];

/// An item of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Item {
    fn named(&self) -> (&str, &str, Option<&str>, &str) {
        (&self.api_version, &self.kind, self.namespace.as_deref(), &self.name)
    }

    fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// A change of what the object's manifest says, as a merge patch.
    fn change(&self) -> Value {
        match self.kind.as_str() {
            "Namespace" if self.name == "tf-serving" => {
                json!({"metadata": {"labels": {"istio-injection": "disabled"}}})
            }
            "ConfigMap" if self.name.starts_with("resnet") => json!({"data": {"MODEL_NAME": "another"}}),
            "Deployment" if self.namespace.as_deref() == Some("tf-serving") => json!({"spec": {"replicas": 2}}),
            // How many of these there are is their autoscaler's affair: their manifests do not say.
            "Deployment" => json!({"spec": {"minReadySeconds": 1}}),
            "Service" if self.name == "image-classifier" => json!({"spec": {"selector": {"app": "another"}}}),
            "Gateway" => {
                json!({"spec": {"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a.example"]}]}})
            }
            "VirtualService" => {
                json!({"spec": {"http": [{"route": [{"destination": {"host": "image-classifier", "subset": "resnet101"}}]}]}})
            }
            "DestinationRule" => {
                json!({"spec": {"subsets": [{"name": "resnet50", "labels": {"version": "resnet50"}}]}})
            }
            "ClusterRole" | "Role" => json!({"rules": []}),
            "ClusterRoleBinding" | "RoleBinding" => json!({"subjects": []}),
            "PodDisruptionBudget" => json!({"spec": {"minAvailable": 0}}),
            "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 9}}),
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => json!({"webhooks": []}),
            "CustomResourceDefinition" => json!({"spec": {"names": {"categories": ["another"]}}}),
            _ => self.addition(),
        }
    }

    /// Something that no manifest has.
    fn addition(&self) -> Value {
        match self.kind.as_str() {
            "ConfigMap" => json!({"data": {"ADDED": "x"}}),
            "Service" => json!({"spec": {"selector": {"added": "x"}}}),
            // A label more on a namespace is its owner's affair; one less is not.
            "Namespace" if self.name == "tf-serving" => json!({"metadata": {"labels": {"istio-injection": null}}}),
            _ => json!({"metadata": {"labels": {"added": "x"}}}),
        }
    }
}

fn inventory(bench: &Bench) -> Vec<Item> {
    let status = bench.json(&["status"]);
    let text = |item: &Value, field: &str| item[field].as_str().map(str::to_owned);
    let item = |item: &Value| Item {
        api_version: text(item, "api_version").unwrap(),
        kind: text(item, "kind").unwrap(),
        namespace: text(item, "namespace"),
        name: text(item, "name").unwrap(),
    };
    status["inventory"].as_array().unwrap().iter().map(item).collect()
}

/// One object of each kind; of the kinds that the lab itself applies, the lab's.
fn one_of_each_kind(items: &[Item]) -> Vec<Item> {
    let mut chosen: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in items {
        if item.kind != "Deployment" || item.namespace.as_deref() == Some("tf-serving") {
            chosen.insert(&item.kind, item);
        }
    }
    chosen.into_values().cloned().collect()
}

fn edit(cluster: &Cluster, item: &Item, edit: Edit) {
    match edit {
        Edit::Change => cluster.patch(item.named(), &item.change().to_string()),
        Edit::Add => cluster.patch(item.named(), &item.addition().to_string()),
        Edit::Delete => cluster.delete(item.named()),
    }
}

/// Identity and revision of every object but these; a Deployment's and the like by what is wanted of it.
fn untouched(cluster: &Cluster, items: &[Item], but: &[Item]) -> Vec<String> {
    let others = items.iter().filter(|item| !but.contains(item));
    others
        .filter_map(|item| {
            let live = cluster.get(item.named())?;
            let (uid, generation) = (&live["metadata"]["uid"], &live["metadata"]["generation"]);
            let counts = if generation.is_null() && live.get("status").is_none() {
                &live["metadata"]["resourceVersion"]
            } else {
                generation
            };
            Some(format!("{} {uid} {counts}", item.label()))
        })
        .collect()
}

/// Changes the objects, and holds `verify` and `up` to their word.
fn drift(bench: &Bench, items: &[Item], victims: &[Item], how: Edit, wanted: &Likeness) {
    let cluster = Cluster::of(bench);
    let before = untouched(&cluster, items, victims);
    for victim in victims {
        edit(&cluster, victim, how);
    }
    let verify = bench.tiny(&["--output", "json", "verify"]);
    assert_ne!(verify.code, 0, "{how:?} of {victims:?} is not seen");
    for victim in victims {
        assert!(verify.out.contains(&victim.label()), "{how:?} of {} is not named:\n{}", victim.label(), verify.out);
    }
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "after {how:?} of {victims:?}: {}\n{}", up.out, up.err);
    let differences = wanted.differences(&Likeness::of(bench, true));
    assert!(differences.is_empty(), "after {how:?} of {victims:?}:\n{}", differences.join("\n"));
    // What goes with a namespace or a definition is not untouched; everything else is.
    if how != Edit::Delete
        || !victims.iter().any(|victim| matches!(victim.kind.as_str(), "Namespace" | "CustomResourceDefinition"))
    {
        assert_eq!(untouched(&cluster, items, victims), before, "{how:?} of {victims:?}");
    }
}

#[test]
fn every_kind_of_object_is_mended() {
    let bench = Bench::new();
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let wanted = Likeness::of(&bench, true);
    let items = inventory(&bench);
    if std::env::var("CANARY_LAB_DRIFT").is_ok_and(|which| which == "all") {
        for how in EDITS {
            for item in &items {
                drift(&bench, &items, std::slice::from_ref(item), how, &wanted);
            }
        }
        println!("{} objects, each changed, added to and deleted: all were named and mended", items.len());
        return;
    }
    let kinds = one_of_each_kind(&items);
    assert!(kinds.len() >= 16, "{kinds:?}");
    drift(&bench, &items, &kinds, Edit::Change, &wanted);
    drift(&bench, &items, &kinds, Edit::Add, &wanted);
    let deletable: Vec<Item> = kinds
        .into_iter()
        .filter(|item| !matches!(item.kind.as_str(), "Namespace" | "CustomResourceDefinition"))
        .collect();
    drift(&bench, &items, &deletable, Edit::Delete, &wanted);
    let namespace: Vec<Item> = items.iter().filter(|item| item.label() == "Namespace tf-serving").cloned().collect();
    drift(&bench, &items, &namespace, Edit::Delete, &wanted);
}

#[test]
fn every_file_of_a_model_is_mended() {
    let bench = Bench::new();
    let up = bench.tiny(&["up", "--until", "models"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    for model in ["resnet50", "resnet101"] {
        for name in ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"] {
            let path = bench.home().join("models").join(model).join("1").join(name);
            let bytes = fs::read(&path).unwrap();
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 1;
            for damaged in [Some(flipped), Some(bytes[..bytes.len() / 2].to_vec()), Some(Vec::new()), None] {
                match damaged {
                    Some(damaged) => fs::write(&path, damaged).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let verify = bench.tiny(&["verify"]);
                assert_eq!(verify.code, 14, "{}\n{}", verify.out, verify.err);
                assert!(verify.err.contains("MODEL_DAMAGED") && verify.err.contains(name), "{}", verify.err);
                let up = bench.json(&["up", "--until", "models"]);
                let outcomes: Vec<&str> =
                    up["stages"].as_array().unwrap().iter().map(|stage| stage["outcome"].as_str().unwrap()).collect();
                assert_eq!(outcomes, ["satisfied", "satisfied", "satisfied", "satisfied", "changed"], "{up:#}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "built again, byte for byte");
            }
        }
    }
}
