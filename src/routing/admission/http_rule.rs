//! One rule of a VirtualService's `http` list (specification section 2.2).

use super::{Failures, shared_checks};
use crate::routing::model::{
    CorsPolicy, Destination, Fault, HeaderOperations, HttpMatch, HttpRule, Redirect, Retries, Rewrite,
    WeightedDestination,
};
use crate::routing::names;

const HTTP_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const RETRY_CONDITIONS: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

pub(super) fn validate(rule: &HttpRule, in_delegate: bool, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    failures.add(kind_of_rule(rule, in_delegate));
    failures.add(headers_of_rule(rule));
    failures.add(cors(rule.cors_policy.as_ref()));
    failures.add(fault(rule.fault.as_ref()));
    for entry in &rule.r#match {
        failures.add(match_entry(entry, warnings));
    }
    failures.add(mirror_share(rule, warnings));
    if let Some(mirror) = &rule.mirror {
        failures.add(destination(mirror));
    }
    failures.add(redirect(rule.redirect.as_ref()));
    failures.add(retries(rule.retries.as_ref()));
    if let Some(rewrite) = &rule.rewrite {
        failures.push_if(
            rewrite.uri.is_empty() && rewrite.authority.is_empty(),
            "rewrite must specify URI, authority, or both",
        );
    }
    failures.add(destinations(&rule.route));
    failures.add(authority_set_twice(rule.rewrite.as_ref(), rule));
    failures.check(shared_checks::optional_duration(rule.timeout));
    failures
}

fn kind_of_rule(rule: &HttpRule, in_delegate: bool) -> Failures {
    let mut failures = Failures::default();
    if let Some(delegate) = &rule.delegate {
        if in_delegate {
            failures.push(format!("delegate HTTP route {} must not specify delegate", rule.name));
        }
        failures.push_if(rule.redirect.is_some(), format!("root HTTP route {} must not specify redirect", rule.name));
        failures.push_if(!rule.route.is_empty(), format!("root HTTP route {} must not specify route", rule.name));
        failures.push_if(!names::is_label(&delegate.name), format!("invalid delegate name {:?}", delegate.name));
        return failures;
    }
    if rule.redirect.is_some() {
        failures.push_if(!rule.route.is_empty(), "HTTP route cannot contain both route and redirect");
        failures.push_if(rule.fault.is_some(), "HTTP route cannot contain both fault and redirect");
        failures.push_if(rule.rewrite.is_some(), "HTTP route rule cannot contain both rewrite and redirect");
    } else {
        failures.push_if(rule.route.is_empty(), "HTTP route or redirect is required");
    }
    failures
}

/// Which names may stand for the Host header.
#[derive(Clone, Copy, PartialEq)]
enum Authority {
    /// `:authority` and `host`: request headers of a rule.
    Pseudo,
    /// `host` only: request headers of a destination.
    Host,
    /// Neither: removals and responses.
    Refused,
}

fn header_name(name: &str, authority: Authority) -> Result<(), String> {
    if name.is_empty() {
        return Err("header name cannot be empty".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if lower == ":authority" && authority == Authority::Pseudo {
        return Ok(());
    }
    if lower.starts_with(':') {
        return Err(format!("invalid header {name:?}: header cannot have \":\" prefix"));
    }
    if lower == "host" && authority == Authority::Refused {
        return Err(format!("invalid header {name:?}: cannot set Host header"));
    }
    Ok(())
}

fn header_value(value: &str) -> Result<(), String> {
    if value.bytes().filter(|b| *b == b'%').count() % 2 == 0 {
        Ok(())
    } else {
        Err("single % not allowed.  Escape by doubling to %% or encase Envoy variable name in pair of %".to_owned())
    }
}

fn header_operations(operations: Option<&HeaderOperations>, authority: Authority) -> Failures {
    let mut failures = Failures::default();
    let Some(operations) = operations else { return failures };
    for (name, value) in operations.add.iter().chain(&operations.set) {
        failures.check(header_name(name, authority));
        failures.check(header_value(value));
    }
    for name in &operations.remove {
        failures.check(header_name(name, Authority::Refused));
    }
    failures
}

fn headers_of_rule(rule: &HttpRule) -> Failures {
    let mut failures = Failures::default();
    if let Some(headers) = &rule.headers {
        failures.add(header_operations(headers.request.as_ref(), Authority::Pseudo));
        failures.add(header_operations(headers.response.as_ref(), Authority::Refused));
    }
    failures
}

fn match_entry(entry: &HttpMatch, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    for (name, value) in &entry.headers {
        failures.push_if(name.is_empty(), "header name cannot be empty");
        failures.check(shared_checks::string_match(value, "headers"));
    }
    let fields =
        [(&entry.uri, "uri"), (&entry.scheme, "scheme"), (&entry.method, "method"), (&entry.authority, "authority")];
    for (value, field) in fields {
        failures.check(value.as_ref().map_or(Ok(()), |value| shared_checks::string_match(value, field)));
    }
    for value in entry.query_params.values() {
        failures.check(shared_checks::string_match(value, "queryParams"));
    }
    if entry.port != 0 {
        failures.check(shared_checks::port(i64::from(entry.port)));
    }
    failures.add(shared_checks::labels(&entry.source_labels));
    failures.add(shared_checks::gateway_names(&entry.gateways, warnings));
    failures.push_if(
        !entry.source_namespace.is_empty() && !names::is_label(&entry.source_namespace),
        format!("sourceNamespace match {} is invalid", entry.source_namespace),
    );
    failures
}

fn mirror_share(rule: &HttpRule, warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    if let Some(percent) = rule.mirror_percent {
        failures.push_if(percent > 100, format!("mirror_percent must have a max value of 100 (it has {percent})"));
        warnings.push("using deprecated setting \"mirrorPercent\", use \"mirrorPercentage\" instead".to_owned());
    }
    if let Some(percentage) = rule.mirror_percentage {
        let value = percentage.value;
        failures.push_if(value > 100.0, format!("mirror_percentage must have a max value of 100 (it has {value:.6})"));
        failures.push_if(value < 0.0, format!("mirror_percentage must have a min value of 0 (it has {value:.6})"));
    }
    failures
}

fn destination(destination: &Destination) -> Failures {
    let mut failures = Failures::default();
    if destination.host == "*" {
        failures.push("invalid destination host *");
    } else {
        failures.check(names::check_wildcard_domain(&destination.host));
    }
    failures.push_if(
        !destination.subset.is_empty() && !names::is_label(&destination.subset),
        format!("subset name is invalid: {}", destination.subset),
    );
    if let Some(port) = &destination.port {
        failures.check(shared_checks::port(port.number));
    }
    failures
}

fn destinations(routes: &[WeightedDestination]) -> Failures {
    let mut failures = Failures::default();
    for route in routes {
        match &route.destination {
            None => failures.push("destination is required"),
            Some(target) => {
                if let Some(headers) = &route.headers {
                    failures.add(header_operations(headers.request.as_ref(), Authority::Host));
                    failures.add(header_operations(headers.response.as_ref(), Authority::Refused));
                }
                failures.add(destination(target));
            }
        }
        failures.check(shared_checks::percentage(route.weight));
    }
    let total: i64 = routes.iter().map(|route| route.weight).sum();
    failures.push_if(routes.len() > 1 && total != 100, format!("total destination weight {total} != 100"));
    failures
}

fn redirect(redirect: Option<&Redirect>) -> Failures {
    let mut failures = Failures::default();
    let Some(redirect) = redirect else { return failures };
    failures.push_if(
        redirect.uri.is_empty()
            && redirect.authority.is_empty()
            && redirect.scheme.is_empty()
            && redirect.port == 0
            && redirect.derive_port.is_none(),
        "redirect must specify URI, authority, scheme, or port",
    );
    failures.push_if(
        redirect.code != 0 && !(300..=399).contains(&redirect.code),
        format!("{} is not a valid redirect code, must be 3xx", redirect.code),
    );
    failures.push_if(
        !matches!(redirect.scheme.as_str(), "" | "http" | "https"),
        "invalid redirect scheme, must be \"http\" or \"https\"",
    );
    failures
}

fn retries(retries: Option<&Retries>) -> Failures {
    let mut failures = Failures::default();
    let Some(retries) = retries else { return failures };
    if retries.attempts < 0 {
        failures.add(Failures::listed("attempts cannot be negative"));
    }
    failures.push_if(
        retries.attempts == 0
            && (retries.per_try_timeout.is_some()
                || !retries.retry_on.is_empty()
                || retries.retry_remote_localities.is_some()),
        "http retry policy configured when attempts are set to 0 (disabled)",
    );
    failures.check(shared_checks::optional_duration(retries.per_try_timeout));
    if !retries.retry_on.is_empty() {
        for condition in retries.retry_on.split(',') {
            let is_status = condition.parse::<u16>().is_ok_and(is_known_status);
            if !is_status && !RETRY_CONDITIONS.contains(&condition) {
                failures.push(format!("{condition:?} is not a valid retryOn policy"));
            }
        }
    }
    failures
}

/// Whether Go's `net/http` has a name for the status, which is what the check asks.
fn is_known_status(code: u16) -> bool {
    http::StatusCode::from_u16(code).is_ok_and(|status| status.canonical_reason().is_some())
}

fn fault(fault: Option<&Fault>) -> Failures {
    let mut failures = Failures::default();
    let Some(fault) = fault else { return failures };
    if fault.delay.is_none() && fault.abort.is_none() {
        failures.add(Failures::listed("HTTP fault injection must have an abort and/or a delay"));
    }
    if let Some(abort) = &fault.abort {
        failures.check(abort.percentage.map_or(Ok(()), shared_checks::fractional_percentage));
        if abort.grpc_status.is_some() {
            failures.push("gRPC abort fault injection not supported yet");
        }
        if abort.http2_error.is_some() {
            failures.push("HTTP/2 abort fault injection not supported yet");
        }
        if let Some(status) = abort.http_status {
            failures.push_if(!(200..=600).contains(&status), format!("HTTP status {status} is not in range 200-599"));
        }
    }
    if let Some(delay) = &fault.delay {
        failures.check(shared_checks::percentage(delay.percent));
        failures.check(delay.percentage.map_or(Ok(()), shared_checks::fractional_percentage));
        failures.check(shared_checks::optional_duration(delay.fixed));
        if delay.exponential.is_some() {
            failures.push("exponentialDelay not supported yet");
        }
    }
    failures
}

fn cors(policy: Option<&CorsPolicy>) -> Failures {
    let mut failures = Failures::default();
    let Some(policy) = policy else { return failures };
    for origin in &policy.allow_origins {
        failures.push_if(
            origin.exact.as_deref().unwrap_or_default().is_empty()
                && origin.prefix.as_deref().unwrap_or_default().is_empty()
                && origin.regex.as_deref().unwrap_or_default().is_empty(),
            "'' is not a valid match type for CORS allow origins",
        );
        failures.check(shared_checks::string_match(origin, "corsPolicy.allowOrigins"));
    }
    for method in &policy.allow_methods {
        failures
            .push_if(!HTTP_METHODS.contains(&method.as_str()), format!("{method:?} is not a supported HTTP method"));
    }
    for name in policy.allow_headers.iter().chain(&policy.expose_headers) {
        failures.push_if(name.is_empty(), "header name cannot be empty");
    }
    if let Some(age) = policy.max_age {
        failures.check(shared_checks::duration(age));
        failures
            .push_if(age.nanoseconds() % 1_000_000_000 != 0, "max_age duration is accurate only to seconds precision");
    }
    failures
}

/// `rewrite.authority` and the rule's request headers may name the Host header once in all.
fn authority_set_twice(rewrite: Option<&Rewrite>, rule: &HttpRule) -> Failures {
    let mut failures = Failures::default();
    let mut current = rewrite.map(|rewrite| rewrite.authority.clone()).unwrap_or_default();
    let request = rule.headers.as_ref().and_then(|headers| headers.request.as_ref());
    let Some(request) = request else { return failures };
    for (name, value) in request.set.iter().chain(&request.add) {
        if !matches!(name.to_ascii_lowercase().as_str(), "host" | ":authority") {
            continue;
        }
        if current.is_empty() {
            current.clone_from(value);
        } else {
            failures.push(format!(
                "authority header cannot be set multiple times: have {current:?}, attempting to set {value:?}"
            ));
        }
    }
    failures
}
