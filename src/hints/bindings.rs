//! Which VirtualService takes a request at all, and a request as routing sees it.

use serde_json::Value;

use super::facts::{Asked, Facts, Reply, Wanted};
use super::words::nearest;
use crate::doctor::{Failure, Situation};
use crate::objects::meta;
use crate::routing::explain::{Outcome, explain};
use crate::routing::select::RequestHead;
use crate::routing::{compile, snapshot};

/// What applying the lab's VirtualService again does.
pub(super) const ROUTES_BACK: &str = "puts the lab's own VirtualService back";

/// Why no VirtualService takes requests although something listens.
pub(super) fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let Some((asked, reply)) = &facts.asked else { return Vec::new() };
    if !matches!(reply, Reply::Answered { status: 404, body } if body.is_empty()) {
        return Vec::new();
    }
    let routes: Vec<&Value> = facts.virtual_services().collect();
    if routes.is_empty() {
        let failure = Situation::VirtualServiceMissing
            .seen("the gateway has no route: there is no VirtualService")
            .observed("404 with an empty body");
        return vec![wanted.put_back(failure, "VirtualService", "", "says where requests go")];
    }
    let gateways: Vec<(String, String)> = facts
        .gateways()
        .map(|gateway| (meta::namespace(gateway).unwrap_or_default().to_owned(), meta::name(gateway).to_owned()))
        .collect();
    let mut found = Vec::new();
    let mut bound = Vec::new();
    for route in routes {
        let own = meta::namespace(route).unwrap_or_default();
        let place = format!("VirtualService {}", meta::key(route));
        let named: Vec<&str> = meta::list_at(route, &["spec", "gateways"]).iter().filter_map(Value::as_str).collect();
        let real: Vec<&str> = named.iter().copied().filter(|name| *name != "mesh").collect();
        let put_back = |failure| wanted.put_back(failure, "VirtualService", meta::name(route), ROUTES_BACK);
        if real.is_empty() {
            let listed = if named.is_empty() { "no gateways" } else { "the gateway `mesh` alone" };
            let failure = Situation::MeshOnly
                .seen(format!("{place} is not bound to the ingress gateway"))
                .observed(format!("it names {listed}"));
            found.push(put_back(failure));
            continue;
        }
        let exists = |name: &&str| {
            let (namespace, name) = match name.split_once('/') {
                Some((".", name)) => (own, name),
                Some(pair) => pair,
                None => (own, *name),
            };
            gateways.iter().any(|(in_namespace, known)| in_namespace == namespace && known == name)
        };
        if real.iter().any(exists) {
            bound.push(route);
            continue;
        }
        let short = real[0].rsplit('/').next().unwrap_or(real[0]);
        let listed: Vec<String> = gateways.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let seen = format!("{place} names the gateway `{}`, which does not exist", real[0]);
        let observed = format!("Gateways: {}", if listed.is_empty() { "none".to_owned() } else { listed.join(", ") });
        let elsewhere = gateways.iter().find(|(_, name)| name == short);
        found.push(if let Some((namespace, name)) = elsewhere {
            let failure = Situation::GatewayElsewhere
                .seen(seen)
                .observed(observed)
                .observed(format!("the Gateway is in {namespace}: it would be named `{namespace}/{name}`"));
            wanted.put_back(failure, "Gateway", name, "makes it where the VirtualService looks")
        } else {
            let near = nearest(short, gateways.iter().map(|(_, name)| name.as_str()));
            let failure = Situation::GatewayNameWrong.seen(seen).observed(observed);
            let failure = match near {
                Some(near) => failure.observed(format!("did you mean `{near}`?")),
                None => failure,
            };
            put_back(failure)
        });
    }
    if found.is_empty() || !bound.is_empty() {
        found.extend(unmatched(facts, wanted, asked, &bound));
    }
    found
}

/// Bound VirtualServices that still do not take the request: by host, or because no rule fits.
fn unmatched(facts: &Facts, wanted: &Wanted, asked: &Asked, bound: &[&Value]) -> Option<Failure> {
    let route = bound.first()?;
    let snapshot = compile(&facts.mesh, &facts.gateway());
    let told = with_request(facts, asked, |port, head| explain(&snapshot, port, head))?;
    let hosts = |object: &Value, path: &[&str]| -> String {
        let hosts = meta::list_at(object, path).iter().filter_map(Value::as_str);
        hosts.collect::<Vec<_>>().join(", ")
    };
    match told.outcome {
        Outcome::NoVirtualHost => {
            let servers = facts.gateways().flat_map(|gateway| meta::list_at(gateway, &["spec", "servers"]));
            let opened: Vec<String> = servers.map(|server| hosts(server, &["hosts"])).collect();
            let failure = Situation::HostMismatch
                .seen(format!("no VirtualService is for the host `{}`", authority(facts, asked)))
                .observed(format!("hosts of VirtualService {}: {}", meta::key(route), hosts(route, &["spec", "hosts"])))
                .observed(format!("hosts of Gateways: {}", opened.join("; ")));
            let failure = wanted.put_back(failure, "VirtualService", meta::name(route), ROUTES_BACK);
            let gateway = facts.gateways().next().map(meta::name).unwrap_or_default();
            Some(wanted.put_back(failure, "Gateway", gateway, "puts the lab's own Gateway back"))
        }
        Outcome::NoRoute => {
            let mut failure = Situation::NoRuleMatches.seen("no rule matches the request");
            for considered in &told.considered {
                let why = considered.mismatch.as_deref().unwrap_or("it matches");
                failure = failure.observed(format!("{}: {why}", rule_name(&considered.source)));
            }
            Some(wanted.put_back(failure, "VirtualService", meta::name(route), ROUTES_BACK))
        }
        _ => None,
    }
}

/// `rule 2 of tf-serving/image-classifier`.
pub(super) fn rule_name(source: &snapshot::RouteSource) -> String {
    format!("rule {} of VirtualService {}/{}", source.rule + 1, source.namespace, source.name)
}

/// The Host header of a request.
pub(super) fn authority(facts: &Facts, asked: &Asked) -> String {
    if let Some(host) = &asked.host {
        return host.clone();
    }
    let address = facts.ingress_address().unwrap_or("localhost");
    match asked.port.or_else(|| facts.ingress_port()) {
        None | Some(80) => address.to_owned(),
        Some(port) => format!("{address}:{port}"),
    }
}

/// Calls `with` with the gateway's bound port and the request as routing sees it.
pub(super) fn with_request<T>(
    facts: &Facts,
    asked: &Asked,
    with: impl FnOnce(u16, &RequestHead<'_>) -> T,
) -> Option<T> {
    let port = asked.port.or_else(|| facts.ingress_port())?;
    let service = facts.ingress_service()?;
    let ports = meta::list_at(service, &["spec", "ports"]);
    let target = ports.iter().find(|other| other["port"] == port)?["targetPort"].as_u64();
    let bound = target.and_then(|target| u16::try_from(target).ok()).unwrap_or(port);
    let mut headers = http::HeaderMap::new();
    for (name, value) in &asked.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, http::HeaderValue::from_str(value).ok()?);
    }
    let authority = authority(facts, asked);
    let head = RequestHead {
        method: &asked.method,
        authority: &authority,
        target: &asked.path,
        scheme: "http",
        headers: &headers,
    };
    Some(with(bound, &head))
}
