//! Gateways and the VirtualServices bound to them, as listeners with virtual hosts.

use std::collections::BTreeMap;

use super::services::ServiceIndex;
use super::{Decoded, GatewayWorkload, Visibility, routes, visibility};
use crate::routing::model::{Gateway, Server, VirtualService};
use crate::routing::names;
use crate::routing::snapshot::{Listener, Route, VirtualHost};

/// Bound ports below this one need a privilege that gateway pods do not have.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// One HTTP server of one Gateway.
struct BoundServer<'a> {
    gateway: String,
    gateway_namespace: &'a str,
    number: u32,
    server: &'a Server,
}

pub(super) fn build(
    gateways: &[Decoded<Gateway>],
    virtual_services: &[Decoded<VirtualService>],
    services: &ServiceIndex,
    workload: &GatewayWorkload,
) -> Vec<Listener> {
    let mut by_port: BTreeMap<u16, Vec<BoundServer<'_>>> = BTreeMap::new();
    for gateway in gateways {
        let applies = gateway.spec.selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value));
        if !applies {
            continue;
        }
        for server in &gateway.spec.servers {
            let Some(port) = &server.port else { continue };
            // Other protocols are refused at admission; a port without a number opens nothing.
            if !is_plain_http(&port.protocol) || port.number == 0 {
                continue;
            }
            let Some(bound) = services.bind_port(port.number, workload) else { continue };
            if bound < FIRST_UNPRIVILEGED_PORT {
                continue;
            }
            by_port.entry(bound).or_default().push(BoundServer {
                gateway: format!("{}/{}", gateway.namespace, gateway.name),
                gateway_namespace: &gateway.namespace,
                number: port.number,
                server,
            });
        }
    }
    let ordered = in_order_of_use(virtual_services, workload);
    by_port
        .into_iter()
        .map(|(port, servers)| Listener { port, virtual_hosts: virtual_hosts(&servers, &ordered, services, workload) })
        .collect()
}

fn is_plain_http(protocol: &str) -> bool {
    matches!(protocol.to_ascii_lowercase().as_str(), "http" | "http2" | "grpc" | "grpc-web" | "http_proxy")
}

/// Private objects before exported before public ones; within each oldest first.
fn in_order_of_use<'a>(
    virtual_services: &'a [Decoded<VirtualService>],
    workload: &GatewayWorkload,
) -> Vec<&'a Decoded<VirtualService>> {
    let mut seen: Vec<(Visibility, &Decoded<VirtualService>)> = virtual_services
        .iter()
        .filter_map(|object| {
            Some((visibility(&object.spec.export_to, &object.namespace, &workload.namespace)?, object))
        })
        .collect();
    seen.sort_by_key(|(visibility, _)| *visibility);
    seen.into_iter().map(|(_, object)| object).collect()
}

/// A VirtualService's or match's entry for a gateway, as `namespace/name`.
pub(super) fn gateway_key(entry: &str, namespace: &str) -> String {
    match entry.split_once('/') {
        Some((".", name)) => format!("{namespace}/{name}"),
        Some(_) => entry.to_owned(),
        None => {
            let mut parts = entry.split('.');
            let name = parts.next().unwrap_or_default();
            format!("{}/{name}", parts.next().unwrap_or(namespace))
        }
    }
}

fn virtual_hosts(
    servers: &[BoundServer<'_>],
    virtual_services: &[&Decoded<VirtualService>],
    services: &ServiceIndex,
    workload: &GatewayWorkload,
) -> Vec<VirtualHost> {
    let mut hosts: Vec<(String, VirtualHost)> = Vec::new();
    for bound in servers {
        let redirects = bound.server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
        for object in virtual_services {
            let is_bound =
                object.spec.gateways.iter().any(|entry| gateway_key(entry, &object.namespace) == bound.gateway);
            if !is_bound {
                continue;
            }
            let names = intersection(bound, object);
            if names.is_empty() {
                continue;
            }
            let routes = routes::build(object, bound.number, &bound.gateway, services, workload);
            if routes.is_empty() {
                continue;
            }
            for name in names {
                let host = host_entry(&mut hosts, &name, bound.number);
                host.require_https |= redirects;
                append(&mut host.routes, &routes);
            }
        }
        if redirects {
            for host in &bound.server.hosts {
                let name = host.split_once('/').map_or(host.as_str(), |(_, name)| name);
                host_entry(&mut hosts, name, bound.number).require_https = true;
            }
        }
    }
    hosts.into_iter().map(|(_, host)| host).collect()
}

fn host_entry<'a>(hosts: &'a mut Vec<(String, VirtualHost)>, name: &str, number: u32) -> &'a mut VirtualHost {
    let at = hosts.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        let host = VirtualHost {
            name: format!("{name}:{number}"),
            domains: domains(name, number),
            require_https: false,
            routes: Vec::new(),
        };
        hosts.push((name.to_owned(), host));
        hosts.len() - 1
    });
    &mut hosts[at].1
}

/// An exact name takes any port in the Host header, a wildcard only the server's own.
fn domains(name: &str, number: u32) -> Vec<String> {
    let lower = name.to_ascii_lowercase();
    if lower == "*" {
        vec![lower]
    } else if lower.starts_with('*') {
        vec![lower.clone(), format!("{lower}:{number}")]
    } else {
        vec![lower.clone(), format!("{lower}:*")]
    }
}

/// The narrower name of each pair of a server's and a VirtualService's host of which one covers the other.
fn intersection(bound: &BoundServer<'_>, object: &Decoded<VirtualService>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for host in &bound.server.hosts {
        let name = match host.split_once('/') {
            None | Some(("*", _)) => host.split_once('/').map_or(host.as_str(), |(_, name)| name),
            Some((".", name)) if bound.gateway_namespace == object.namespace => name,
            Some((namespace, name)) if namespace == object.namespace => name,
            Some(_) => continue,
        };
        for wanted in &object.spec.hosts {
            let wanted = names::full_name(wanted, &object.namespace);
            let narrower = if names::is_within(&wanted, name) {
                wanted
            } else if names::is_within(name, &wanted) {
                name.to_owned()
            } else {
                continue;
            };
            if !found.contains(&narrower) {
                found.push(narrower);
            }
        }
    }
    found
}

/// Joins the rules of two VirtualServices: in order, catch-alls moved behind everything else.
fn append(routes: &mut Vec<Route>, more: &[Route]) {
    if routes.is_empty() {
        routes.extend_from_slice(more);
        return;
    }
    let (mut specific, mut catch_all) = (Vec::new(), Vec::new());
    for route in routes.drain(..).chain(more.iter().cloned()) {
        if route.matcher.is_catch_all() { catch_all.push(route) } else { specific.push(route) }
    }
    specific.extend(catch_all);
    *routes = specific;
}
