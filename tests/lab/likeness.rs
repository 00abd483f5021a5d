//! The whole of a lab as text that two labs can be compared by: cluster objects, files and records, without what differs
//! from run to run (identities, counters, times, addresses, keys).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use canary_lab::cluster::Api;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bench::Bench;

/// Members of objects that count, date or identify; and what a container went through.
const RUN_TO_RUN: [&str; 12] = [
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "managedFields",
    "caBundle",
    "containerID",
    "restartCount",
    "lastState",
    "nodePort",
    "resource_version",
    "clusterIPs",
];

/// Begins the name of the token's volume, which is another one in every pod.
const VOLUME: &str = "kube-api-access-";

/// What a lab is, by the names of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Likeness(pub(crate) BTreeMap<String, String>);

impl Likeness {
    /// Of the lab's cluster (nothing, if none runs), files and records. Models and caches are told only `with_models`.
    pub(crate) fn of(bench: &Bench, with_models: bool) -> Self {
        let mut parts = objects(bench);
        files(&bench.home(), &bench.home(), with_models, &mut parts);
        parts.insert("records".to_owned(), records(bench));
        Self(parts)
    }

    /// What differs, a line each.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, text) in &self.0 {
            match other.0.get(name) {
                None => lines.push(format!("- {name}")),
                Some(found) if found != text => lines.push(format!("~ {name}\n{}", by_line(text, found))),
                Some(_) => {}
            }
        }
        lines.extend(other.0.keys().filter(|name| !self.0.contains_key(*name)).map(|name| format!("+ {name}")));
        lines
    }
}

fn by_line(one: &str, other: &str) -> String {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let mut text = String::new();
    for line in one.iter().filter(|line| !other.contains(line)) {
        let _ = writeln!(text, "  - {}", line.trim());
    }
    for line in other.iter().filter(|line| !one.contains(line)) {
        let _ = writeln!(text, "  + {}", line.trim());
    }
    text
}

/// Every object of the running cluster, as the API tells them.
pub(crate) fn live_objects(bench: &Bench) -> Vec<Value> {
    let kubeconfig = bench.home().join("kubeconfig");
    if !kubeconfig.exists() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let api = Api::connect(&kubeconfig).await.unwrap();
        let kinds = api.kinds().await.unwrap();
        api.everything(&kinds, None).await.unwrap()
    })
}

fn objects(bench: &Bench) -> BTreeMap<String, String> {
    let found = live_objects(bench);
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    // Names that are made up: hashes of pod templates (which have the home's path in them), and suffixes.
    let mut made_up: Vec<(String, String)> = vec![(bench.home().display().to_string(), "HOME".to_owned())];
    for object in &found {
        if object["kind"] == "ReplicaSet"
            && let Some(hash) = text(object, "/metadata/labels/pod-template-hash")
        {
            made_up.push((hash, "HASH".to_owned()));
        }
        if let (Some(name), Some(base)) = (text(object, "/metadata/name"), text(object, "/metadata/generateName")) {
            made_up.push((name, format!("{base}X")));
        }
    }
    // Longer names first: a pod's has the hash in it.
    made_up.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut parts = BTreeMap::new();
    for mut object in found {
        if object["kind"] == "Event" || object.pointer("/metadata/deletionTimestamp").is_some() {
            continue;
        }
        forget(&mut object);
        let namespace = text(&object, "/metadata/namespace").unwrap_or_default();
        let label =
            format!("{} {namespace}/{}", object["kind"].as_str().unwrap(), text(&object, "/metadata/name").unwrap());
        let mut text = serde_json::to_string_pretty(&sorted(&object)).unwrap();
        let mut label = plain(&label, &made_up);
        text = plain(&text, &made_up);
        while parts.contains_key(&label) {
            label.push('\'');
        }
        parts.insert(label, text);
    }
    parts
}

fn plain(text: &str, made_up: &[(String, String)]) -> String {
    let mut text = made_up.iter().fold(text.to_owned(), |text, (name, base)| text.replace(name.as_str(), base));
    let mut from = 0;
    while let Some(at) = text[from..].find(VOLUME) {
        let start = from + at + VOLUME.len();
        let end = text[start..].find('"').map_or(text.len(), |end| start + end);
        text.replace_range(start..end, "X");
        from = start;
    }
    text
}

/// Objects compare by their members, whatever their order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: BTreeMap<&String, Value> = members.iter().map(|(key, value)| (key, sorted(value))).collect();
            ordered.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, value| !RUN_TO_RUN.contains(&key.as_str()) && !value.is_null());
            if let Some(Value::Array(conditions)) = members.get_mut("conditions") {
                conditions.sort_by_key(|condition| condition["type"].to_string());
            }
            for (key, value) in members {
                if key.ends_with("Time") || key.ends_with("Timestamp") || key.ends_with("At") {
                    *value = json!("TIME");
                }
                forget(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::String(text) if text.contains("-----BEGIN") || text.starts_with("LS0tLS1CRUdJTi") => {
            "PEM".clone_into(text);
        }
        Value::String(text) if text.contains("127.") => *text = without_addresses(text),
        _ => {}
    }
}

/// `127.77.0.1:80` becomes `ADDRESS`, in whatever text it stands.
fn without_addresses(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("127.") {
        plain.push_str(&rest[..at]);
        plain.push_str("ADDRESS");
        let end = rest[at..].find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':');
        rest = end.map_or("", |end| &rest[at + end..]);
    }
    plain + rest
}

/// Files of the home by their contents; of the cluster's own only whether there are some.
fn files(root: &Path, directory: &Path, with_models: bool, parts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        match name.as_str() {
            // The records of runs are a history; locks and the state are told otherwise.
            "runs" | "lock" | "state.json" => {}
            "models" | "cache" if !with_models => {}
            "cluster" | "kubeconfig" => {
                parts.insert(format!("file {name}"), "there".to_owned());
            }
            _ if path.is_dir() => files(root, &path, with_models, parts),
            _ => {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes).replace(root.to_str().unwrap(), "HOME");
                let digest = Sha256::digest(text.as_bytes());
                parts.insert(format!("file {name}"), format!("{digest:x?}"));
            }
        }
    }
}

/// Stages, inventory and files as the state has them.
fn records(bench: &Bench) -> String {
    let Ok(text) = fs::read_to_string(bench.home().join("state.json")) else { return "none".to_owned() };
    let state: Value = serde_json::from_str(&text).unwrap();
    let state = &state["state"];
    let mut stages: Vec<String> = state["stages"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, record)| format!("{id} {}", record["standing"].as_str().unwrap()))
        .collect();
    stages.sort();
    let mut items: Vec<String> = state["inventory"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {} {}", text("kind"), text("namespace"), text("name"), text("creator"), text("stage"))
        })
        .collect();
    items.sort();
    let record = json!({
        "lab": state["lab"], "provider": state["provider"], "cluster": state["cluster"].is_string(), "stages": stages,
        "inventory": items, "intended": state["intended"], "files": state["work_files"].as_object().map(|files| files.keys().collect::<Vec<_>>()),
    });
    serde_json::to_string_pretty(&record).unwrap()
}
