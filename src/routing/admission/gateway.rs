//! Gateway (specification section 2.4).

use std::collections::BTreeSet;

use super::{Failures, shared_checks};
use crate::routing::model::{Gateway, Server, ServerPort, ServerTls};
use crate::routing::names;

/// How Istio reads a server's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP without TLS, HTTP/2 and gRPC included.
    Http,
    /// HTTPS or TLS.
    Tls,
    /// Any other protocol that Istio knows.
    Other,
    /// A word that Istio does not know.
    Unsupported,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "http" | "http2" | "grpc" | "grpc-web" | "http_proxy" => Self::Http,
            "https" | "tls" => Self::Tls,
            "tcp" | "udp" | "thrift" | "mongo" | "redis" | "mysql" => Self::Other,
            _ => Self::Unsupported,
        }
    }
}

pub(super) fn validate(spec: &Gateway, name: &str) -> (Failures, Vec<String>) {
    let mut failures = Failures::default();
    let mut warnings = Vec::new();
    failures.push_if(!names::is_label(name), format!("invalid gateway name: {name:?}"));
    failures.push_if(spec.servers.is_empty(), "gateway must have at least one server");
    for server in &spec.servers {
        failures.add(validate_server(server));
    }
    let mut port_names = BTreeSet::new();
    for server in &spec.servers {
        let Some(port) = &server.port else { continue };
        failures.push_if(
            !port_names.insert(port.name.as_str()),
            format!("port names in servers must be unique: duplicate name {}", port.name),
        );
        let redirects = server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
        if redirects && Protocol::parse(&port.protocol) != Protocol::Http {
            warnings.push("tls.httpsRedirect should only be used with http servers".to_owned());
        }
    }
    (failures, warnings)
}

fn validate_server(server: &Server) -> Failures {
    let mut failures = Failures::default();
    failures.push_if(server.hosts.is_empty(), "server config must contain at least one host");
    for host in &server.hosts {
        failures.add(server_host(host));
    }
    let port_error = server_port(server.port.as_ref());
    let port_is_fine = port_error.message().is_none();
    failures.add(port_error);
    failures.check(bind(server));
    if let Some(tls) = &server.tls {
        failures.add(tls_options(tls));
    }
    if let (true, Some(port)) = (port_is_fine, &server.port) {
        failures.check(tls_fits_protocol(Protocol::parse(&port.protocol), server.tls.as_ref()));
    }
    failures
}

fn server_host(host: &str) -> Failures {
    let mut failures = Failures::default();
    let mut dns_name = host;
    if let Some((namespace, name)) = host.split_once('/') {
        failures.push_if(
            namespace.is_empty() || name.is_empty(),
            "config namespace and dnsName in host entry cannot be empty",
        );
        failures.push_if(
            !matches!(namespace, "*" | ".") && !names::is_label(namespace),
            format!("invalid namespace value {namespace:?} in gateway"),
        );
        dns_name = name;
    }
    failures.push_if(dns_name != "*" && !dns_name.contains('.'), "short names (non FQDN) are not allowed");
    if !names::is_address(dns_name) {
        failures.check(names::check_wildcard_domain(dns_name));
    }
    failures
}

fn server_port(port: Option<&ServerPort>) -> Failures {
    let Some(port) = port else { return Failures::one("port is required") };
    let mut failures = Failures::default();
    failures.push_if(
        Protocol::parse(&port.protocol) == Protocol::Unsupported,
        format!(
            "invalid protocol {:?}, supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP",
            port.protocol
        ),
    );
    if port.number > 0 {
        failures.check(shared_checks::port(i64::from(port.number)));
    }
    failures.push_if(port.name.is_empty(), format!("port name must be set: {}", as_protobuf_text(port)));
    failures
}

/// The port as protobuf's text format prints it: set fields only, a blank after each.
fn as_protobuf_text(port: &ServerPort) -> String {
    let mut text = String::new();
    if port.number != 0 {
        text.push_str(&format!("number:{} ", port.number));
    }
    if !port.protocol.is_empty() {
        text.push_str(&format!("protocol:{:?} ", port.protocol));
    }
    if !port.name.is_empty() {
        text.push_str(&format!("name:{:?} ", port.name));
    }
    if port.target_port != 0 {
        text.push_str(&format!("target_port:{} ", port.target_port));
    }
    text
}

fn bind(server: &Server) -> Result<(), String> {
    let bind = server.bind.as_str();
    if bind.starts_with("unix://") {
        let number = server.port.as_ref().map_or(0, |port| port.number);
        return if number == 0 { Ok(()) } else { Err(format!("port number must be 0 for unix domain socket: {bind}")) };
    }
    if bind.is_empty() || names::is_address(bind) { Ok(()) } else { Err(format!("{bind} is not a valid IP")) }
}

fn tls_options(tls: &ServerTls) -> Failures {
    let mut failures = Failures::default();
    let mode = if tls.mode.is_empty() { "PASSTHROUGH" } else { tls.mode.as_str() };
    if !matches!(mode, "SIMPLE" | "MUTUAL") || !tls.credential_name.is_empty() {
        return failures;
    }
    failures.push_if(tls.server_certificate.is_empty(), format!("{mode} TLS requires a server certificate"));
    failures.push_if(tls.private_key.is_empty(), format!("{mode} TLS requires a private key"));
    failures.push_if(mode == "MUTUAL" && tls.ca_certificates.is_empty(), "MUTUAL TLS requires a client CA bundle");
    failures
}

fn tls_fits_protocol(protocol: Protocol, tls: Option<&ServerTls>) -> Result<(), String> {
    let text = match (protocol, tls) {
        (Protocol::Tls, None) => "server must have TLS settings for HTTPS/TLS protocols",
        (Protocol::Http, Some(tls)) if !is_bare_redirect(tls) => {
            "server cannot have TLS settings for plain text HTTP ports"
        }
        (Protocol::Other, Some(_)) => "server cannot have TLS settings for non HTTPS/TLS ports",
        _ => return Ok(()),
    };
    Err(text.to_owned())
}

/// `httpsRedirect` alone, or nothing that would ask for a certificate.
fn is_bare_redirect(tls: &ServerTls) -> bool {
    matches!(tls.mode.as_str(), "" | "PASSTHROUGH")
        && tls.server_certificate.is_empty()
        && tls.private_key.is_empty()
        && tls.ca_certificates.is_empty()
        && tls.credential_name.is_empty()
        && tls.https_redirect
}
