//! The rules of a VirtualService among themselves, and the headers that they look at.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bindings::ROUTES_BACK;
use super::facts::{Asked, Facts, Wanted};
use super::words::close;
use crate::doctor::{Failure, Situation};
use crate::objects::meta;

pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = leftovers(facts, wanted);
    for route in facts.virtual_services() {
        found.extend(shadowed(route, wanted));
        found.extend(faults(route, wanted));
    }
    if let Some((asked, _)) = &facts.asked {
        found.extend(headers(facts, asked));
    }
    found
}

/// Rules below one without a condition.
fn shadowed(route: &Value, wanted: &Wanted) -> Option<Failure> {
    let rules = meta::list_at(route, &["spec", "http"]);
    let catches_all = |rule: &Value| {
        let entries = meta::list_at(rule, &["match"]);
        entries.is_empty()
            || entries.iter().any(|entry| {
                entry.as_object().is_some_and(|members| members.keys().all(|key| key == "name"))
                    || (entry.as_object().is_some_and(|members| members.len() == 1) && entry["uri"]["prefix"] == "/")
            })
    };
    let first = rules.iter().position(catches_all)?;
    let below = rules.iter().skip(first + 1).position(|rule| !meta::list_at(rule, &["match"]).is_empty())?;
    let failure = Situation::RuleShadowed
        .seen(format!("rule {} of VirtualService {} is never reached", first + below + 2, meta::key(route)))
        .observed(format!("rule {} takes every request", first + 1));
    Some(wanted.put_back(failure, "VirtualService", meta::name(route), ROUTES_BACK))
}

fn faults(route: &Value, wanted: &Wanted) -> Option<Failure> {
    let rules = meta::list_at(route, &["spec", "http"]);
    let (index, abort) = rules.iter().enumerate().find_map(|(index, rule)| {
        let abort =
            rule.pointer("/fault/abort").filter(|abort| abort["percentage"]["value"].as_f64().unwrap_or(0.0) > 0.0)?;
        Some((index, abort))
    })?;
    let failure = Situation::FaultInjected
        .seen(format!("rule {} of VirtualService {} injects faults", index + 1, meta::key(route)))
        .observed(format!("status {} for {} % of the requests", abort["httpStatus"], abort["percentage"]["value"]));
    Some(wanted.put_back(failure, "VirtualService", meta::name(route), ROUTES_BACK))
}

/// A VirtualService of another name with the same hosts and gateways, older than the lab's.
fn leftovers(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = Vec::new();
    let text = |object: &Value, path: &[&str]| -> BTreeSet<String> {
        meta::list_at(object, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for (file, manifest) in wanted.manifests.iter().filter(|(_, manifest)| manifest["kind"] == "VirtualService") {
        for other in facts.virtual_services() {
            if meta::name(other) == meta::name(manifest) && meta::namespace(other) == meta::namespace(manifest) {
                continue;
            }
            let (hosts, gateways) = (text(other, &["spec", "hosts"]), text(other, &["spec", "gateways"]));
            let short = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
            let gateways: BTreeSet<String> = gateways.iter().map(short).collect();
            let own: BTreeSet<String> = text(manifest, &["spec", "gateways"]).iter().map(short).collect();
            if hosts.is_disjoint(&text(manifest, &["spec", "hosts"])) || gateways.is_disjoint(&own) {
                continue;
            }
            let namespace = meta::namespace(other).unwrap_or_default();
            found.push(
                Situation::LeftoverRoutes
                    .seen(format!("VirtualService {} has the same host as {}", meta::key(other), file))
                    .observed(format!("hosts {}", hosts.into_iter().collect::<Vec<_>>().join(", ")))
                    .then(
                        format!(
                            "kubectl delete virtualservice.networking.istio.io {} -n {namespace}",
                            meta::name(other)
                        ),
                        "removes it",
                    ),
            );
        }
    }
    found
}

/// Headers of the request that no rule looks at, or that are written otherwise than a rule wants.
fn headers(facts: &Facts, asked: &Asked) -> Vec<Failure> {
    let mut wanted: Vec<(String, String, &Value)> = Vec::new();
    for route in facts.virtual_services() {
        for entry in meta::list_at(route, &["spec", "http"]).iter().flat_map(|rule| meta::list_at(rule, &["match"])) {
            for (name, pattern) in entry["headers"].as_object().into_iter().flatten() {
                if let Some(value) = pattern["exact"].as_str() {
                    wanted.push((name.to_lowercase(), value.to_owned(), route));
                }
            }
        }
    }
    let mut found = Vec::new();
    for (name, value) in asked.headers.iter().filter(|_| !wanted.is_empty()) {
        let same: Vec<&(String, String, &Value)> = wanted.iter().filter(|(known, ..)| known == name).collect();
        if same.iter().any(|(_, known, _)| known == value) {
            continue;
        }
        if let Some((_, known, route)) = same.iter().find(|(_, known, _)| close(known, value)) {
            found.push(
                Situation::HeaderValue
                    .seen(format!("the header `{name}: {value}` is not `{name}: {known}`"))
                    .observed(format!("VirtualService {} wants exactly {known:?}", meta::key(route)))
                    .then(format!("canary-lab request --header {name}={known}"), "sends it as the rule wants it"),
            );
        } else if same.is_empty()
            && let Some((known, exact, route)) = wanted.iter().find(|(known, ..)| close(known, name))
        {
            found.push(
                Situation::HeaderName
                    .seen(format!("no rule looks at a header `{name}`"))
                    .observed(format!("VirtualService {} looks at `{known}`", meta::key(route)))
                    .then(format!("canary-lab request --header {known}={exact}"), "sends the one that a rule wants"),
            );
        }
    }
    found
}
