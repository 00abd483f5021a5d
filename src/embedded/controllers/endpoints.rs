//! The endpoints controller: which pods stand behind a Service, as Endpoints and as an EndpointSlice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::queue::{ObjectKey, WorkQueue};
use super::{names, pod_facts};
use crate::embedded::api::{DeleteOptions, Registry, Status};
use crate::objects::meta;
use crate::objects::selector::LabelSelector;

const SLICES: &str = "endpointslices.discovery.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry) {
    let mut queue = WorkQueue::default();
    let mut services = registry.watch("services", None);
    let mut pods = registry.watch("pods", None);
    loop {
        let key = tokio::select! {
            biased;
            event = services.next() => {
                queue.add(ObjectKey::of(event.object()));
                continue;
            }
            event = pods.next() => {
                let versions = [Some(event.object()), event.old()];
                for pod in versions.into_iter().flatten() {
                    queue.add_all(selecting(&registry, pod));
                }
                continue;
            }
            key = queue.next() => key,
        };
        match sync(&registry, &key).await {
            Ok(()) => queue.succeeded(&key),
            Err(status) => {
                tracing::debug!("endpoints {}/{}: {}", key.namespace, key.name, status.message);
                queue.failed(key);
            }
        }
    }
}

/// The Services that select this pod.
fn selecting(registry: &Registry, pod: &Value) -> Vec<ObjectKey> {
    let Ok((services, _)) = registry.list("services", meta::namespace(pod)) else { return vec![] };
    services.iter().filter(|service| selects(service, pod)).map(|service| ObjectKey::of(service)).collect()
}

/// A Service without a selector selects nothing: whoever made it looks after its endpoints.
fn selects(service: &Value, pod: &Value) -> bool {
    let selector = &service["spec"]["selector"];
    selector.as_object().is_some_and(|labels| !labels.is_empty())
        && LabelSelector::from_map(Some(selector)).matches_object(pod)
}

async fn sync(registry: &Registry, key: &ObjectKey) -> Result<(), Status> {
    let service = match registry.get("services", key.scope(), &key.name) {
        Ok(service) => service,
        // The Endpoints object has the Service's name and no owner, so it is not collected as garbage.
        Err(status) if status.is_not_found() => return ignore_missing(remove_endpoints(registry, key).await),
        Err(status) => return Err(status),
    };
    let has_selector = service["spec"]["selector"].as_object().is_some_and(|labels| !labels.is_empty());
    if !has_selector || meta::is_terminating(&service) {
        return Ok(());
    }
    let (pods, _) = registry.list("pods", key.scope())?;
    let mut members: Vec<Arc<Value>> = pods.into_iter().filter(|pod| is_member(&service, pod)).collect();
    members.sort_by(|a, b| meta::name(a).cmp(meta::name(b)));
    write_endpoints(registry, &service, endpoints_of(&service, &members)).await?;
    write_slice(registry, &service, slice_of(&service, &members)).await
}

async fn remove_endpoints(registry: &Registry, key: &ObjectKey) -> Result<(), Status> {
    registry.delete("endpoints", key.scope(), &key.name, DeleteOptions::default()).await.map(drop)
}

fn ignore_missing(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.is_not_found() => Ok(()),
        other => other,
    }
}

fn is_member(service: &Value, pod: &Value) -> bool {
    selects(service, pod) && pod["status"]["podIP"].is_string() && !pod_facts::is_finished(pod)
}

/// Whether requests may be sent to the pod: ready and not on its way out, or published in any state.
fn takes_requests(service: &Value, pod: &Value) -> bool {
    service["spec"]["publishNotReadyAddresses"] == true || (pod_facts::is_ready(pod) && !meta::is_terminating(pod))
}

/// The Endpoints object of a Service with these pods.
fn endpoints_of(service: &Value, members: &[Arc<Value>]) -> Value {
    // Pods of one Service may resolve a named target port differently; each set of numbers is a subset of its own.
    let mut subsets: BTreeMap<String, (Value, Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in members {
        let ready = takes_requests(service, pod);
        if !ready && meta::is_terminating(pod) {
            continue;
        }
        let ports = endpoint_ports(service, pod);
        let subset = subsets.entry(ports.to_string()).or_insert_with(|| (ports, vec![], vec![]));
        let addresses = if ready { &mut subset.1 } else { &mut subset.2 };
        addresses.push(json!({
            "ip": pod["status"]["podIP"],
            "nodeName": pod["spec"]["nodeName"],
            "targetRef": target_of(pod),
        }));
    }
    let subsets: Vec<Value> = subsets
        .into_values()
        .map(|(ports, ready, not_ready)| {
            let mut subset = Map::new();
            for (name, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
                if !addresses.is_empty() {
                    subset.insert(name.into(), Value::Array(addresses));
                }
            }
            subset.insert("ports".into(), ports);
            Value::Object(subset)
        })
        .collect();
    let mut metadata = Map::new();
    metadata.insert("name".into(), service["metadata"]["name"].clone());
    metadata.insert("namespace".into(), service["metadata"]["namespace"].clone());
    if let Some(labels) = service["metadata"].get("labels") {
        metadata.insert("labels".into(), labels.clone());
    }
    let mut endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata});
    if !subsets.is_empty() {
        endpoints["subsets"] = Value::Array(subsets);
    }
    endpoints
}

fn target_of(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "namespace": pod["metadata"]["namespace"],
        "name": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
    })
}

/// The ports of a Service on one pod; a named target port that the pod lacks is left out.
fn endpoint_ports(service: &Value, pod: &Value) -> Value {
    let mut ports: Vec<([u8; 16], Value)> = vec![];
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let Some(number) = target_port(port, pod) else { continue };
        let mut entry = Map::new();
        if let Some(name) = port["name"].as_str().filter(|name| !name.is_empty()) {
            entry.insert("name".into(), json!(name));
        }
        entry.insert("port".into(), json!(number));
        entry.insert("protocol".into(), json!(port["protocol"].as_str().unwrap_or("TCP")));
        if let Some(application) = port.get("appProtocol") {
            entry.insert("appProtocol".into(), application.clone());
        }
        ports.push((port_rank(port, number), Value::Object(entry)));
    }
    ports.sort_by_key(|(rank, _)| *rank);
    Value::Array(ports.into_iter().map(|(_, port)| port).collect())
}

/// Kubernetes orders the ports of a subset by the MD5 of Go's printed form of each, which looks random to a reader but
/// decides what `kubectl get endpoints` shows first.
fn port_rank(port: &Value, number: u64) -> [u8; 16] {
    use md5::{Digest, Md5};
    let name = port["name"].as_str().unwrap_or_default();
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let application = match port["appProtocol"].as_str() {
        Some(text) => format!("(*string){text}"),
        None => "(*string)<nil>".to_owned(),
    };
    let printed = format!(
        "(v1.EndpointPort){{Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol} AppProtocol:{application}}}"
    );
    Md5::digest(printed).into()
}

fn target_port(port: &Value, pod: &Value) -> Option<u64> {
    match &port["targetPort"] {
        Value::String(name) => {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let mut declared = containers.flat_map(|one| one["ports"].as_array().into_iter().flatten());
            let wanted = port["protocol"].as_str().unwrap_or("TCP");
            declared
                .find(|one| one["name"] == **name && one["protocol"].as_str().unwrap_or("TCP") == wanted)
                .and_then(|one| one["containerPort"].as_u64())
        }
        Value::Number(number) => number.as_u64().filter(|&number| number > 0),
        _ => port["port"].as_u64(),
    }
}

async fn write_endpoints(registry: &Registry, service: &Value, wanted: Value) -> Result<(), Status> {
    let key = ObjectKey::of(service);
    match registry.get("endpoints", key.scope(), &key.name) {
        Ok(current) => {
            if current.get("subsets") == wanted.get("subsets")
                && current["metadata"]["labels"] == wanted["metadata"]["labels"]
            {
                return Ok(());
            }
            let changed = registry.modify("endpoints", key.scope(), &key.name, |stored| {
                for (object, field) in [("", "subsets"), ("metadata", "labels")] {
                    let (from, to) = if object.is_empty() {
                        (&wanted, &mut *stored)
                    } else {
                        (&wanted[object], &mut stored[object])
                    };
                    match from.get(field) {
                        Some(value) => to[field] = value.clone(),
                        None => drop(to.as_object_mut().and_then(|fields| fields.shift_remove(field))),
                    }
                }
            });
            changed.await.map(drop)
        }
        Err(status) if status.is_not_found() => registry.create("endpoints", key.scope(), wanted).await.map(drop),
        Err(status) => Err(status),
    }
}

/// The one EndpointSlice of a Service; terminating pods stay in it with their conditions, as in Kubernetes.
fn slice_of(service: &Value, members: &[Arc<Value>]) -> Value {
    let name = meta::name(service);
    let endpoints: Vec<Value> = members
        .iter()
        .map(|pod| {
            json!({
                "addresses": [pod["status"]["podIP"]],
                "conditions": {
                    "ready": takes_requests(service, pod),
                    "serving": pod_facts::is_ready(pod),
                    "terminating": meta::is_terminating(pod),
                },
                "targetRef": target_of(pod),
                "nodeName": pod["spec"]["nodeName"],
            })
        })
        .collect();
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(MANAGED_BY.into(), json!(SLICE_CONTROLLER));
    labels.insert(SERVICE_NAME.into(), json!(name));
    let ports = members.first().map_or_else(|| json!([]), |pod| endpoint_ports(service, pod));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{}", names::random_suffix(5)),
            "generateName": format!("{name}-"),
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [super::ownership::controller_reference("v1", "Service", service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    })
}

async fn write_slice(registry: &Registry, service: &Value, wanted: Value) -> Result<(), Status> {
    let key = ObjectKey::of(service);
    let (slices, _) = registry.list(SLICES, key.scope())?;
    let own = |slice: &&Arc<Value>| {
        meta::label(slice, SERVICE_NAME) == Some(&key.name) && meta::label(slice, MANAGED_BY) == Some(SLICE_CONTROLLER)
    };
    let Some(current) = slices.iter().find(own) else {
        return registry.create(SLICES, key.scope(), wanted).await.map(drop);
    };
    if current["endpoints"] == wanted["endpoints"]
        && current["ports"] == wanted["ports"]
        && current["metadata"]["labels"] == wanted["metadata"]["labels"]
    {
        return Ok(());
    }
    let changed = registry.modify(SLICES, key.scope(), meta::name(current), |stored| {
        stored["endpoints"] = wanted["endpoints"].clone();
        stored["ports"] = wanted["ports"].clone();
        stored["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
    });
    changed.await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({
            "metadata": {"name": "image-classifier", "namespace": "tf-serving", "uid": "1", "labels": {"app": "x"}},
            "spec": {"selector": {"app": "x"}, "ports": [
                {"name": "tf-serving-grpc", "port": 8500, "targetPort": 8500, "protocol": "TCP"},
                {"name": "tf-serving-http", "port": 8501, "targetPort": "http", "protocol": "TCP"},
            ]},
        })
    }

    fn pod(name: &str, ip: &str, ready: bool) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": name, "namespace": "tf-serving", "uid": name, "labels": {"app": "x"}},
            "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "http", "containerPort": 8501}]}]},
            "status": {"podIP": ip, "phase": "Running",
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
    }

    #[test]
    fn ports_come_in_the_order_that_kubernetes_shows() {
        let endpoints = endpoints_of(&service(), &[pod("a", "172.17.0.5", true)]);
        let ports: Vec<_> =
            endpoints["subsets"][0]["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
        assert_eq!(ports, [json!(8501), json!(8500)]);
    }

    #[test]
    fn ready_and_unready_pods_share_a_subset_and_leavers_are_out() {
        let mut leaver = Value::clone(&pod("c", "1.2.3.6", true));
        leaver["metadata"]["deletionTimestamp"] = json!("2026-11-23T09:14:37Z");
        let members = [pod("a", "1.2.3.4", true), pod("b", "1.2.3.5", false), Arc::new(leaver)];
        let endpoints = endpoints_of(&service(), &members);
        let subset = &endpoints["subsets"][0];
        assert_eq!(subset["addresses"].as_array().unwrap().len(), 1);
        assert_eq!(subset["notReadyAddresses"][0]["ip"], "1.2.3.5");
        let slice = slice_of(&service(), &members);
        assert_eq!(slice["endpoints"].as_array().unwrap().len(), 3);
        assert_eq!(slice["endpoints"][2]["conditions"], json!({"ready": false, "serving": true, "terminating": true}));
        assert_eq!(slice["metadata"]["labels"][SERVICE_NAME], "image-classifier");
        assert_eq!(endpoints_of(&service(), &[]).get("subsets"), None);
    }

    #[test]
    fn a_service_selects_by_all_its_labels_and_an_empty_selector_selects_nothing() {
        let mut service = service();
        assert!(is_member(&service, &pod("a", "1.2.3.4", false)));
        service["spec"]["selector"]["wrong"] = json!("label");
        assert!(!selects(&service, &pod("a", "1.2.3.4", true)));
        service["spec"]["selector"] = json!({});
        assert!(!selects(&service, &pod("a", "1.2.3.4", true)));
    }
}
