//! DestinationRule (specification section 2.3).

use super::{Failures, shared_checks};
use crate::routing::model::{
    ClientTls, ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, PortTrafficPolicy, Subset,
    TrafficPolicy,
};
use crate::routing::names;

pub(super) fn validate(spec: &DestinationRule, namespace: &str) -> (Failures, Vec<String>) {
    let mut failures = Failures::default();
    let mut warnings = Vec::new();
    failures.check(names::check_wildcard_domain(&spec.host));
    failures.add(traffic_policy(spec.traffic_policy.as_ref(), &mut warnings));
    for subset in &spec.subsets {
        failures.add(validate_subset(subset, &mut warnings));
    }
    failures.add(shared_checks::export_to(&spec.export_to, namespace));
    (failures, warnings)
}

fn validate_subset(subset: &Subset, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    if subset.name.is_empty() {
        failures.push("subset name cannot be empty");
    } else {
        failures.push_if(!names::is_label(&subset.name), format!("subset name is invalid: {}", subset.name));
    }
    failures.add(shared_checks::labels(&subset.labels));
    failures.add(traffic_policy(subset.traffic_policy.as_ref(), warnings));
    failures
}

fn traffic_policy(policy: Option<&TrafficPolicy>, warnings: &mut Vec<String>) -> Failures {
    let Some(policy) = policy else { return Failures::default() };
    if policy.outlier_detection.is_none()
        && policy.connection_pool.is_none()
        && policy.load_balancer.is_none()
        && policy.tls.is_none()
        && policy.port_level_settings.is_none()
    {
        return Failures::one("traffic policy must have at least one field");
    }
    let mut failures = Failures::default();
    failures.add(outlier(policy.outlier_detection.as_ref(), warnings));
    failures.add(connection_pool(policy.connection_pool.as_ref()));
    failures.add(load_balancer(policy.load_balancer.as_ref()));
    failures.add(client_tls(policy.tls.as_ref()));
    for port in policy.port_level_settings.iter().flatten() {
        failures.add(port_policy(port, warnings));
    }
    failures
}

fn port_policy(policy: &PortTrafficPolicy, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    match &policy.port {
        None => failures.push("portTrafficPolicy must have valid port"),
        Some(port) => failures.check(shared_checks::port(port.number)),
    }
    failures.push_if(
        policy.outlier_detection.is_none()
            && policy.connection_pool.is_none()
            && policy.load_balancer.is_none()
            && policy.tls.is_none(),
        "port traffic policy must have at least one field",
    );
    failures.add(outlier(policy.outlier_detection.as_ref(), warnings));
    failures.add(connection_pool(policy.connection_pool.as_ref()));
    failures.add(load_balancer(policy.load_balancer.as_ref()));
    failures.add(client_tls(policy.tls.as_ref()));
    failures
}

fn outlier(outlier: Option<&OutlierDetection>, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    let Some(outlier) = outlier else { return failures };
    failures.check(shared_checks::optional_duration(outlier.interval));
    failures.check(shared_checks::optional_duration(outlier.base_ejection_time));
    if outlier.consecutive_errors != 0 {
        warnings.push("outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors instead".to_owned());
    }
    failures.check(shared_checks::percentage(outlier.max_ejection_percent));
    failures.check(shared_checks::percentage(outlier.min_health_percent));
    failures
}

fn connection_pool(pool: Option<&ConnectionPool>) -> Failures {
    let mut failures = Failures::default();
    let Some(pool) = pool else { return failures };
    if pool.http.is_none() && pool.tcp.is_none() {
        return Failures::one("connection pool must have at least one field");
    }
    if let Some(http) = &pool.http {
        failures.push_if(http.http1_max_pending_requests < 0, "http1 max pending requests must be non-negative");
        failures.push_if(http.http2_max_requests < 0, "http2 max requests must be non-negative");
        failures.push_if(http.max_requests_per_connection < 0, "max requests per connection must be non-negative");
        failures.push_if(http.max_retries < 0, "max retries must be non-negative");
        failures.check(shared_checks::optional_duration(http.idle_timeout));
        failures.push_if(
            http.h2_upgrade_policy == "UPGRADE" && http.use_client_protocol,
            "use client protocol must not be true when H2UpgradePolicy is UPGRADE",
        );
    }
    if let Some(tcp) = &pool.tcp {
        failures.push_if(tcp.max_connections.is_some_and(|count| count < 0), "max connections must be non-negative");
        failures.check(shared_checks::optional_duration(tcp.connect_timeout));
    }
    failures
}

fn load_balancer(balancer: Option<&LoadBalancer>) -> Failures {
    let mut failures = Failures::default();
    let cookie = balancer.and_then(|b| b.consistent_hash.as_ref()).and_then(|hash| hash.http_cookie.as_ref());
    if let Some(cookie) = cookie {
        failures.push_if(cookie.name.is_empty(), "name required for HttpCookie");
        failures.push_if(cookie.ttl.is_none(), "ttl required for HttpCookie");
    }
    failures
}

fn client_tls(tls: Option<&ClientTls>) -> Failures {
    let mut failures = Failures::default();
    let Some(tls) = tls else { return failures };
    if tls.mode == "MUTUAL" && tls.credential_name.is_empty() {
        failures.push_if(tls.client_certificate.is_empty(), "client certificate required for mutual tls");
        failures.push_if(tls.private_key.is_empty(), "private key required for mutual tls");
    }
    failures
}
