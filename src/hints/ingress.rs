//! The way in: address, port, Gateway, proxies.

use serde_json::Value;

use super::facts::{Asked, Facts, Reply, Wanted, has_labels, shown, text_map};
use crate::doctor::{Failure, Situation};
use crate::objects::meta;
use crate::routing::GatewayWorkload;

pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = Vec::new();
    if !facts.with_tunnel {
        return found;
    }
    if let Some(service) = facts.ingress_service()
        && service["spec"]["type"] == "LoadBalancer"
        && facts.ingress_address().is_none()
    {
        let place = &facts.ingress;
        found.push(
            Situation::TunnelNotRunning
                .seen("the ingress gateway has no external address")
                .observed(format!("EXTERNAL-IP of Service {}/{} is <pending>", place.namespace, place.service))
                .then("canary-lab tunnel", "gives it one, as long as it runs; in a terminal of its own"),
        );
        return found;
    }
    for (name, value) in &facts.proxies {
        let address = facts.ingress_address().unwrap_or_default();
        found.push(
            Situation::ProxyInTheWay
                .seen(format!("{name} would take requests for {address} away"))
                .observed(format!("{name}={value}, and NO_PROXY does not name {address}"))
                .then("eval \"$(canary-lab env)\"", "exports NO_PROXY with the lab's addresses"),
        );
    }
    let Some((asked, reply)) = facts.asked.as_ref().filter(|_| facts.with_requests) else { return found };
    if let Some(failure) = wrong_port(facts, asked) {
        found.push(failure);
        return found;
    }
    if *reply == Reply::Refused {
        found.push(closed(facts, wanted));
    }
    found
}

/// A request to a port that the ingress service does not offer for HTTP.
fn wrong_port(facts: &Facts, asked: &Asked) -> Option<Failure> {
    let (port, offered) = (asked.port?, facts.ingress_port()?);
    if port == offered {
        return None;
    }
    let ports = facts.ingress_service().map(|service| meta::list_at(service, &["spec", "ports"])).unwrap_or_default();
    let named = ports.iter().find(|other| other["port"] == port || other["nodePort"] == port);
    let what = match named {
        Some(other) if other["nodePort"] == port => {
            format!(
                "{port} is the node port of `{}`: it is open on the node's address",
                other["name"].as_str().unwrap_or("?")
            )
        }
        Some(other) => format!("{port} is the ingress's port `{}`", other["name"].as_str().unwrap_or("?")),
        None if [8500, 8501].contains(&port) => format!("{port} is the model server's own port, inside the cluster"),
        None => format!("the ingress service has no port {port}"),
    };
    let address = facts.ingress_address().unwrap_or("$INGRESS_HOST");
    Some(
        Situation::WrongPort
            .seen(format!("the request goes to port {port}; the ingress takes HTTP at port {offered}"))
            .observed(what)
            .then(format!("curl http://{address}:{offered}{}", asked.path), "asks at the right one")
            .then("eval \"$(canary-lab env)\"", "sets INGRESS_HOST and INGRESS_PORT"),
    )
}

/// The connection was refused: no Gateway opens the port for the gateway's pods.
fn closed(facts: &Facts, wanted: &Wanted) -> Failure {
    let workload = facts.gateway();
    let gateways: Vec<&Value> = facts.gateways().collect();
    let port = facts.ingress_port().unwrap_or(80);
    if gateways.is_empty() {
        let failure = Situation::GatewayMissing
            .seen("connections to the ingress are refused: there is no Gateway")
            .observed(format!("nothing listens at port {port}; no Gateway object exists"));
        return wanted.put_back(failure, "Gateway", "", "opens the port");
    }
    let unselected: Vec<&&Value> = gateways.iter().filter(|gateway| !selects(gateway, &workload)).collect();
    if unselected.len() == gateways.len() {
        let gateway = gateways[0];
        let failure = Situation::GatewaySelector
            .seen(format!("Gateway {} is obeyed by no gateway pod", meta::key(gateway)))
            .observed(format!("its selector: {}", shown(&selector_of(gateway))))
            .observed(format!("the gateway pods' labels: {}", shown(&workload.labels)));
        return wanted.put_back(failure, "Gateway", meta::name(gateway), "puts the lab's own Gateway back");
    }
    let opened: Vec<String> = gateways
        .iter()
        .filter(|gateway| selects(gateway, &workload))
        .flat_map(|gateway| meta::list_at(gateway, &["spec", "servers"]))
        .map(|server| format!("{} {}", server["port"]["number"], server["port"]["protocol"].as_str().unwrap_or("?")))
        .collect();
    let failure = Situation::GatewayPort
        .seen("connections to the ingress are refused: no Gateway opens the port")
        .observed(format!("opened by Gateways: {}", opened.join(", ")));
    wanted.put_back(failure, "Gateway", meta::name(gateways[0]), "puts the lab's own Gateway back")
}

/// A Gateway's selector.
pub(super) fn selector_of(gateway: &Value) -> std::collections::BTreeMap<String, String> {
    text_map(meta::at(gateway, &["spec", "selector"]))
}

/// Whether the gateway pods obey the Gateway.
pub(super) fn selects(gateway: &Value, workload: &GatewayWorkload) -> bool {
    let pod = serde_json::json!({"metadata": {"labels": workload.labels}});
    has_labels(&pod, &selector_of(gateway))
}
