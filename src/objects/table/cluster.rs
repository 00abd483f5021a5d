use jiff::Timestamp;
use serde_json::{Map, Value};

use super::age::{age, since};
use crate::objects::meta;

fn or<'a>(text: Option<&'a str>, otherwise: &'a str) -> &'a str {
    text.filter(|text| !text.is_empty()).unwrap_or(otherwise)
}

fn count(object: &Value, keys: &[&str]) -> Value {
    keys.iter().map(|key| meta::at(object, &[key]).and_then(Value::as_object).map_or(0, Map::len)).sum::<usize>().into()
}

pub(super) fn namespace(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::text_at(namespace, &["status", "phase"]).unwrap_or_default().into(), age(namespace, now)]
}

pub(super) fn config_map(config_map: &Value, now: Timestamp) -> Vec<Value> {
    vec![count(config_map, &["data", "binaryData"]), age(config_map, now)]
}

pub(super) fn secret(secret: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::text_at(secret, &["type"]).unwrap_or_default().into(), count(secret, &["data"]), age(secret, now)]
}

pub(super) fn service_account(account: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::list_at(account, &["secrets"]).len().into(), age(account, now)]
}

pub(super) fn lease(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::text_at(lease, &["spec", "holderIdentity"]).unwrap_or_default().into(), age(lease, now)]
}

pub(super) fn webhooks(configuration: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::list_at(configuration, &["webhooks"]).len().into(), age(configuration, now)]
}

pub(super) fn role_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = |key: &str| meta::text_at(binding, &["roleRef", key]).unwrap_or_default();
    let subjects = |kind: &str| {
        let of_kind =
            meta::list_at(binding, &["subjects"]).iter().filter(|one| meta::text_at(one, &["kind"]) == Some(kind));
        let names = of_kind.map(|subject| {
            let name = meta::text_at(subject, &["name"]).unwrap_or_default();
            match meta::text_at(subject, &["namespace"]).filter(|_| kind == "ServiceAccount") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            }
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    vec![
        format!("{}/{}", role("kind"), role("name")).into(),
        age(binding, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = meta::list_at(node, &["status", "conditions"])
        .iter()
        .find(|condition| meta::text_at(condition, &["type"]) == Some("Ready"));
    let mut status = match ready.map(|condition| meta::text_at(condition, &["status"])) {
        Some(Some("True")) => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if meta::at(node, &["spec", "unschedulable"]).and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let found = meta::list_at(node, &["status", "addresses"])
            .iter()
            .find(|address| meta::text_at(address, &["type"]) == Some(kind));
        Value::from(or(found.and_then(|address| meta::text_at(address, &["address"])), "<none>"))
    };
    let info = |key: &str| meta::text_at(node, &["status", "nodeInfo", key]);
    vec![
        status.into(),
        roles(node).into(),
        age(node, now),
        info("kubeletVersion").unwrap_or_default().into(),
        address("InternalIP"),
        address("ExternalIP"),
        or(info("osImage"), "<unknown>").into(),
        or(info("kernelVersion"), "<unknown>").into(),
        or(info("containerRuntimeVersion"), "<unknown>").into(),
    ]
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in meta::labels(node).into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/").filter(|role| !role.is_empty()) {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str().filter(|role| !role.is_empty()));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

pub(super) fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &[&str]| meta::text_at(event, path).unwrap_or_default();
    let first_time = meta::time_at(event, &["firstTimestamp"]).or(meta::time_at(event, &["eventTime"]));
    let first = since(first_time, now);
    let last_time = meta::time_at(event, &["series", "lastObservedTime"]).or(meta::time_at(event, &["lastTimestamp"]));
    let last = if last_time.is_some() { since(last_time, now) } else { first.clone() };
    let count = meta::integer_at(event, &["series", "count"]).or(meta::integer_at(event, &["count"]));
    let kind = text(&["involvedObject", "kind"]).to_lowercase();
    let name = text(&["involvedObject", "name"]);
    let source = match (text(&["source", "component"]), text(&["source", "host"])) {
        ("", _) => match (text(&["reportingComponent"]), text(&["reportingInstance"])) {
            (component, "") => component.to_owned(),
            (component, instance) => format!("{component}, {instance}"),
        },
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    vec![
        last.into(),
        text(&["type"]).into(),
        text(&["reason"]).into(),
        if name.is_empty() { kind } else { format!("{kind}/{name}") }.into(),
        text(&["involvedObject", "fieldPath"]).into(),
        source.into(),
        text(&["message"]).trim().into(),
        first.into(),
        count.filter(|count| *count > 0).unwrap_or(1).into(),
        meta::name(event).into(),
    ]
}

pub(super) fn persistent_volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let spec = |key: &str| meta::text_at(volume, &["spec", key]).unwrap_or_default();
    let claim = match meta::at(volume, &["spec", "claimRef"]) {
        Some(claim) => {
            let text = |key: &str| meta::text_at(claim, &[key]).unwrap_or_default();
            format!("{}/{}", text("namespace"), text("name"))
        }
        None => String::new(),
    };
    vec![
        meta::text_at(volume, &["spec", "capacity", "storage"]).unwrap_or_default().into(),
        access_modes(volume, &["spec", "accessModes"]),
        spec("persistentVolumeReclaimPolicy").into(),
        meta::text_at(volume, &["status", "phase"]).unwrap_or_default().into(),
        claim.into(),
        spec("storageClassName").into(),
        meta::text_at(volume, &["status", "reason"]).unwrap_or_default().into(),
        age(volume, now),
        or(Some(spec("volumeMode")), "<unset>").into(),
    ]
}

pub(super) fn persistent_volume_claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let spec = |key: &str| meta::text_at(claim, &["spec", key]).unwrap_or_default();
    let bound = !spec("volumeName").is_empty();
    vec![
        meta::text_at(claim, &["status", "phase"]).unwrap_or_default().into(),
        spec("volumeName").into(),
        meta::text_at(claim, &["status", "capacity", "storage"]).filter(|_| bound).unwrap_or_default().into(),
        if bound { access_modes(claim, &["status", "accessModes"]) } else { "".into() },
        spec("storageClassName").into(),
        age(claim, now),
        or(Some(spec("volumeMode")), "<unset>").into(),
    ]
}

fn access_modes(object: &Value, path: &[&str]) -> Value {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => Some("RWO"),
        Some("ReadOnlyMany") => Some("ROX"),
        Some("ReadWriteMany") => Some("RWX"),
        Some("ReadWriteOncePod") => Some("RWOP"),
        _ => None,
    };
    meta::list_at(object, path).iter().filter_map(short).collect::<Vec<_>>().join(",").into()
}
