//! Which endpoint of a cluster a try goes to.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use super::upstream::Pools;
use crate::routing::select::RequestHead;
use crate::routing::snapshot::{Balancer, Cluster, HashKey};

/// Other endpoints are asked for this often before a tried one is taken again.
const REPICKS: usize = 5;

/// A worker's view of one cluster: where round robin stands.
pub(super) struct Turn(Cell<usize>);

impl Turn {
    /// Starts at a random place, so that workers do not march in step.
    pub(super) fn new() -> Self {
        Self(Cell::new(rand::random_range(0..1 << 16)))
    }

    /// An endpoint, preferably one that has not been tried; `None` where the cluster has none.
    pub(super) fn pick(
        &self,
        cluster: &Cluster,
        hash: Option<u64>,
        tried: &[SocketAddr],
        pools: &Pools,
    ) -> Option<SocketAddr> {
        let mut picked = self.pick_any(cluster, hash, pools)?;
        for _ in 0..REPICKS {
            if !tried.contains(&picked) {
                break;
            }
            picked = self.pick_any(cluster, None, pools)?;
        }
        Some(picked)
    }

    fn pick_any(&self, cluster: &Cluster, hash: Option<u64>, pools: &Pools) -> Option<SocketAddr> {
        let endpoints = &cluster.endpoints;
        let random = || endpoints.get(rand::random_range(0..endpoints.len().max(1))).copied();
        match (&cluster.balancer, hash) {
            (Balancer::Hash(_), Some(hash)) => {
                endpoints.iter().copied().max_by_key(|address| stable_hash(&(hash, address)))
            }
            (Balancer::RoundRobin, _) => {
                let turn = self.0.get();
                self.0.set(turn.wrapping_add(1));
                endpoints.get(turn % endpoints.len().max(1)).copied()
            }
            (Balancer::LeastRequest, _) => {
                let (one, other) = (random()?, random()?);
                Some(if pools.active(other) < pools.active(one) { other } else { one })
            }
            (Balancer::Random | Balancer::Hash(_), _) => random(),
        }
    }
}

/// The same on every worker and in every run.
fn stable_hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What consistent hashing does with a request.
pub(super) struct Hashed {
    /// The hash, `None` where the request has nothing to hash.
    pub(super) hash: Option<u64>,
    /// A cookie to set in the response, because the request had none.
    pub(super) cookie: Option<String>,
}

/// The hash of a request for a cluster.
pub(super) fn hash_of(cluster: &Cluster, request: &RequestHead<'_>, client: SocketAddr) -> Hashed {
    let Balancer::Hash(key) = &cluster.balancer else { return Hashed { hash: None, cookie: None } };
    let plain = |value: Option<&str>| Hashed { hash: value.map(|value| stable_hash(&value)), cookie: None };
    match key {
        HashKey::Header(name) => plain(request.header(name).as_deref()),
        HashKey::QueryParameter(name) => plain(request.query_parameter(name).as_deref()),
        HashKey::SourceIp => plain(Some(&client.ip().to_string())),
        HashKey::Cookie { name, path, ttl } => {
            let cookies = request.header("cookie").unwrap_or_default();
            let known = cookies.split(';').find_map(|pair| pair.trim().strip_prefix(name.as_str())?.strip_prefix('='));
            if let Some(value) = known {
                return plain(Some(value.trim_matches('"')));
            }
            let value = format!("{:016x}", rand::random::<u64>());
            let path = if path.is_empty() { String::new() } else { format!("; Path={path}") };
            let cookie = format!("{name}=\"{value}\"; Max-Age={ttl}{path}; HttpOnly");
            Hashed { hash: Some(stable_hash(&value.as_str())), cookie: Some(cookie) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(balancer: Balancer) -> Cluster {
        let endpoints = (1..=3).map(|n| SocketAddr::from(([127, 0, 0, n], 80))).collect();
        Cluster {
            namespace: String::new(),
            service: String::new(),
            endpoints,
            balancer,
            http2: false,
            connect_timeout_ms: 1,
        }
    }

    #[test]
    fn round_robin_takes_turns_and_retries_avoid_tried_hosts() {
        let (turn, pools, cluster) = (Turn::new(), Pools::default(), cluster(Balancer::RoundRobin));
        let first: Vec<_> = (0..3).filter_map(|_| turn.pick(&cluster, None, &[], &pools)).collect();
        let mut sorted = first.clone();
        sorted.sort();
        assert_eq!(sorted, cluster.endpoints);
        for _ in 0..10 {
            let picked = turn.pick(&cluster, None, &first[..2], &pools).unwrap();
            assert_eq!(picked, first[2]);
        }
        let none = Cluster { endpoints: Vec::new(), ..cluster };
        assert_eq!(turn.pick(&none, None, &[], &pools), None);
    }

    #[test]
    fn a_hash_sticks_to_one_endpoint() {
        let (turn, pools) = (Turn::new(), Pools::default());
        let cluster = cluster(Balancer::Hash(HashKey::SourceIp));
        let picks: Vec<_> = (0..20).filter_map(|_| turn.pick(&cluster, Some(7), &[], &pools)).collect();
        assert_eq!(picks.len(), 20);
        assert!(picks.iter().all(|picked| *picked == picks[0]));
    }
}
