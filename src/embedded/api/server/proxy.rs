use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::ApiServer;
use super::body::{self, Body};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::objects::meta;

/// How long a backend may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Headers that speak of one connection only, and the one that is for the API server.
const NOT_PASSED_ON: [header::HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::AUTHORIZATION,
];

/// What the last part of the path names: `[SCHEME:]NAME[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        (matches!(scheme, "" | "http" | "https") && !name.is_empty()).then_some(Self { scheme, name, port })
    }
}

/// Answers `…/pods/NAME/proxy/PATH` and `…/services/NAME/proxy/PATH`.
pub(super) async fn answer(
    server: &Arc<ApiServer>,
    request: Request<Incoming>,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    rest: Option<&str>,
) -> Result<Response<Body>, Status> {
    let Some(rest) = rest else { return Ok(with_slash(&request)) };
    let named = Named::parse(name)
        .ok_or_else(|| Status::bad_request(format!("invalid {} request {name:?}", resource.kind.to_lowercase())))?;
    if named.scheme == "https" {
        let message = format!("the embedded cluster's proxy speaks no TLS to {}", resource.plural);
        return Err(Status::new(501, "NotImplemented", message));
    }
    let object = server.registry.get(&resource.full_name(), namespace, named.name)?;
    let (address, port) = if resource.kind == "Pod" {
        pod_target(&object, &named)?
    } else {
        service_target(server, &object, namespace, &named)?
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    forward(request, address, port, &format!("{rest}{query}")).await
}

fn pod_target(pod: &Value, named: &Named<'_>) -> Result<(IpAddr, u16), Status> {
    let unreachable = |why: String| Status::new(503, "ServiceUnavailable", why);
    let address = pod["status"]["podIP"].as_str().and_then(|text| text.parse().ok());
    let address = address.ok_or_else(|| unreachable("address not allowed".to_owned()))?;
    let containers = meta::list_at(pod, &["spec", "containers"]).iter();
    let mut ports = containers.flat_map(|container| meta::list_at(container, &["ports"]));
    let number = |port: &Value| port["containerPort"].as_u64().and_then(|number| u16::try_from(number).ok());
    let port = match named.port {
        "" => ports.next().and_then(number).unwrap_or(80),
        text => match text.parse() {
            Ok(number) => number,
            Err(_) => ports
                .find(|port| port["name"] == text)
                .and_then(number)
                .ok_or_else(|| unreachable(format!("invalid port name {text:?}")))?,
        },
    };
    Ok((address, port))
}

fn service_target(
    server: &ApiServer,
    service: &Value,
    namespace: Option<&str>,
    named: &Named<'_>,
) -> Result<(IpAddr, u16), Status> {
    let unavailable = |why: String| Status::new(503, "ServiceUnavailable", why);
    let name = named.name;
    let mut ports = meta::list_at(service, &["spec", "ports"]).iter();
    let port = match named.port {
        "" => ports.next(),
        text => ports.find(|port| port["name"] == text || text.parse().is_ok_and(|number: u64| port["port"] == number)),
    };
    let port =
        port.ok_or_else(|| unavailable(format!("no service port {:?} found for service {name:?}", named.port)))?;
    let none = || unavailable(format!("no endpoints available for service {name:?}"));
    let endpoints = server.registry.get("endpoints", namespace, name).map_err(|_| none())?;
    for subset in meta::list_at(&endpoints, &["subsets"]) {
        let wanted = port["name"].as_str().unwrap_or_default();
        let mut ports = meta::list_at(subset, &["ports"]).iter();
        let number = ports.find(|port| port["name"].as_str().unwrap_or_default() == wanted);
        let number = number.and_then(|port| port["port"].as_u64()).and_then(|number| u16::try_from(number).ok());
        let address = meta::list_at(subset, &["addresses"]).first().and_then(|address| address["ip"].as_str());
        if let (Some(number), Some(Ok(address))) = (number, address.map(str::parse)) {
            return Ok((address, number));
        }
    }
    Err(none())
}

async fn forward(
    request: Request<Incoming>,
    address: IpAddr,
    port: u16,
    target: &str,
) -> Result<Response<Body>, Status> {
    let trouble = |why: String| {
        let message = format!("error trying to reach service: {why}");
        Status::new(503, "ServiceUnavailable", message)
    };
    let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect((address, port))).await;
    let stream = match connecting {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(trouble(format!("dial tcp {address}:{port}: connect: connection refused")));
        }
        Ok(Err(error)) => return Err(trouble(format!("dial tcp {address}:{port}: {error}"))),
        Err(_) => return Err(trouble(format!("dial tcp {address}:{port}: i/o timeout"))),
    };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| trouble(error.to_string()))?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    for name in &NOT_PASSED_ON {
        parts.headers.remove(name);
    }
    parts.uri = target.parse::<Uri>().map_err(|error| Status::bad_request(error.to_string()))?;
    parts.version = http::Version::HTTP_11;
    let host = HeaderValue::from_str(&format!("{address}:{port}"));
    parts.headers.extend(host.map(|host| (header::HOST, host)));
    let response = sender.send_request(Request::from_parts(parts, body)).await;
    let (mut parts, body) = response.map_err(|error| trouble(error.to_string()))?.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        parts.headers.remove(name);
    }
    Ok(Response::from_parts(parts, body.map_err(std::io::Error::other).boxed_unsync()))
}

/// A path that ends at the proxy itself is sent on to the backend's root.
fn with_slash(request: &Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(body::full(Vec::new()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let place = HeaderValue::from_str(&format!("{}/{query}", request.uri().path()));
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_scheme_and_port() {
        let named = |scheme, name, port| Some(Named { scheme, name, port });
        assert_eq!(Named::parse("s"), named("", "s", ""));
        assert_eq!(Named::parse("s:http"), named("", "s", "http"));
        assert_eq!(Named::parse("http:s:80"), named("http", "s", "80"));
        assert_eq!(Named::parse("https:s:"), named("https", "s", ""));
        assert_eq!(Named::parse("ftp:s:80"), None);
        assert_eq!(Named::parse(":80"), None);
    }
}
