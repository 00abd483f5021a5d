//! VirtualService as a whole (specification section 2.2); the rules of `http` are next door in `http_rule`.

use super::{Failures, http_rule, shared_checks, unreachable};
use crate::routing::model::VirtualService;
use crate::routing::names;

const MESH: &str = "mesh";
const JWT_CLAIM_PREFIX: &str = "@request.auth.claims";

pub(super) fn validate(spec: &VirtualService, namespace: &str) -> (Failures, Vec<String>) {
    let mut failures = Failures::default();
    let mut warnings = Vec::new();

    let is_delegate = spec.hosts.is_empty();
    if is_delegate {
        failures.push_if(!spec.gateways.is_empty(), "delegate virtual service must have no gateways specified");
        failures.push_if(!spec.tls.is_empty(), "delegate virtual service must have no tls route specified");
        failures.push_if(!spec.tcp.is_empty(), "delegate virtual service must have no tcp route specified");
    }

    let applies_to_mesh = spec.gateways.is_empty() || spec.gateways.iter().any(|gateway| gateway == MESH);
    let applies_to_gateway = spec.gateways.iter().any(|gateway| gateway != MESH);
    failures.add(shared_checks::gateway_names(&spec.gateways, &mut warnings));
    if !applies_to_gateway {
        failures.add(claims_without_gateway(spec));
    }
    failures.add(hosts(spec, applies_to_mesh));

    failures.push_if(
        spec.http.is_empty() && spec.tcp.is_empty() && spec.tls.is_empty(),
        "http, tcp or tls must be provided in virtual service",
    );
    for rule in &spec.http {
        failures.add(http_rule::validate(rule, is_delegate, &mut warnings));
    }
    failures.add(shared_checks::export_to(&spec.export_to, namespace));
    warnings.extend(unreachable::find(&spec.http));
    (failures, warnings)
}

fn claims_without_gateway(spec: &VirtualService) -> Failures {
    let mut failures = Failures::default();
    for entry in spec.http.iter().flat_map(|rule| &rule.r#match) {
        for key in entry.headers.keys().chain(entry.without_headers.keys()) {
            failures.push_if(
                key.starts_with(JWT_CLAIM_PREFIX),
                format!(
                    "JWT claim based routing (key: {key}) is only supported for gateway, found no gateways: [{}]",
                    spec.gateways.join(" ")
                ),
            );
        }
    }
    failures
}

fn hosts(spec: &VirtualService, applies_to_mesh: bool) -> Failures {
    let mut failures = Failures::default();
    for host in &spec.hosts {
        match names::check_wildcard_domain(host) {
            Err(_) if names::is_address(host) => {}
            Err(text) => failures.push(text),
            Ok(()) => failures.push_if(
                applies_to_mesh && host == "*",
                "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            ),
        }
    }
    // Overlaps are looked for only among hosts that are all valid.
    if failures.message().is_none() {
        for (index, host) in spec.hosts.iter().enumerate() {
            for other in &spec.hosts[index + 1..] {
                failures.push_if(
                    names::overlap(host, other),
                    format!("duplicate hosts in virtual service: {host} & {other}"),
                );
            }
        }
    }
    failures
}
