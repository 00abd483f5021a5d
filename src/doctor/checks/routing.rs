//! Routes: Gateway, VirtualService, DestinationRule, Service and pods fit each other.
//!
//! The judgement is a pure function of the objects, so that it holds for any cluster; admission's own rules are those of
//! [`crate::routing::admission`], which an object that came in past the webhook is held against as well.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Finding;
use super::cluster::list;
use super::subject::Subject;
use crate::doctor::{Failure, Reason};
use crate::objects::meta;

const NETWORKING: (&str, &str) = ("networking.istio.io", "v1beta1");

/// What the judgement looks at.
#[derive(Debug, Default)]
struct Routes {
    namespace: String,
    gateways: Vec<Value>,
    virtual_services: Vec<Value>,
    destination_rules: Vec<Value>,
    services: Vec<Value>,
    pods: Vec<Value>,
    ingress_pods: Vec<Value>,
}

/// Asks for the objects and judges them by one question.
pub(super) async fn ask(subject: &Subject<'_>, judge: fn(&Question<'_>) -> Finding) -> Finding {
    match routes(subject).await {
        Ok(routes) if routes.virtual_services.is_empty() && routes.gateways.is_empty() => {
            Finding::Skipped("no route exists yet".to_owned())
        }
        Ok(routes) => judge(&Question(&routes)),
        Err(why) => Finding::Skipped(why),
    }
}

/// The objects, hidden from the table of checks.
pub(super) struct Question<'a>(&'a Routes);

async fn routes(subject: &Subject<'_>) -> Result<Routes, String> {
    let (group, version) = NETWORKING;
    let namespace = subject.lab.namespace.as_str();
    // Objects in the wrong namespace are found only by looking into all; a user who may not gets the one that is theirs.
    let everywhere = async |kind: &str| match list(subject, group, version, kind, None).await {
        Ok(objects) => Ok(objects),
        Err(_) => list(subject, group, version, kind, Some(namespace)).await,
    };
    Ok(Routes {
        namespace: namespace.to_owned(),
        gateways: everywhere("Gateway").await?,
        virtual_services: everywhere("VirtualService").await?,
        destination_rules: everywhere("DestinationRule").await?,
        services: list(subject, "", "v1", "Service", Some(namespace)).await?,
        pods: list(subject, "", "v1", "Pod", Some(namespace)).await?,
        ingress_pods: list(subject, "", "v1", "Pod", Some(&subject.lab.ingress.0)).await.unwrap_or_default(),
    })
}

fn in_namespace<'v>(objects: &'v [Value], namespace: &str) -> Vec<&'v Value> {
    objects.iter().filter(|object| meta::namespace(object) == Some(namespace)).collect()
}

fn label(object: &Value) -> String {
    format!(
        "{} {}/{}",
        object["kind"].as_str().unwrap_or("object"),
        meta::namespace(object).unwrap_or("?"),
        meta::name(object)
    )
}

fn texts<'v>(object: &'v Value, path: &[&str]) -> Vec<&'v str> {
    meta::list_at(object, path).iter().filter_map(Value::as_str).collect()
}

/// A selector's labels, as text.
fn matches(labels: &BTreeMap<&str, &str>, pod: &Value) -> bool {
    labels.iter().all(|(key, value)| meta::label(pod, key) == Some(value))
}

fn string_map(value: Option<&Value>) -> BTreeMap<&str, &str> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

/// Every destination of every route of the lab's VirtualServices, with the VirtualService it stands in.
fn destinations(routes: &Routes) -> Vec<(&Value, &Value)> {
    let mut found = Vec::new();
    for service in in_namespace(&routes.virtual_services, &routes.namespace) {
        for rule in meta::list_at(service, &["spec", "http"]) {
            for route in meta::list_at(rule, &["route"]) {
                found.push((service, route));
            }
        }
    }
    found
}

fn finish(failures: Vec<Failure>, fine: impl Into<String>) -> Finding {
    let mut failures = failures.into_iter();
    let Some(mut first) = failures.next() else { return Finding::Fine(fine.into()) };
    for other in failures {
        first.observed.push(other.headline.clone());
        first.observed.extend(other.observed);
    }
    Finding::Failed(first)
}

pub(super) fn gateway(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let mut failures = Vec::new();
    let gateways = in_namespace(&routes.gateways, &routes.namespace);
    for gateway in &gateways {
        let selector = string_map(meta::at(gateway, &["spec", "selector"]));
        if !routes.ingress_pods.is_empty() && !routes.ingress_pods.iter().any(|pod| matches(&selector, pod)) {
            let words: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
            failures.push(
                Failure::new(Reason::GatewayMismatch, format!("{} selects no ingress gateway", label(gateway)))
                    .observed(format!("selector {}", words.join(","))),
            );
        }
    }
    for service in in_namespace(&routes.virtual_services, &routes.namespace) {
        for name in texts(service, &["spec", "gateways"]).into_iter().filter(|name| *name != "mesh") {
            let (namespace, short) = name.split_once('/').unwrap_or((&routes.namespace, name));
            let Some(gateway) =
                in_namespace(&routes.gateways, namespace).into_iter().find(|gateway| meta::name(gateway) == short)
            else {
                failures.push(Failure::new(
                    Reason::GatewayMismatch,
                    format!("{} is bound to {name}, which does not exist", label(service)),
                ));
                continue;
            };
            let offered: Vec<&str> = meta::list_at(gateway, &["spec", "servers"])
                .iter()
                .flat_map(|server| texts(server, &["hosts"]))
                .collect();
            let asked = texts(service, &["spec", "hosts"]);
            if !asked.iter().any(|asked| offered.iter().any(|offered| hosts_meet(offered, asked))) {
                failures.push(
                    Failure::new(
                        Reason::GatewayMismatch,
                        format!("{} and its gateway have no host in common", label(service)),
                    )
                    .observed(format!(
                        "Gateway: {}; VirtualService: {}",
                        offered.join(", "),
                        asked.join(", ")
                    )),
                );
            }
        }
    }
    finish(
        failures,
        format!("{} with the VirtualServices bound to them", crate::ui::plural(gateways.len() as u64, "Gateway")),
    )
}

/// Whether a Gateway's host (`*`, `*.a.b`, `ns/a.b`) and a VirtualService's have a name in common.
fn hosts_meet(offered: &str, asked: &str) -> bool {
    let offered = offered.rsplit('/').next().unwrap_or(offered);
    let covers =
        |wide: &str, narrow: &str| wide == "*" || wide.strip_prefix('*').is_some_and(|suffix| narrow.ends_with(suffix));
    offered.eq_ignore_ascii_case(asked) || covers(offered, asked) || covers(asked, offered)
}

pub(super) fn bound(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let mut failures = Vec::new();
    for service in in_namespace(&routes.virtual_services, &routes.namespace) {
        let gateways = texts(service, &["spec", "gateways"]);
        if gateways.is_empty() || gateways == ["mesh"] {
            failures.push(
                Failure::new(Reason::RouteInMesh, format!("{} is not bound to a gateway", label(service))).observed(
                    if gateways.is_empty() {
                        "spec.gateways is missing, which means `mesh`"
                    } else {
                        "spec.gateways is [mesh]"
                    },
                ),
            );
        }
    }
    finish(failures, "every VirtualService is bound to a gateway")
}

pub(super) fn namespaces(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let own_names: Vec<&str> = in_namespace(&routes.services, &routes.namespace).into_iter().map(meta::name).collect();
    let mut failures = Vec::new();
    let elsewhere = |objects: &'_ [Value]| -> Vec<Value> {
        objects.iter().filter(|object| meta::namespace(object) != Some(routes.namespace.as_str())).cloned().collect()
    };
    for rule in elsewhere(&routes.destination_rules) {
        let host = rule.pointer("/spec/host").and_then(Value::as_str).unwrap_or_default();
        // A short name means a service of the rule's own namespace.
        if own_names.contains(&host) {
            failures.push(Failure::new(
                Reason::RouteElsewhere,
                format!("{} speaks of `{host}`, and the service lies in {}", label(&rule), routes.namespace),
            ));
        }
    }
    for service in elsewhere(&routes.virtual_services) {
        let hosts: Vec<String> = meta::list_at(&service, &["spec", "http"])
            .iter()
            .flat_map(|rule| meta::list_at(rule, &["route"]).to_vec())
            .filter_map(|route| route.pointer("/destination/host").and_then(Value::as_str).map(str::to_owned))
            .collect();
        if hosts.iter().any(|host| own_names.contains(&host.as_str())) {
            failures.push(Failure::new(
                Reason::RouteElsewhere,
                format!("{} sends to a service that lies in {}", label(&service), routes.namespace),
            ));
        }
    }
    finish(failures, format!("the routes lie in {}", routes.namespace))
}

pub(super) fn weights(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let mut failures = Vec::new();
    let mut rules = 0_u64;
    for service in in_namespace(&routes.virtual_services, &routes.namespace) {
        for (index, rule) in meta::list_at(service, &["spec", "http"]).iter().enumerate() {
            let parts = meta::list_at(rule, &["route"]);
            rules += 1;
            // A single destination gets everything, whatever its weight.
            let sum: i64 = parts.iter().map(|part| part["weight"].as_i64().unwrap_or(0)).sum();
            if parts.len() > 1 && sum != 100 {
                failures.push(Failure::new(
                    Reason::WeightsWrong,
                    format!("rule {} of {} has weights that add up to {sum}", index + 1, label(service)),
                ));
            }
        }
    }
    finish(failures, format!("the weights of {} add up to 100", crate::ui::plural(rules, "rule")))
}

pub(super) fn subsets(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let mut failures = Vec::new();
    let mut named = 0_u64;
    for (service, route) in destinations(routes) {
        let host = route.pointer("/destination/host").and_then(Value::as_str).unwrap_or_default();
        let Some(subset) = route.pointer("/destination/subset").and_then(Value::as_str) else { continue };
        named += 1;
        let short = host.split('.').next().unwrap_or(host);
        let rule = in_namespace(&routes.destination_rules, &routes.namespace).into_iter().find(|rule| {
            rule.pointer("/spec/host").and_then(Value::as_str).is_some_and(|host| host.split('.').next() == Some(short))
        });
        let Some(rule) = rule else {
            failures.push(Failure::new(
                Reason::RouteClusterMissing,
                format!("{} names subset `{subset}`, and no DestinationRule for `{host}` exists", label(service)),
            ));
            continue;
        };
        let subsets = meta::list_at(rule, &["spec", "subsets"]);
        let Some(found) = subsets.iter().find(|candidate| candidate["name"] == subset) else {
            let known: Vec<&str> = subsets.iter().filter_map(|subset| subset["name"].as_str()).collect();
            failures.push(
                Failure::new(
                    Reason::RouteClusterMissing,
                    format!("{} names subset `{subset}`, which {} does not have", label(service), label(rule)),
                )
                .observed(format!("its subsets are {}", known.join(", "))),
            );
            continue;
        };
        let labels = string_map(found.get("labels"));
        let weight = route["weight"].as_i64().unwrap_or(100);
        if weight > 0 && !routes.pods.iter().any(|pod| !meta::is_terminating(pod) && matches(&labels, pod)) {
            let words: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            failures.push(
                Failure::new(Reason::SubsetEmpty, format!("subset `{subset}` fits no pod"))
                    .observed(format!("labels {}, weight {weight}", words.join(","))),
            );
        }
    }
    finish(
        failures,
        if named == 0 {
            "no route names a subset".to_owned()
        } else {
            "every subset that is sent to exists and has pods".to_owned()
        },
    )
}

pub(super) fn ports(question: &Question<'_>) -> Finding {
    let routes = question.0;
    let mut failures = Vec::new();
    for (service, route) in destinations(routes) {
        let host = route.pointer("/destination/host").and_then(Value::as_str).unwrap_or_default();
        let short = host.split('.').next().unwrap_or(host);
        let Some(target) = routes.services.iter().find(|candidate| meta::name(candidate) == short) else {
            failures.push(Failure::new(
                Reason::RouteClusterMissing,
                format!("{} sends to `{host}`, and there is no such service", label(service)),
            ));
            continue;
        };
        let offered: Vec<u64> =
            meta::list_at(target, &["spec", "ports"]).iter().filter_map(|port| port["port"].as_u64()).collect();
        let named = route.pointer("/destination/port/number").and_then(Value::as_u64);
        let words: Vec<String> = offered.iter().map(u64::to_string).collect();
        match named {
            None if offered.len() > 1 => failures.push(
                Failure::new(Reason::PortAmbiguous, format!("{} names no port of `{host}`", label(service)))
                    .observed(format!("the service has ports {}", words.join(", "))),
            ),
            Some(number) if !offered.contains(&number) => failures.push(
                Failure::new(
                    Reason::RouteClusterMissing,
                    format!("{} sends to port {number} of `{host}`", label(service)),
                )
                .observed(format!("the service has ports {}", words.join(", "))),
            ),
            _ => {}
        }
    }
    finish(failures, "every route names a service and a port that exist")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Routes {
        let object = |kind: &str, name: &str, spec: Value| json!({"kind": kind, "metadata": {"name": name, "namespace": "ns"}, "spec": spec});
        let route = |subset: &str, weight: u32| json!({"destination": {"host": "svc", "subset": subset, "port": {"number": 8501}}, "weight": weight});
        let pod =
            |labels: Value| json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "labels": labels}});
        Routes {
            namespace: "ns".into(),
            gateways: vec![object(
                "Gateway",
                "g",
                json!({"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["*"]}]}),
            )],
            virtual_services: vec![object(
                "VirtualService",
                "v",
                json!({"hosts": ["*"], "gateways": ["g"], "http": [{"route": [route("old", 70), route("new", 30)]}]}),
            )],
            destination_rules: vec![object(
                "DestinationRule",
                "d",
                json!({"host": "svc", "subsets": [{"name": "old", "labels": {"version": "old"}}, {"name": "new", "labels": {"version": "new"}}]}),
            )],
            services: vec![object("Service", "svc", json!({"ports": [{"port": 8500}, {"port": 8501}]}))],
            pods: vec![pod(json!({"version": "old"})), pod(json!({"version": "new"}))],
            ingress_pods: vec![pod(json!({"istio": "ingressgateway"}))],
        }
    }

    type Judge = fn(&Question<'_>) -> Finding;
    type Change = fn(&mut Routes);

    fn judged(routes: &Routes) -> Vec<(&'static str, Reason)> {
        let judges: [(&'static str, Judge); 6] = [
            ("gateway", gateway),
            ("bound", bound),
            ("namespaces", namespaces),
            ("weights", weights),
            ("subsets", subsets),
            ("ports", ports),
        ];
        judges
            .into_iter()
            .filter_map(|(name, judge)| match judge(&Question(routes)) {
                Finding::Failed(failure) => Some((name, failure.reason)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn each_mistake_is_found_by_its_check_alone() {
        assert_eq!(judged(&good()), []);
        let cases: [(&str, Reason, Change); 10] = [
            ("gateway", Reason::GatewayMismatch, |routes| {
                routes.gateways[0]["spec"]["selector"] = json!({"istio": "ingress"});
            }),
            ("gateway", Reason::GatewayMismatch, |routes| {
                routes.gateways[0]["spec"]["servers"][0]["hosts"] = json!(["a.example"]);
            }),
            ("gateway", Reason::GatewayMismatch, |routes| {
                routes.virtual_services[0]["spec"]["gateways"] = json!(["other"]);
            }),
            ("bound", Reason::RouteInMesh, |routes| routes.virtual_services[0]["spec"]["gateways"] = json!(["mesh"])),
            ("weights", Reason::WeightsWrong, |routes| {
                routes.virtual_services[0]["spec"]["http"][0]["route"][0]["weight"] = json!(71);
            }),
            ("subsets", Reason::RouteClusterMissing, |routes| {
                routes.virtual_services[0]["spec"]["http"][0]["route"][0]["destination"]["subset"] = json!("odl");
            }),
            ("subsets", Reason::SubsetEmpty, |routes| routes.pods[1]["metadata"]["labels"]["version"] = json!("knew")),
            ("ports", Reason::PortAmbiguous, |routes| {
                routes.virtual_services[0]["spec"]["http"][0]["route"][0]["destination"] =
                    json!({"host": "svc", "subset": "old"});
            }),
            ("ports", Reason::RouteClusterMissing, |routes| {
                routes.virtual_services[0]["spec"]["http"][0]["route"][0]["destination"]["port"]["number"] =
                    json!(9999);
            }),
            ("namespaces", Reason::RouteElsewhere, |routes| {
                let mut rule = routes.destination_rules[0].clone();
                rule["metadata"]["namespace"] = json!("default");
                routes.destination_rules.push(rule);
            }),
        ];
        for (check, reason, change) in cases {
            let mut routes = good();
            change(&mut routes);
            if check == "gateway" && routes.gateways[0]["spec"]["servers"][0]["hosts"][0] == "a.example" {
                routes.virtual_services[0]["spec"]["hosts"] = json!(["b.example"]);
            }
            assert_eq!(judged(&routes), [(check, reason)], "{check} {reason:?}");
        }
    }

    #[test]
    fn hosts_meet_as_istio_lets_them() {
        for (offered, asked, meet) in [
            ("*", "a.b", true),
            ("*.b", "x.b", true),
            ("ns/a.b", "a.b", true),
            ("a.b", "*", true),
            ("a.b", "c.b", false),
        ] {
            assert_eq!(hosts_meet(offered, asked), meet, "{offered} {asked}");
        }
    }
}
