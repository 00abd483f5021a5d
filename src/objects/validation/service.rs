use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::Value;

use super::go_values::{service_port, string_list};
use super::metadata::validate_labels;
use crate::objects::{FieldError, meta, names};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub(super) fn validate(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &service["spec"];
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
    let ports = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = text("type");
    let headless = text("clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => errors.push(FieldError::invalid_text(
            "spec.clusterIPs[0]",
            "None",
            &format!("may not be set to 'None' for {kind} services"),
        )),
        "ExternalName" => {
            let name = text("externalName").trim_end_matches('.');
            if name.is_empty() {
                errors.push(FieldError::required("spec.externalName", ""));
            } else {
                errors.extend(FieldError::invalid_texts("spec.externalName", name, names::dns_subdomain(name)));
            }
        }
        _ => {}
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        errors.extend(validate_port(port, ports.len() > 1, &mut seen, &format!("spec.ports[{index}]")));
    }
    errors.extend(validate_labels(spec.get("selector").and_then(Value::as_object), "spec.selector"));
    let affinity = text("sessionAffinity");
    if affinity.is_empty() {
        errors.push(FieldError::required("spec.sessionAffinity", ""));
    } else if !matches!(affinity, "ClientIP" | "None") {
        let affinity = names::quote(affinity);
        errors.push(FieldError::not_supported("spec.sessionAffinity", &affinity, &["ClientIP", "None"]));
    }
    let address = text("clusterIP");
    if !address.is_empty() && !headless && address.parse::<IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid_text("spec.clusterIPs[0]", address, detail));
    }
    for (index, address) in meta::list_at(spec, &["externalIPs"]).iter().filter_map(Value::as_str).enumerate() {
        if address.parse::<IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid_text(format!("spec.externalIPs[{index}]"), address, detail));
        }
    }
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported("spec.type", &names::quote(kind), TYPES));
    }
    errors.extend(validate_ports_together(ports, kind));
    let policy = text("externalTrafficPolicy");
    if !matches!(policy, "" | "Cluster" | "Local") {
        let detail = "ExternalTrafficPolicy must be empty, Cluster or Local";
        errors.push(FieldError::invalid_text("spec.externalTrafficPolicy", policy, detail));
    }
    errors
}

fn validate_port<'a>(port: &'a Value, named: bool, seen: &mut HashSet<&'a str>, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |key: &str| port.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
    let at = |key: &str| format!("{field}.{key}");
    if name.is_empty() {
        if named {
            errors.push(FieldError::required(at("name"), ""));
        }
    } else {
        errors.extend(FieldError::invalid_texts(&at("name"), name, names::dns_label(name)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(at("name"), &names::quote(name)));
        }
    }
    let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
    errors.extend(invalid_number(&at("port"), number));
    let protocol = text("protocol");
    if protocol.is_empty() {
        errors.push(FieldError::required(at("protocol"), ""));
    } else if !PROTOCOLS.contains(&protocol) {
        errors.push(FieldError::not_supported(at("protocol"), &names::quote(protocol), PROTOCOLS));
    }
    errors.extend(validate_port_reference(port.get("targetPort"), &at("targetPort")));
    let application = text("appProtocol");
    if !application.is_empty() {
        errors.extend(FieldError::invalid_texts(&at("appProtocol"), application, names::qualified_name(application)));
    }
    errors
}

/// A port by number or by name, as probes and Services name ports of containers.
pub(super) fn validate_port_reference(port: Option<&Value>, field: &str) -> Vec<FieldError> {
    match port {
        Some(Value::String(name)) => FieldError::invalid_texts(field, name, names::port_name(name)).collect(),
        Some(number) => invalid_number(field, number.as_i64().unwrap_or_default()),
        None => Vec::new(),
    }
}

/// Complaints about a port number.
pub(super) fn invalid_number(field: &str, number: i64) -> Vec<FieldError> {
    let complain = |problem: String| FieldError::invalid(field, &number.to_string(), &problem);
    names::port_number(number).into_iter().map(complain).collect()
}

fn validate_ports_together(ports: &[Value], kind: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mut pairs, mut node_ports) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| port.get(key).and_then(Value::as_i64).unwrap_or_default();
        let node_port = number("nodePort");
        if node_port != 0 {
            let field = format!("{field}.nodePort");
            if kind == "ClusterIP" {
                errors.push(FieldError::forbidden(field, "may not be used when `type` is 'ClusterIP'"));
            } else if !(30000..=32767).contains(&node_port) {
                let detail = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                errors.push(FieldError::invalid(field, &node_port.to_string(), detail));
            } else if !node_ports.insert((protocol, node_port)) {
                errors.push(FieldError::duplicate(field, &node_port.to_string()));
            }
        }
        if !pairs.insert((protocol, number("port"))) {
            errors.push(FieldError::duplicate(field, &service_port(protocol, number("port"))));
        }
    }
    errors
}

/// A ClusterIP stays once it is given, as long as the Service keeps one.
pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let text = |object, key: &str| meta::text_at(object, &["spec", key]).unwrap_or_default().to_owned();
    let (new_address, old_address) = (text(new, "clusterIP"), text(old, "clusterIP"));
    let external = text(new, "type") == "ExternalName" || text(old, "type") == "ExternalName";
    if external || old_address.is_empty() || new_address == old_address {
        return Vec::new();
    }
    let addresses = string_list(std::iter::once(new_address.as_str()));
    vec![FieldError::invalid("spec.clusterIPs[0]", &addresses, "may not change once set")]
}
