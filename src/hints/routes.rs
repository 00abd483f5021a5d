//! Destinations of VirtualServices: whether requests arrive at a Service, a subset, a pod.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bindings::{self, ROUTES_BACK};
use super::facts::{Facts, Wanted, has_labels, shown, text_map};
use super::rules;
use super::words::nearest;
use crate::doctor::{Failure, Situation};
use crate::objects::meta;

/// What applying the lab's Service again does.
const SERVICE_BACK: &str = "puts the lab's own Service back";
/// What applying the lab's DestinationRule again does.
const SUBSETS_BACK: &str = "puts the lab's own DestinationRule back";

/// One destination of one rule.
struct Destination<'a> {
    /// The VirtualService.
    route: &'a Value,
    /// The rule's position, from 0.
    rule: usize,
    host: &'a str,
    subset: Option<&'a str>,
    port: Option<u64>,
    weight: Option<i64>,
}

pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    if !facts.with_requests {
        return Vec::new();
    }
    let mut found = bindings::judge(facts, wanted);
    found.extend(rules::judge(facts, wanted));
    for destination in facts.virtual_services().flat_map(destinations) {
        found.extend(arrival(facts, wanted, &destination));
    }
    found
}

fn destinations(route: &Value) -> Vec<Destination<'_>> {
    let mut found = Vec::new();
    for (rule, entry) in meta::list_at(route, &["spec", "http"]).iter().enumerate() {
        for target in meta::list_at(entry, &["route"]) {
            let destination = &target["destination"];
            let Some(host) = destination["host"].as_str() else { continue };
            found.push(Destination {
                route,
                rule,
                host,
                subset: destination["subset"].as_str(),
                port: destination.pointer("/port/number").and_then(Value::as_u64),
                weight: target["weight"].as_i64(),
            });
        }
    }
    found
}

/// The Service that a host names, seen from a namespace.
fn service_of<'a>(facts: &'a Facts, host: &str, namespace: &str) -> Option<&'a Value> {
    facts.services().find(|service| is_host_of(host, namespace, service))
}

/// Whether a host, written in an object of `namespace`, is the Service's.
fn is_host_of(host: &str, namespace: &str, service: &Value) -> bool {
    let (name, own) = (meta::name(service), meta::namespace(service).unwrap_or_default());
    host == format!("{name}.{own}.svc.cluster.local") || (host == name && namespace == own)
}

/// What keeps a destination's requests from arriving.
fn arrival(facts: &Facts, wanted: &Wanted, destination: &Destination<'_>) -> Vec<Failure> {
    let namespace = meta::namespace(destination.route).unwrap_or_default();
    let place = format!("VirtualService {}", meta::key(destination.route));
    let rule = destination.rule + 1;
    let Some(service) = service_of(facts, destination.host, namespace) else {
        return vec![host_unknown(facts, wanted, destination, &place)];
    };
    let mut found = Vec::new();
    let ports = meta::list_at(service, &["spec", "ports"]);
    let numbers: Vec<u64> = ports.iter().filter_map(|port| port["port"].as_u64()).collect();
    match destination.port {
        Some(port) if !numbers.contains(&port) => {
            let listed: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let failure = Situation::ServicePort
                .seen(format!("{place} sends to port {port}, which Service {} does not have", meta::key(service)))
                .observed(format!("rule {rule}: {}:{port}", destination.host))
                .observed(format!("Service {} has ports {}", meta::key(service), listed.join(", ")));
            let failure = wanted.put_back(failure, "VirtualService", meta::name(destination.route), ROUTES_BACK);
            found.push(wanted.put_back(failure, "Service", meta::name(service), SERVICE_BACK));
            return found;
        }
        _ => {}
    }
    let selector = text_map(meta::at(service, &["spec", "selector"]));
    let own: Vec<&Value> = facts
        .pods()
        .filter(|pod| meta::namespace(pod) == meta::namespace(service) && has_labels(pod, &selector))
        .collect();
    if !selector.is_empty() && own.is_empty() && has_any_pod(facts, service) {
        let failure = Situation::ServiceSelector
            .seen(format!("Service {} selects no pod", meta::key(service)))
            .observed(format!("its selector: {}", shown(&selector)))
            .observed(format!("labels of pods there: {}", pod_labels(facts, service)));
        found.push(wanted.put_back(failure, "Service", meta::name(service), SERVICE_BACK));
        return found;
    }
    found.extend(target_port(wanted, destination, service, &own));
    match destination.subset {
        Some(subset) => found.extend(subset_failure(facts, wanted, destination, service, subset, &own)),
        None => found.extend(no_subsets(wanted, destination, service, &own)),
    }
    found
}

fn has_any_pod(facts: &Facts, service: &Value) -> bool {
    facts.pods().any(|pod| meta::namespace(pod) == meta::namespace(service))
}

fn pod_labels(facts: &Facts, service: &Value) -> String {
    let labels: BTreeSet<String> = facts
        .pods()
        .filter(|pod| meta::namespace(pod) == meta::namespace(service))
        .map(|pod| {
            let mut labels = text_map(meta::at(pod, &["metadata", "labels"]));
            labels.retain(|key, _| key == "app" || key == "version");
            shown(&labels)
        })
        .collect();
    labels.into_iter().collect::<Vec<_>>().join("; ")
}

fn host_unknown(facts: &Facts, wanted: &Wanted, destination: &Destination<'_>, place: &str) -> Failure {
    let namespace = meta::namespace(destination.route).unwrap_or_default();
    let here: Vec<&str> =
        facts.services().filter(|service| meta::namespace(service) == Some(namespace)).map(meta::name).collect();
    let elsewhere = facts.services().find(|service| meta::name(service) == destination.host);
    let near = nearest(destination.host, here.iter().copied());
    let seen = format!("{place} sends to `{}`, and there is no such Service", destination.host);
    let listed = if here.is_empty() { "none".to_owned() } else { here.join(", ") };
    let observed = format!("Services in {namespace}: {listed}");
    if let Some(near) = near.filter(|near| *near != destination.host) {
        let failure = Situation::HostMisspelt.seen(seen).observed(observed).observed(format!("did you mean `{near}`?"));
        return wanted.put_back(failure, "VirtualService", meta::name(destination.route), ROUTES_BACK);
    }
    if let Some(other) = elsewhere {
        let failure = Situation::HostMisspelt
            .seen(seen)
            .observed(observed)
            .observed(format!("Service {} is in another namespace", meta::key(other)));
        return wanted.put_back(failure, "Service", destination.host, "makes the Service where it belongs");
    }
    let failure = Situation::ServiceMissing.seen(seen).observed(observed);
    wanted.put_back(failure, "Service", destination.host, "makes the Service")
}

/// The Service forwards to a port that no container of its pods declares.
fn target_port(wanted: &Wanted, destination: &Destination<'_>, service: &Value, pods: &[&Value]) -> Option<Failure> {
    let ports = meta::list_at(service, &["spec", "ports"]);
    let port = ports.iter().find(|port| destination.port.is_none_or(|wanted| port["port"] == wanted))?;
    let target = &port["targetPort"];
    let declared: BTreeMap<u64, String> = pods
        .iter()
        .flat_map(|pod| meta::list_at(pod, &["spec", "containers"]))
        .filter(|container| container["name"] != "istio-proxy")
        .flat_map(|container| meta::list_at(container, &["ports"]))
        .filter_map(|port| {
            Some((port["containerPort"].as_u64()?, port["name"].as_str().unwrap_or_default().to_owned()))
        })
        .collect();
    let fits = match (target.as_u64(), target.as_str()) {
        (Some(number), _) => declared.contains_key(&number),
        (None, Some(name)) => declared.values().any(|known| known == name),
        (None, None) => true,
    };
    if declared.is_empty() || fits {
        return None;
    }
    let listed: Vec<String> = declared.keys().map(u64::to_string).collect();
    let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
    let failure = Situation::TargetPort
        .seen(format!("Service {} sends to port {target} of its pods", meta::key(service)))
        .observed(format!("the pods' program declares {}", listed.join(", ")));
    Some(wanted.put_back(failure, "Service", meta::name(service), SERVICE_BACK))
}

fn subset_failure(
    facts: &Facts,
    wanted: &Wanted,
    destination: &Destination<'_>,
    service: &Value,
    subset: &str,
    pods: &[&Value],
) -> Option<Failure> {
    let place = format!("VirtualService {}", meta::key(destination.route));
    let rule = destination.rule + 1;
    let applies = |object: &&Value| {
        let namespace = meta::namespace(object).unwrap_or_default();
        is_host_of(object["spec"]["host"].as_str().unwrap_or_default(), namespace, service)
    };
    let rules: Vec<&Value> = facts.destination_rules().filter(applies).collect();
    let routes = format!("{place} routes to subset `{subset}` (rule {rule})");
    if rules.is_empty() {
        let near = facts.destination_rules().find(|object| meta::namespace(object) == meta::namespace(service));
        let (failure, effect) = if let Some(other) = near {
            let failure = Situation::DestinationRuleHost
                .seen(format!("no DestinationRule is for {}", destination.host))
                .observed(routes)
                .observed(format!(
                    "DestinationRule {} is for host `{}`",
                    meta::key(other),
                    other["spec"]["host"].as_str().unwrap_or_default()
                ));
            (failure, SUBSETS_BACK)
        } else {
            let failure = Situation::DestinationRuleMissing
                .seen(format!("no DestinationRule defines the subsets of {}", destination.host))
                .observed(routes);
            (failure, "defines them")
        };
        return Some(wanted.put_back(failure, "DestinationRule", near.map(meta::name).unwrap_or_default(), effect));
    }
    let subsets: Vec<&Value> = rules.iter().flat_map(|object| meta::list_at(object, &["spec", "subsets"])).collect();
    let Some(defined) = subsets.iter().find(|defined| defined["name"] == subset) else {
        let names: Vec<&str> = subsets.iter().filter_map(|subset| subset["name"].as_str()).collect();
        let mut failure = Situation::SubsetMisspelt
            .seen(format!("{place} routes to subset `{subset}`, which does not exist"))
            .observed(routes)
            .observed(format!("DestinationRule {} has subsets {}", meta::key(rules[0]), names.join(", ")));
        if let Some(near) = nearest(subset, names.iter().copied()) {
            failure = failure.observed(format!("did you mean `{near}`?"));
        }
        return Some(
            failure
                .then("canary-lab up", "puts the lab's own VirtualService and DestinationRule back")
                .then("canary-lab walk", "shows the difference first (key d)"),
        );
    };
    let labels = text_map(defined.get("labels"));
    // A subset that gets no requests may be empty: the lab itself has one before the canary runs.
    if destination.weight == Some(0) || pods.iter().any(|pod| has_labels(pod, &labels)) {
        return None;
    }
    let failure = Situation::SubsetWithoutPods
        .seen(format!("subset `{subset}` has no pod"))
        .observed(format!("its labels: {}", shown(&labels)))
        .observed(format!("labels of pods there: {}", pod_labels(facts, service)));
    let failure = wanted.put_back(failure, "DestinationRule", meta::name(rules[0]), SUBSETS_BACK);
    Some(failure.then("kubectl get pods --show-labels -A", "shows the pods' labels"))
}

/// A route to the whole Service while it has pods of several versions.
fn no_subsets(wanted: &Wanted, destination: &Destination<'_>, service: &Value, pods: &[&Value]) -> Option<Failure> {
    let versions: BTreeSet<&str> = pods.iter().filter_map(|pod| meta::label(pod, "version")).collect();
    if versions.len() < 2 {
        return None;
    }
    let versions: Vec<&str> = versions.into_iter().collect();
    let route = meta::name(destination.route);
    let failure = Situation::NoSubsets
        .seen(format!("VirtualService {} sends to all of Service {}", meta::key(destination.route), meta::key(service)))
        .observed(format!("versions behind the Service: {}", versions.join(", ")));
    let failure = wanted.put_back(failure, "DestinationRule", "", "names the versions as subsets");
    Some(wanted.put_back(failure, "VirtualService", route, "sends to subsets"))
}
