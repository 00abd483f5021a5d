//! What the service proxy should listen on, as a function of Services and Endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// What a listener is for, in the words of a Service; shown when it cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerKind {
    /// The Service's ClusterIP.
    ClusterIp,
    /// A port of the node.
    NodePort,
    /// The address that a load balancer gave.
    External,
}

/// One address and port to listen on, and the ready endpoints behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedListener {
    /// `namespace/name` of the Service.
    pub service: String,
    /// What it is.
    pub kind: ListenerKind,
    /// Where the ready pods answer; may be empty.
    pub backends: Vec<SocketAddr>,
}

/// The listeners by address.
pub type ListenerPlan = BTreeMap<SocketAddr, PlannedListener>;

/// Computes the plan. `endpoints` finds a Service's Endpoints object by namespace and name.
///
/// Only TCP is proxied; a headless Service has no address to listen on.
pub fn listener_plan<'a>(
    node: IpAddr,
    services: impl IntoIterator<Item = &'a Value>,
    endpoints: impl Fn(&str, &str) -> Option<&'a Value>,
) -> ListenerPlan {
    let mut plan = ListenerPlan::new();
    for service in services {
        let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        let endpoints = endpoints(namespace, name);
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if port["protocol"].as_str().is_some_and(|protocol| protocol != "TCP") {
                continue;
            }
            let backends = endpoints.map(|endpoints| backends(endpoints, port["name"].as_str())).unwrap_or_default();
            let mut add = |kind, address: IpAddr, number: &Value| {
                let Some(number) = number.as_u64().and_then(|number| u16::try_from(number).ok()) else { return };
                if number == 0 {
                    return;
                }
                plan.entry(SocketAddr::new(address, number)).or_insert_with(|| PlannedListener {
                    service: format!("{namespace}/{name}"),
                    kind,
                    backends: backends.clone(),
                });
            };
            if let Some(address) = address_of(&service["spec"]["clusterIP"]) {
                add(ListenerKind::ClusterIp, address, &port["port"]);
            }
            add(ListenerKind::NodePort, node, &port["nodePort"]);
            for ingress in service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten() {
                if let Some(address) = address_of(&ingress["ip"]) {
                    add(ListenerKind::External, address, &port["port"]);
                }
            }
        }
    }
    plan
}

/// The ready addresses of the subset port with this name. A Service with one port may leave the name out on both sides.
fn backends(endpoints: &Value, port_name: Option<&str>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        for port in subset["ports"].as_array().into_iter().flatten() {
            if port["name"].as_str().unwrap_or_default() != port_name.unwrap_or_default() {
                continue;
            }
            let Some(number) = port["port"].as_u64().and_then(|number| u16::try_from(number).ok()) else { continue };
            let addresses = subset["addresses"].as_array().into_iter().flatten();
            found.extend(addresses.filter_map(|entry| Some(SocketAddr::new(address_of(&entry["ip"])?, number))));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn address_of(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_balancer_listens_in_three_places() {
        let service = json!({
            "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
            "spec": {"clusterIP": "127.77.16.5", "ports": [
                {"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30955},
                {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053},
            ]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.77.0.1"}]}},
        });
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "127.77.128.4"}, {"ip": "127.77.128.3"}],
             "notReadyAddresses": [{"ip": "127.77.128.9"}],
             "ports": [{"name": "http2", "port": 8080, "protocol": "TCP"}, {"name": "https", "port": 8443}]},
        ]});
        let plan = listener_plan([127, 77, 0, 2].into(), [&service], |_, _| Some(&endpoints));
        let shown: Vec<_> = plan.iter().map(|(at, listener)| (at.to_string(), listener.kind)).collect();
        assert_eq!(
            shown,
            [
                ("127.77.0.1:80".to_owned(), ListenerKind::External),
                ("127.77.0.2:30955".to_owned(), ListenerKind::NodePort),
                ("127.77.16.5:80".to_owned(), ListenerKind::ClusterIp),
            ]
        );
        let expected: Vec<SocketAddr> =
            vec!["127.77.128.3:8080".parse().unwrap(), "127.77.128.4:8080".parse().unwrap()];
        assert!(plan.values().all(|listener| listener.backends == expected));
    }

    #[test]
    fn headless_and_pending_services_have_no_listener_and_unnamed_ports_meet() {
        let node = IpAddr::from([127, 77, 0, 2]);
        let headless = json!({"metadata": {"namespace": "a", "name": "b"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}});
        assert!(listener_plan(node, [&headless], |_, _| None).is_empty());
        let plain = json!({"metadata": {"namespace": "a", "name": "b"}, "spec": {"clusterIP": "127.77.16.9", "ports": [{"port": 80}]}});
        let endpoints = json!({"subsets": [{"addresses": [{"ip": "127.77.128.4"}], "ports": [{"port": 8080}]}]});
        let plan = listener_plan(node, [&plain], |_, _| Some(&endpoints));
        assert_eq!(plan.values().next().unwrap().backends, ["127.77.128.4:8080".parse().unwrap()]);
        let plan = listener_plan(node, [&plain], |_, _| None);
        assert!(plan.values().next().unwrap().backends.is_empty());
    }
}
