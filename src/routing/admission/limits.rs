//! What is valid in Istio 1.12.7 but has no effect in the embedded cluster: refused by name instead of ignored.

use serde_json::Value;

use super::gateway::Protocol;
use crate::routing::header_template::HeaderTemplate;
use crate::routing::model::{
    self, ConnectionPool, DestinationRule, Gateway, HttpRule, LoadBalancer, TrafficPolicy, VirtualService,
};

/// Judges one object of Istio's API groups that its own validation has accepted.
///
/// # Errors
/// The text after `admission webhook "limits.embedded.canary-lab" denied the request: `, naming the field.
pub fn check(kind: &str, object: &Value) -> Result<(), String> {
    let field = match kind {
        "VirtualService" => model::decode_spec(object).map(|spec| virtual_service(&spec)),
        "DestinationRule" => model::decode_spec(object).map(|spec| destination_rule(&spec)),
        "Gateway" => model::decode_spec(object).map(|spec| gateway(&spec)),
        // The record that an installer leaves; it configures nothing by itself.
        "IstioOperator" => return Ok(()),
        _ => return Err(format!("{kind} is not emulated by the embedded cluster; it would have no effect here")),
    };
    match field {
        Ok(None) => Ok(()),
        Ok(Some(field)) => {
            Err(format!("{field} is not emulated by the embedded cluster; it would have no effect here"))
        }
        Err(reason) => Err(reason.to_string()),
    }
}

fn virtual_service(spec: &VirtualService) -> Option<String> {
    if !spec.tls.is_empty() {
        return Some("spec.tls".to_owned());
    }
    if !spec.tcp.is_empty() {
        return Some("spec.tcp".to_owned());
    }
    if spec.hosts.is_empty() {
        return Some("spec.hosts: an empty list (a delegate VirtualService)".to_owned());
    }
    spec.http
        .iter()
        .enumerate()
        .find_map(|(index, rule)| http_rule(rule).map(|field| format!("spec.http[{index}].{field}")))
}

fn http_rule(rule: &HttpRule) -> Option<String> {
    if rule.delegate.is_some() {
        return Some("delegate".to_owned());
    }
    if let Some(redirect) = &rule.redirect {
        if !matches!(redirect.code, 0 | 301 | 302 | 303 | 307 | 308) {
            return Some(format!("redirect.redirectCode: {}", redirect.code));
        }
        if redirect
            .derive_port
            .as_deref()
            .is_some_and(|from| !matches!(from, "FROM_REQUEST_PORT" | "FROM_PROTOCOL_DEFAULT"))
        {
            return Some("redirect.derivePort".to_owned());
        }
    }
    if rule.retries.as_ref().is_some_and(|retries| retries.retry_remote_localities == Some(true)) {
        return Some("retries.retryRemoteLocalities".to_owned());
    }
    if let Some(variable) = unknown_variable(rule) {
        return Some(format!("the variable {variable} in a header value"));
    }
    rule.r#match.iter().enumerate().find_map(|(index, entry)| {
        let claim = entry.headers.keys().chain(entry.without_headers.keys()).find(|key| key.starts_with('@'))?;
        Some(format!("match[{index}].headers[{claim:?}] (routing by JWT claims)"))
    })
}

/// The first `%VARIABLE%` in the rule's or a destination's header values that no request could fill.
fn unknown_variable(rule: &HttpRule) -> Option<String> {
    let of_rule = rule.headers.iter().chain(rule.route.iter().filter_map(|route| route.headers.as_ref()));
    let operations = of_rule.flat_map(|headers| headers.request.iter().chain(&headers.response));
    let mut values = operations.flat_map(|operations| operations.set.values().chain(operations.add.values()));
    values.find_map(|value| HeaderTemplate::parse(value).err()).map(|variable| variable.to_string())
}

fn destination_rule(spec: &DestinationRule) -> Option<String> {
    let top = policy(spec.traffic_policy.as_ref()).map(|field| format!("spec.trafficPolicy.{field}"));
    top.or_else(|| {
        spec.subsets.iter().enumerate().find_map(|(index, subset)| {
            policy(subset.traffic_policy.as_ref()).map(|field| format!("spec.subsets[{index}].trafficPolicy.{field}"))
        })
    })
}

fn policy(policy: Option<&TrafficPolicy>) -> Option<String> {
    let policy = policy?;
    let single = policy_parts(
        policy.load_balancer.as_ref(),
        policy.connection_pool.as_ref(),
        policy.outlier_detection.is_some(),
        policy.tls.as_ref().map(|tls| tls.mode.as_str()),
    );
    single.or_else(|| {
        policy.port_level_settings.iter().flatten().enumerate().find_map(|(index, port)| {
            policy_parts(
                port.load_balancer.as_ref(),
                port.connection_pool.as_ref(),
                port.outlier_detection.is_some(),
                port.tls.as_ref().map(|tls| tls.mode.as_str()),
            )
            .map(|field| format!("portLevelSettings[{index}].{field}"))
        })
    })
}

fn policy_parts(
    balancer: Option<&LoadBalancer>,
    pool: Option<&ConnectionPool>,
    has_outlier_detection: bool,
    tls_mode: Option<&str>,
) -> Option<String> {
    if has_outlier_detection {
        return Some("outlierDetection".to_owned());
    }
    // Between proxies of one machine there is nothing to encrypt; the other modes would need certificates.
    if tls_mode.is_some_and(|mode| matches!(mode, "SIMPLE" | "MUTUAL")) {
        return Some(format!("tls.mode: {}", tls_mode.unwrap_or_default()));
    }
    if let Some(balancer) = balancer {
        if balancer.simple.as_deref() == Some("PASSTHROUGH") {
            return Some("loadBalancer.simple: PASSTHROUGH".to_owned());
        }
        if balancer.locality_lb_setting.is_some() {
            return Some("loadBalancer.localityLbSetting".to_owned());
        }
    }
    let pool = pool?;
    if let Some(tcp) = &pool.tcp {
        if tcp.max_connections.is_some() {
            return Some("connectionPool.tcp.maxConnections".to_owned());
        }
        if tcp.tcp_keepalive.is_some() {
            return Some("connectionPool.tcp.tcpKeepalive".to_owned());
        }
    }
    pool.http.as_ref().map(|_| "connectionPool.http".to_owned())
}

fn gateway(spec: &Gateway) -> Option<String> {
    spec.servers.iter().enumerate().find_map(|(index, server)| {
        let field = match &server.port {
            Some(port) if Protocol::parse(&port.protocol) == Protocol::Tls => {
                format!("port.protocol: {}", port.protocol)
            }
            Some(port) if Protocol::parse(&port.protocol) == Protocol::Other => {
                format!("port.protocol: {}", port.protocol)
            }
            _ if !server.bind.is_empty() => "bind".to_owned(),
            _ => return None,
        };
        Some(format!("spec.servers[{index}].{field}"))
    })
}
