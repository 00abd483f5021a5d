//! The ways into a cluster that is not the lab's own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::api::{Api, ApiError, ObjectRef};
use super::provider::Entrance;
use super::settings::IngressMode;
use crate::objects::{Gvk, meta};
use crate::traffic::Ingress;

/// How long a connection may take when it is only tried.
const TRIAL: Duration = Duration::from_secs(2);

/// The ingress service's port for its gateway's own readiness.
const STATUS_PORT: &str = "status-port";

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
    let Ok(address) = host.parse::<IpAddr>() else { return false };
    let trial = tokio::net::TcpStream::connect(SocketAddr::new(address, port));
    match tokio::time::timeout(TRIAL, trial).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

/// Whether the gateway can be reached there: it says so itself on its status port, or the port for requests takes a
/// connection, or refuses one at once, as it does before a Gateway object opens it.
pub(super) async fn entrance(service: &Value, ingress: &Ingress, mode: IngressMode) -> Entrance {
    let status = port_of(service, STATUS_PORT)
        .and_then(|(port, node_port)| if mode == IngressMode::NodePort { node_port } else { Some(port) });
    if let Some(port) = status
        && says_ready(&ingress.host, port).await
    {
        return Entrance::Open;
    }
    // A name is a load balancer of somebody's cloud; whoever resolves it is not asked here.
    if ingress.host.parse::<IpAddr>().is_err() || answers(&ingress.host, ingress.port).await {
        return Entrance::Open;
    }
    let ports = status.map_or_else(String::new, |port| format!("port {port} (its status) nor "));
    let neither = if status.is_some() { "neither " } else { "not " };
    Entrance::Shut(format!("{} answers at {neither}{ports}port {}", ingress.host, ingress.port))
}

/// Whether the gateway answers a request for its readiness, whatever it says.
async fn says_ready(host: &str, port: u16) -> bool {
    let Ok(client) = direct_client(TRIAL) else { return false };
    client.get(format!("http://{host}:{port}/healthz/ready")).send().await.is_ok()
}

/// A client that no proxy of the environment stands before, with a new connection for each request: a listener that is
/// replaced lets old connections go on for a while.
pub(super) fn direct_client(patience: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Another room may have installed the provider already; either way ring is in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(patience).pool_max_idle_per_host(0).build()
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
    async fn an_address_that_nobody_has_is_no_entrance_and_the_status_port_is_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            }
        });
        let service = json!({"spec": {"ports": [
            {"name": "status-port", "port": port, "nodePort": 30021}, {"name": "http2", "port": 80, "nodePort": 30711}]}});
        let at = |host: &str| Ingress { host: host.into(), port: 80, host_header: None };
        assert_eq!(entrance(&service, &at("127.0.0.1"), IngressMode::LoadBalancer).await, Entrance::Open);
        // Nobody can connect to everybody, and the kernel says so at once.
        let shut = entrance(&service, &at("255.255.255.255"), IngressMode::LoadBalancer).await;
        let said = format!("255.255.255.255 answers at neither port {port} (its status) nor port 80");
        assert_eq!(shut, Entrance::Shut(said));
        assert_eq!(entrance(&service, &at("lb.example"), IngressMode::LoadBalancer).await, Entrance::Open);
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
