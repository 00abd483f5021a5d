//! The ways into a cluster that is not the lab's own.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::api::{Api, ApiError, ObjectRef};
use super::settings::IngressMode;
use crate::objects::{Gvk, meta};
use crate::traffic::Ingress;

/// How long a connection may take when it is only tried.
const TRIAL: Duration = Duration::from_secs(2);

/// A way in, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WayIn {
    /// Requests go there.
    Open(Ingress),
    /// The service has no external address yet.
    Pending,
    /// This way does not exist here.
    Missing(String),
}

/// The port of the ingress service that has this name, and its node port.
fn port_of(service: &Value, name: &str) -> Option<(u16, Option<u16>)> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let port = meta::list_at(service, &["spec", "ports"]).iter().find(|port| port["name"] == name)?;
    Some((number(&port["port"])?, number(&port["nodePort"])))
}

/// What the service's load balancer says.
pub(super) fn load_balancer(service: &Value, port: &str) -> WayIn {
    let Some((number, _)) = port_of(service, port) else {
        return WayIn::Missing(format!("it has no port named `{port}`"));
    };
    let first = meta::list_at(service, &["status", "loadBalancer", "ingress"]).first().cloned().unwrap_or_default();
    match first["ip"].as_str().or_else(|| first["hostname"].as_str()) {
        Some(host) => WayIn::Open(Ingress { host: host.to_owned(), port: number, host_header: None }),
        None => WayIn::Pending,
    }
}

/// A node's address with the service's node port.
pub(super) async fn node_port(api: &Api, service: &Value, port: &str) -> Result<WayIn, ApiError> {
    let Some((_, Some(node_port))) = port_of(service, port) else {
        return Ok(WayIn::Missing(format!("its port `{port}` has no node port")));
    };
    let nodes = api.list(&Gvk::new("", "v1", "Node"), None, "").await?;
    let address = |node: &Value, kind: &str| {
        let addresses = meta::list_at(node, &["status", "addresses"]);
        addresses
            .iter()
            .find(|address| address["type"] == kind)
            .and_then(|address| address["address"].as_str())
            .map(str::to_owned)
    };
    // An external address may be there for people outside; inside a machine or a network the internal one answers.
    let hosts = nodes.iter().flat_map(|node| [address(node, "InternalIP"), address(node, "ExternalIP")]).flatten();
    let hosts: Vec<String> = hosts.collect();
    for host in &hosts {
        if answers(host, node_port).await {
            return Ok(WayIn::Open(Ingress { host: host.clone(), port: node_port, host_header: None }));
        }
    }
    // Nothing listens before a Gateway object opens the port; the address is right all the same.
    Ok(match hosts.into_iter().next() {
        Some(host) => WayIn::Open(Ingress { host, port: node_port, host_header: None }),
        None => WayIn::Missing("no node tells its address".to_owned()),
    })
}

/// Whether somebody accepts a connection there, or refuses one at once: then the address is at least reachable.
async fn answers(host: &str, port: u16) -> bool {
    let Ok(address) = host.parse::<std::net::IpAddr>() else { return false };
    let trial = tokio::net::TcpStream::connect(SocketAddr::new(address, port));
    match tokio::time::timeout(TRIAL, trial).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

/// Decides between the ways where the person left it open: an address that is there, else a node port that can be reached,
/// else a port-forward.
pub(super) async fn choose(api: &Api, service: &Value, port: &str) -> Result<IngressMode, ApiError> {
    if matches!(load_balancer(service, port), WayIn::Open(_)) {
        return Ok(IngressMode::LoadBalancer);
    }
    if let WayIn::Open(ingress) = node_port(api, service, port).await?
        && answers(&ingress.host, ingress.port).await
    {
        return Ok(IngressMode::NodePort);
    }
    Ok(IngressMode::PortForward)
}

/// The ingress service itself.
pub(super) async fn service(api: &Api, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
    api.get(&ObjectRef::new("v1", "Service", Some(namespace), name)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_service_tells_address_and_port() {
        let mut service = json!({"spec": {"ports": [{"name": "http2", "port": 80, "nodePort": 30711}, {"name": "https", "port": 443}]}});
        assert_eq!(load_balancer(&service, "http2"), WayIn::Pending);
        service["status"] = json!({"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}});
        let WayIn::Open(ingress) = load_balancer(&service, "http2") else { panic!() };
        assert_eq!((ingress.host.as_str(), ingress.port), ("lb.example", 80));
        assert!(matches!(load_balancer(&service, "tcp"), WayIn::Missing(_)));
        assert_eq!(port_of(&service, "http2"), Some((80, Some(30711))));
        assert_eq!(port_of(&service, "https"), Some((443, None)));
    }

    #[tokio::test]
    async fn a_refused_connection_shows_that_the_address_is_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(answers("127.0.0.1", port).await);
        drop(listener);
        assert!(answers("127.0.0.1", port).await);
        assert!(!answers("not an address", port).await);
    }
}
