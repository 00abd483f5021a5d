//! Clusters: one for each TCP port of each Service, and one more for each subset of the DestinationRule that applies.

use std::collections::BTreeMap;

use super::services::{Service, ServiceIndex, ServicePort};
use super::{Decoded, GatewayWorkload, Visibility, visibility};
use crate::routing::model::{ConnectionPool, DestinationRule, LoadBalancer, Subset, TrafficPolicy};
use crate::routing::names;
use crate::routing::snapshot::{Balancer, Cluster, HashKey};

const DEFAULT_CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Where mesh-wide configuration lives.
const ROOT_NAMESPACE: &str = "istio-system";

/// Envoy's name of a cluster.
pub(super) fn cluster_name(port: u32, subset: &str, full_name: &str) -> String {
    format!("outbound|{port}|{subset}|{full_name}")
}

pub(super) fn build(
    services: &ServiceIndex,
    rules: &[Decoded<DestinationRule>],
    workload: &GatewayWorkload,
) -> BTreeMap<String, Cluster> {
    let mut clusters = BTreeMap::new();
    for service in services.all() {
        let applying = applying_rules(service, rules, workload);
        let policy = applying.iter().find_map(|rule| rule.spec.traffic_policy.as_ref());
        let mut subsets: Vec<&Subset> = Vec::new();
        for subset in applying.iter().flat_map(|rule| &rule.spec.subsets) {
            // Of two subsets of one name the first counts.
            if !subsets.iter().any(|known| known.name == subset.name) {
                subsets.push(subset);
            }
        }
        for port in &service.ports {
            let number = u32::from(port.number);
            let full_name = service.full_name();
            let settings = Settings::for_port(policy, number);
            clusters.insert(cluster_name(number, "", &full_name), cluster(service, port, None, &settings));
            for subset in &subsets {
                let settings = settings.overridden_by(&Settings::for_port(subset.traffic_policy.as_ref(), number));
                let name = cluster_name(number, &subset.name, &full_name);
                clusters.insert(name, cluster(service, port, Some(subset), &settings));
            }
        }
    }
    clusters
}

/// The rules for a Service that a gateway obeys (specification section 3.5), oldest first: those of one host merge.
fn applying_rules<'a>(
    service: &Service,
    rules: &'a [Decoded<DestinationRule>],
    workload: &GatewayWorkload,
) -> Vec<&'a Decoded<DestinationRule>> {
    let full_name = service.full_name();
    let in_namespace = |namespace: &str, accept: &dyn Fn(Visibility) -> bool| {
        let candidates: Vec<&Decoded<DestinationRule>> = rules
            .iter()
            .filter(|rule| rule.namespace == namespace)
            .filter(|rule| visibility(&rule.spec.export_to, &rule.namespace, &workload.namespace).is_some_and(accept))
            .filter(|rule| names::is_within(&full_name, &names::full_name(&rule.spec.host, &rule.namespace)))
            .collect();
        // The most specific host wins; all rules with just that host merge.
        let host_of = |rule: &&Decoded<DestinationRule>| names::full_name(&rule.spec.host, &rule.namespace);
        let best = candidates.iter().map(host_of).max_by_key(|host| (!host.starts_with('*'), host.len()));
        candidates.into_iter().filter(|rule| Some(host_of(rule)) == best).collect::<Vec<_>>()
    };
    let private = |visibility| visibility == Visibility::Private;
    let steps = [
        in_namespace(&workload.namespace, &private),
        in_namespace(&service.namespace, &|_| true),
        in_namespace(ROOT_NAMESPACE, &|_| true),
    ];
    steps.into_iter().find(|step| !step.is_empty()).unwrap_or_default()
}

/// What a traffic policy says about one port.
#[derive(Clone, Copy, Default)]
struct Settings<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
}

impl<'a> Settings<'a> {
    /// A port's own settings replace the top-level ones wholesale.
    fn for_port(policy: Option<&'a TrafficPolicy>, number: u32) -> Self {
        let Some(policy) = policy else { return Self::default() };
        let own = policy
            .port_level_settings
            .iter()
            .flatten()
            .find(|settings| settings.port.as_ref().is_some_and(|port| port.number == i64::from(number)));
        match own {
            Some(own) => Self { balancer: own.load_balancer.as_ref(), pool: own.connection_pool.as_ref() },
            None => Self { balancer: policy.load_balancer.as_ref(), pool: policy.connection_pool.as_ref() },
        }
    }

    /// A subset's values override field by field.
    fn overridden_by(&self, subset: &Self) -> Self {
        Self { balancer: subset.balancer.or(self.balancer), pool: subset.pool.or(self.pool) }
    }
}

fn cluster(service: &Service, port: &ServicePort, subset: Option<&Subset>, settings: &Settings<'_>) -> Cluster {
    let wanted = subset.map(|subset| &subset.labels);
    let connect_timeout = settings.pool.and_then(|pool| pool.tcp.as_ref()).and_then(|tcp| tcp.connect_timeout);
    Cluster {
        namespace: service.namespace.clone(),
        service: service.name.clone(),
        endpoints: port
            .endpoints
            .iter()
            .filter(|(_, labels)| {
                wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
            })
            .map(|(address, _)| *address)
            .collect(),
        balancer: settings.balancer.map_or(Balancer::RoundRobin, balancer),
        http2: port.http2,
        connect_timeout_ms: connect_timeout
            .map_or(DEFAULT_CONNECT_TIMEOUT_MS, |timeout| timeout.to_std().as_millis() as u64),
    }
}

fn balancer(balancer: &LoadBalancer) -> Balancer {
    if let Some(hash) = &balancer.consistent_hash {
        if let Some(name) = &hash.http_header_name {
            return Balancer::Hash(HashKey::Header(name.to_ascii_lowercase()));
        }
        if let Some(cookie) = &hash.http_cookie {
            let ttl = cookie.ttl.map_or(0, |ttl| ttl.to_std().as_secs());
            return Balancer::Hash(HashKey::Cookie { name: cookie.name.clone(), path: cookie.path.clone(), ttl });
        }
        if let Some(name) = &hash.http_query_parameter_name {
            return Balancer::Hash(HashKey::QueryParameter(name.clone()));
        }
        return Balancer::Hash(HashKey::SourceIp);
    }
    match balancer.simple.as_deref() {
        Some("LEAST_CONN") => Balancer::LeastRequest,
        Some("RANDOM") => Balancer::Random,
        _ => Balancer::RoundRobin,
    }
}
