//! Why a request goes where it goes: the rule that matched, and what kept the ones before it from matching.

use super::select::{Decision, Mismatch, RequestHead};
use super::snapshot::{Listener, PathMatch, RouteSource, Snapshot};

/// One route that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// Which rule it comes from.
    pub source: RouteSource,
    /// `None` for the one that matched; else a sentence that says what did not fit.
    pub mismatch: Option<String>,
}

/// What becomes of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing listens on the port: the connection is refused.
    NoListener,
    /// No Gateway server or VirtualService has the host: 404.
    NoVirtualHost,
    /// The host is known, but no rule matches: 404.
    NoRoute,
    /// Redirected to HTTPS by the Gateway.
    RequireHttps,
    /// Redirected by the rule.
    Redirect {
        /// The location.
        location: String,
    },
    /// Sent on by weight.
    Forward {
        /// Cluster, weight, and how many endpoints it has; `None` for a cluster that does not exist (503, flag NC).
        clusters: Vec<(String, u32, Option<usize>)>,
    },
}

/// The whole story of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The virtual host that took it.
    pub virtual_host: Option<String>,
    /// Its routes up to the one that matched.
    pub considered: Vec<Considered>,
    /// What happens.
    pub outcome: Outcome,
}

/// Explains what the gateway does with a request on a bound port.
pub fn explain(snapshot: &Snapshot, port: u16, request: &RequestHead<'_>) -> Explanation {
    let nothing = |outcome| Explanation { virtual_host: None, considered: Vec::new(), outcome };
    let Some(listener) = snapshot.listeners.iter().find(|listener| listener.port == port) else {
        return nothing(Outcome::NoListener);
    };
    let Some(host) = listener.virtual_host(request.authority) else {
        return nothing(Outcome::NoVirtualHost);
    };
    let mut considered = Vec::new();
    for route in &host.routes {
        let mismatch = route.matcher.mismatch(request).map(|mismatch| sentence(&mismatch, request));
        let matched = mismatch.is_none();
        considered.push(Considered { source: route.source.clone(), mismatch });
        if matched {
            break;
        }
    }
    Explanation { virtual_host: Some(host.name.clone()), considered, outcome: outcome(snapshot, listener, request) }
}

fn outcome(snapshot: &Snapshot, listener: &Listener, request: &RequestHead<'_>) -> Outcome {
    match listener.select(request, 0) {
        Decision::NoRoute => Outcome::NoRoute,
        Decision::RequireHttps => Outcome::RequireHttps,
        Decision::Redirect(_, redirect) => Outcome::Redirect { location: redirect.location(request) },
        Decision::Forward(_, forward, _) => Outcome::Forward {
            clusters: forward
                .destinations
                .iter()
                .map(|destination| {
                    let endpoints = snapshot.clusters.get(&destination.cluster).map(|cluster| cluster.endpoints.len());
                    (destination.cluster.clone(), destination.weight, endpoints)
                })
                .collect(),
        },
    }
}

fn sentence(mismatch: &Mismatch<'_, '_>, request: &RequestHead<'_>) -> String {
    match mismatch {
        Mismatch::Path(wanted) => {
            let wanted = match wanted {
                PathMatch::Exact(text) => format!("exactly {text:?}"),
                PathMatch::Prefix(text) => format!("starting with {text:?}"),
                PathMatch::Regex(regex) => format!("matching {:?} as a whole", regex.source()),
            };
            format!("the path is {:?}, wanted {wanted}", request.path())
        }
        Mismatch::Header { wanted, found: None } => {
            format!("the header `{}` is absent, wanted {}", wanted.name, wanted.pattern)
        }
        Mismatch::Header { wanted, found: Some(found) } => {
            let not = if wanted.inverted { "not " } else { "" };
            format!("the header `{}` is {found:?}, wanted {not}{}", wanted.name, wanted.pattern)
        }
        Mismatch::Query { wanted, found: None } => {
            format!("the query parameter `{}` is absent, wanted {}", wanted.name, wanted.pattern)
        }
        Mismatch::Query { wanted, found: Some(found) } => {
            format!("the query parameter `{}` is {found:?}, wanted {}", wanted.name, wanted.pattern)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::routing::{GatewayWorkload, MeshObjects, compile};

    #[test]
    fn a_missed_header_and_a_missing_cluster_are_told() {
        let gateway = json!({"metadata": {"name": "g", "namespace": "ns"}, "spec": {"servers": [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}});
        let rules = json!([
            {"match": [{"headers": {"user-group": {"exact": "canary"}}}], "route": [{"destination": {"host": "a", "subset": "new"}}]},
            {"route": [{"destination": {"host": "a", "subset": "old"}}]}
        ]);
        let service = json!({"metadata": {"name": "v", "namespace": "ns"},
            "spec": {"hosts": ["*"], "gateways": ["g"], "http": rules}});
        let objects = MeshObjects {
            gateways: vec![Arc::new(gateway)],
            virtual_services: vec![Arc::new(service)],
            ..MeshObjects::default()
        };
        let snapshot = compile(&objects, &GatewayWorkload::default());
        let mut headers = http::HeaderMap::new();
        headers.insert("user-group", "Canary".parse().unwrap());
        let request = RequestHead { method: "GET", authority: "any", target: "/", scheme: "http", headers: &headers };
        let told = explain(&snapshot, 8080, &request);
        assert_eq!(told.virtual_host.as_deref(), Some("*:80"));
        assert_eq!(told.considered.len(), 2);
        assert_eq!(
            told.considered[0].mismatch.as_deref(),
            Some("the header `user-group` is \"Canary\", wanted exactly \"canary\"")
        );
        let cluster = "outbound|80|old|a.ns.svc.cluster.local".to_owned();
        assert_eq!(told.outcome, Outcome::Forward { clusters: vec![(cluster, 100, None)] });
        assert_eq!(explain(&snapshot, 8443, &request).outcome, Outcome::NoListener);
    }
}
