use serde_json::{Map, Value, json};

use super::fill::{each, fill, fill_text, object, text};

pub(super) fn service(service: &mut Map<String, Value>) {
    if let Some(spec) = object(service, "spec") {
        fill_text(spec, "sessionAffinity", "None");
        if text(spec, "sessionAffinity") == "ClientIP"
            && let Some(config) = object(spec, "sessionAffinityConfig")
            && let Some(client) = object(config, "clientIP")
        {
            fill(client, "timeoutSeconds", 10800);
        }
        fill_text(spec, "type", "ClusterIP");
        for port in each(spec, "ports") {
            fill_text(port, "protocol", "TCP");
            let unset = port
                .get("targetPort")
                .is_none_or(|target| target.is_null() || target.as_i64() == Some(0) || target.as_str() == Some(""));
            if unset && let Some(number) = port.get("port").cloned() {
                port.insert("targetPort".to_owned(), number);
            }
        }
        let kind = text(spec, "type").to_owned();
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            fill_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            fill(spec, "allocateLoadBalancerNodePorts", true);
        }
        if kind != "ExternalName" {
            fill_text(spec, "internalTrafficPolicy", "Cluster");
            fill(spec, "ipFamilies", json!(["IPv4"]));
            fill_text(spec, "ipFamilyPolicy", "SingleStack");
        }
    }
    if let Some(status) = object(service, "status") {
        object(status, "loadBalancer");
    }
}

pub(super) fn endpoints(endpoints: &mut Map<String, Value>) {
    for subset in each(endpoints, "subsets") {
        for port in each(subset, "ports") {
            fill_text(port, "protocol", "TCP");
        }
    }
}

pub(super) fn endpoint_slice(slice: &mut Map<String, Value>) {
    for port in each(slice, "ports") {
        fill(port, "name", "");
        fill(port, "protocol", "TCP");
    }
    fill(slice, "endpoints", Value::Array(Vec::new()));
}
