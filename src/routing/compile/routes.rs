//! The rules of one VirtualService as routes of one Gateway server.

use super::clusters::cluster_name;
use super::listeners::gateway_key;
use super::services::ServiceIndex;
use super::{Decoded, GatewayWorkload};
use crate::routing::header_template::HeaderTemplate;
use crate::routing::model::{
    CorsPolicy, Destination, HeaderOperations, Headers, HttpMatch, HttpRule, Percent, Retries, StringMatch,
    VirtualService, WeightedDestination,
};
use crate::routing::names;
use crate::routing::pattern::{Pattern, WholeRegex};
use crate::routing::snapshot::{
    Action, Cors, Fault, Forward, HeaderEdits, HeaderMatch, Matcher, Mirror, PathMatch, QueryMatch, Redirect,
    RetryCondition, RetryPolicy, Route, RouteSource, WeightedCluster,
};

const DEFAULT_RETRIES: u32 = 2;
const DEFAULT_CONDITIONS: [RetryCondition; 5] = [
    RetryCondition::ConnectFailure,
    RetryCondition::RefusedStream,
    RetryCondition::Unavailable,
    RetryCondition::Cancelled,
    RetryCondition::RetriableStatusCodes,
];
const DEFAULT_RETRIABLE_STATUS: u16 = 503;

/// What a rule is compiled for.
struct Target<'a> {
    namespace: &'a str,
    number: u32,
    gateway: &'a str,
    services: &'a ServiceIndex,
    workload: &'a GatewayWorkload,
}

/// The routes in order; nothing follows a catch-all.
pub(super) fn build(
    object: &Decoded<VirtualService>,
    number: u32,
    gateway: &str,
    services: &ServiceIndex,
    workload: &GatewayWorkload,
) -> Vec<Route> {
    let target = Target { namespace: &object.namespace, number, gateway, services, workload };
    let mut routes = Vec::new();
    for (index, rule) in object.spec.http.iter().enumerate() {
        let entries: Vec<Option<usize>> =
            if rule.r#match.is_empty() { vec![None] } else { (0..rule.r#match.len()).map(Some).collect() };
        for entry in entries {
            let condition = entry.map(|entry| &rule.r#match[entry]);
            if condition.is_some_and(|condition| !applies_here(condition, &target)) {
                continue;
            }
            let source =
                RouteSource { namespace: object.namespace.clone(), name: object.name.clone(), rule: index, entry };
            let Some(route) = route(rule, condition, source, &target) else { continue };
            let last = route.matcher.is_catch_all();
            routes.push(route);
            if last {
                return routes;
            }
        }
    }
    routes
}

/// A match entry may be for another port, another gateway or other pods.
fn applies_here(condition: &HttpMatch, target: &Target<'_>) -> bool {
    if condition.port != 0 && condition.port != target.number {
        return false;
    }
    if !condition.gateways.is_empty() {
        return condition.gateways.iter().any(|entry| gateway_key(entry, target.namespace) == target.gateway);
    }
    condition.source_labels.iter().all(|(key, value)| target.workload.labels.get(key) == Some(value))
        && (condition.source_namespace.is_empty() || condition.source_namespace == target.workload.namespace)
}

fn route(rule: &HttpRule, condition: Option<&HttpMatch>, source: RouteSource, target: &Target<'_>) -> Option<Route> {
    let action = match &rule.redirect {
        Some(redirect) => {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let derived = match redirect.derive_port.as_deref() {
                Some("FROM_REQUEST_PORT") => u16::try_from(target.number).ok(),
                Some("FROM_PROTOCOL_DEFAULT") if redirect.scheme == "https" => Some(443),
                Some("FROM_PROTOCOL_DEFAULT") => Some(80),
                _ => None,
            };
            Action::Redirect(Redirect {
                code: u16::try_from(redirect.code).ok().filter(|code| *code != 0).unwrap_or(301),
                path: some(&redirect.uri),
                authority: some(&redirect.authority),
                scheme: some(&redirect.scheme),
                port: u16::try_from(redirect.port).ok().filter(|port| *port != 0).or(derived),
            })
        }
        None => Action::Forward(Box::new(forward(rule, target)?)),
    };
    Some(Route {
        name: rule.name.clone(),
        source,
        matcher: matcher(condition)?,
        action,
        cors: rule.cors_policy.as_ref().map(cors),
        fault: fault(rule),
    })
}

fn pattern(value: &StringMatch) -> Option<Pattern> {
    Some(if let Some(exact) = &value.exact {
        Pattern::Exact(exact.clone())
    } else if let Some(prefix) = &value.prefix {
        Pattern::Prefix(prefix.clone())
    } else if let Some(regex) = &value.regex {
        if regex == "*" { Pattern::Present } else { Pattern::Regex(WholeRegex::new(regex).ok()?) }
    } else {
        Pattern::Present
    })
}

/// In a header condition an exact empty text means that the header is there at all.
fn header_match(name: &str, value: &StringMatch, inverted: bool) -> Option<HeaderMatch> {
    let pattern = match pattern(value)? {
        Pattern::Exact(text) | Pattern::Prefix(text) if text.is_empty() => Pattern::Present,
        pattern => pattern,
    };
    Some(HeaderMatch { name: name.to_ascii_lowercase(), pattern, inverted })
}

fn matcher(condition: Option<&HttpMatch>) -> Option<Matcher> {
    let everything = PathMatch::Prefix("/".to_owned());
    let Some(condition) = condition else {
        return Some(Matcher { path: everything, ignore_path_case: false, headers: Vec::new(), query: Vec::new() });
    };
    let path = match condition.uri.as_ref().map(pattern) {
        None | Some(Some(Pattern::Present)) => everything,
        Some(Some(Pattern::Exact(text))) => PathMatch::Exact(text),
        Some(Some(Pattern::Prefix(text))) => PathMatch::Prefix(text),
        Some(Some(Pattern::Regex(regex))) => PathMatch::Regex(regex),
        Some(None) => return None,
    };
    let mut headers = Vec::new();
    for (name, value) in &condition.headers {
        headers.push(header_match(name, value, false)?);
    }
    for (name, value) in &condition.without_headers {
        headers.push(header_match(name, value, true)?);
    }
    let pseudo = [(":method", &condition.method), (":authority", &condition.authority), (":scheme", &condition.scheme)];
    for (name, value) in pseudo {
        if let Some(value) = value {
            headers.push(header_match(name, value, false)?);
        }
    }
    let mut query = Vec::new();
    for (name, value) in &condition.query_params {
        // A prefix is not supported for query parameters by this version: the parameter must be there.
        let pattern = match pattern(value)? {
            Pattern::Prefix(_) => Pattern::Present,
            pattern => pattern,
        };
        query.push(QueryMatch { name: name.clone(), pattern });
    }
    Some(Matcher { path, ignore_path_case: condition.ignore_uri_case, headers, query })
}

fn cluster_of(destination: &Destination, target: &Target<'_>) -> String {
    let full_name = names::full_name(&destination.host, target.namespace);
    let port =
        destination.port.as_ref().and_then(|port| u32::try_from(port.number).ok()).unwrap_or_else(|| {
            match target.services.get(&full_name).map(|service| service.ports.as_slice()) {
                Some([only]) => u32::from(only.number),
                _ => target.number,
            }
        });
    cluster_name(port, &destination.subset, &full_name)
}

fn forward(rule: &HttpRule, target: &Target<'_>) -> Option<Forward> {
    let single = rule.route.len() == 1;
    let mut destinations = Vec::new();
    for entry in &rule.route {
        if entry.weight == 0 && !single {
            continue;
        }
        destinations.push(weighted(entry, rule.headers.as_ref(), single, target)?);
    }
    if destinations.is_empty() {
        return None;
    }
    let rule_authority = rule.headers.as_ref().and_then(|headers| headers.request.as_ref()).and_then(authority_in);
    let rewrite = rule.rewrite.as_ref();
    let mirror_percent = rule
        .mirror_percentage
        .map(|percentage| percentage.value)
        .or(rule.mirror_percent.map(f64::from))
        .unwrap_or(100.0);
    Some(Forward {
        destinations,
        rewrite_path: rewrite.map(|rewrite| rewrite.uri.clone()).filter(|uri| !uri.is_empty()),
        rewrite_authority: rewrite
            .map(|rewrite| rewrite.authority.clone())
            .filter(|a| !a.is_empty())
            .or(rule_authority),
        timeout_ms: rule.timeout.map(|timeout| timeout.to_std().as_millis() as u64),
        retry: retry_policy(rule.retries.as_ref()),
        mirror: rule
            .mirror
            .as_ref()
            .filter(|_| mirror_percent > 0.0)
            .map(|mirror| Mirror { cluster: cluster_of(mirror, target), percent: mirror_percent }),
    })
}

fn is_authority(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "host" | ":authority")
}

fn authority_in(operations: &HeaderOperations) -> Option<String> {
    operations.set.iter().chain(&operations.add).find(|(name, _)| is_authority(name)).map(|(_, value)| value.clone())
}

fn edits(operations: Option<&HeaderOperations>) -> Option<HeaderEdits> {
    let operations = operations?;
    // Values with variables that are not emulated are refused at admission.
    let templates = |map: &std::collections::BTreeMap<String, String>| {
        map.iter()
            .filter(|(name, _)| !is_authority(name))
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), HeaderTemplate::parse(value).ok()?)))
            .collect()
    };
    Some(HeaderEdits {
        remove: operations.remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
        set: templates(&operations.set),
        add: templates(&operations.add),
    })
}

/// With one destination the rule's edits come first and the destination's win; with several it is the other way round.
fn weighted(
    entry: &WeightedDestination,
    of_rule: Option<&Headers>,
    single: bool,
    target: &Target<'_>,
) -> Option<WeightedCluster> {
    let order = |own: Option<HeaderEdits>, rule: Option<HeaderEdits>| -> Vec<HeaderEdits> {
        let (first, second) = if single { (rule, own) } else { (own, rule) };
        first.into_iter().chain(second).collect()
    };
    let own = entry.headers.as_ref();
    Some(WeightedCluster {
        cluster: cluster_of(entry.destination.as_ref()?, target),
        weight: if single { 100 } else { u32::try_from(entry.weight).unwrap_or(0) },
        request_headers: order(
            edits(own.and_then(|headers| headers.request.as_ref())),
            edits(of_rule.and_then(|headers| headers.request.as_ref())),
        ),
        response_headers: order(
            edits(own.and_then(|headers| headers.response.as_ref())),
            edits(of_rule.and_then(|headers| headers.response.as_ref())),
        ),
        rewrite_authority: own.and_then(|headers| headers.request.as_ref()).and_then(authority_in),
    })
}

fn condition(word: &str) -> Option<RetryCondition> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// Without `retries` the default applies; `attempts: 0` turns retries off; bare numbers in `retryOn` are statuses.
pub(super) fn retry_policy(retries: Option<&Retries>) -> Option<RetryPolicy> {
    let Some(retries) = retries else {
        return Some(RetryPolicy {
            retries: DEFAULT_RETRIES,
            conditions: DEFAULT_CONDITIONS.to_vec(),
            statuses: vec![DEFAULT_RETRIABLE_STATUS],
            per_try_timeout_ms: None,
        });
    };
    if retries.attempts <= 0 {
        return None;
    }
    let (mut conditions, mut statuses) = (Vec::new(), Vec::new());
    if retries.retry_on.is_empty() {
        conditions.extend(DEFAULT_CONDITIONS);
        statuses.push(DEFAULT_RETRIABLE_STATUS);
    } else {
        for word in retries.retry_on.split(',').map(str::trim) {
            match word.parse::<u16>().ok().filter(|status| http::StatusCode::from_u16(*status).is_ok()) {
                Some(status) if status < 600 => statuses.push(status),
                _ => conditions.extend(condition(word)),
            }
        }
        if !statuses.is_empty() && !conditions.contains(&RetryCondition::RetriableStatusCodes) {
            conditions.push(RetryCondition::RetriableStatusCodes);
        }
    }
    Some(RetryPolicy {
        retries: u32::try_from(retries.attempts).unwrap_or(u32::MAX),
        conditions,
        statuses,
        per_try_timeout_ms: retries.per_try_timeout.map(|timeout| timeout.to_std().as_millis() as u64),
    })
}

/// A missing percentage of an abort means none; a delay falls back to its old integer field.
fn fault(rule: &HttpRule) -> Option<Fault> {
    let fault = rule.fault.as_ref()?;
    let value = |percentage: Option<Percent>| percentage.map(|percentage| percentage.value);
    let delay = fault.delay.as_ref().and_then(|delay| {
        let percent = value(delay.percentage).unwrap_or(delay.percent as f64);
        Some((delay.fixed?.to_std().as_millis() as u64, percent))
    });
    let abort = fault
        .abort
        .as_ref()
        .and_then(|abort| Some((u16::try_from(abort.http_status?).ok()?, value(abort.percentage).unwrap_or(0.0))));
    Some(Fault { delay, abort })
}

fn cors(policy: &CorsPolicy) -> Cors {
    let old = policy
        .allow_origin
        .iter()
        .map(|origin| if origin == "*" { Pattern::Present } else { Pattern::Exact(origin.clone()) });
    let new = policy.allow_origins.iter().filter_map(pattern).map(|origin| match origin {
        Pattern::Exact(text) if text == "*" => Pattern::Present,
        origin => origin,
    });
    Cors {
        origins: if policy.allow_origins.is_empty() { old.collect() } else { new.collect() },
        methods: policy.allow_methods.join(","),
        headers: policy.allow_headers.join(","),
        expose: policy.expose_headers.join(","),
        max_age: policy.max_age.map(|age| age.to_std().as_secs()),
        credentials: policy.allow_credentials.unwrap_or_default(),
    }
}
