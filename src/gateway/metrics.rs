//! Counters in Prometheus' text format, one shard for each worker, added up when somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::flags::Flags;

/// Upper bounds of the duration histogram in milliseconds, Istio's first ones.
const BUCKETS_MS: [f64; 12] = [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0];

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) cluster: Option<Arc<str>>,
    pub(super) status: u16,
    pub(super) flags: Flags,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    requests: u64,
    milliseconds: f64,
    buckets: [u64; BUCKETS_MS.len()],
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub(super) struct Shard(Mutex<HashMap<Key, Counters>>);

impl Shard {
    pub(super) fn count(&self, key: Key, duration: Duration) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = counters.entry(key).or_default();
        let milliseconds = duration.as_secs_f64() * 1000.0;
        entry.requests += 1;
        entry.milliseconds += milliseconds;
        for (bucket, bound) in entry.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(milliseconds <= bound);
        }
    }
}

/// Who counts.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    /// `source` at a gateway, `destination` at a sidecar.
    pub(super) side: &'static str,
    /// The proxy's pod.
    pub(super) pod: String,
    /// Its namespace.
    pub(super) namespace: String,
}

/// All shards of one proxy.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) reporter: Reporter,
    pub(super) shards: Vec<Arc<Shard>>,
}

impl Metrics {
    /// The text that Prometheus reads.
    pub(super) fn render(&self) -> String {
        let mut sums: BTreeMap<(String, u16, String), Counters> = BTreeMap::new();
        for shard in &self.shards {
            for (key, counters) in self_lock(shard).iter() {
                let name = key.cluster.as_deref().unwrap_or_default().to_owned();
                let sum = sums.entry((name, key.status, key.flags.to_string())).or_default();
                sum.requests += counters.requests;
                sum.milliseconds += counters.milliseconds;
                for (bucket, more) in sum.buckets.iter_mut().zip(counters.buckets) {
                    *bucket += more;
                }
            }
        }
        let mut text = String::new();
        let mut write = |line: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = text.write_fmt(line);
            text.push('\n');
        };
        write(format_args!("# TYPE istio_requests_total counter"));
        for ((cluster, status, flags), counters) in &sums {
            let labels = self.labels(cluster, *status, flags);
            write(format_args!("istio_requests_total{{{labels}}} {}", counters.requests));
        }
        write(format_args!("# TYPE istio_request_duration_milliseconds histogram"));
        for ((cluster, status, flags), counters) in &sums {
            let labels = self.labels(cluster, *status, flags);
            for (bound, count) in BUCKETS_MS.iter().zip(counters.buckets) {
                write(format_args!("istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}} {count}"));
            }
            write(format_args!(
                "istio_request_duration_milliseconds_bucket{{{labels},le=\"+Inf\"}} {}",
                counters.requests
            ));
            write(format_args!("istio_request_duration_milliseconds_sum{{{labels}}} {}", counters.milliseconds));
            write(format_args!("istio_request_duration_milliseconds_count{{{labels}}} {}", counters.requests));
        }
        write(format_args!("# TYPE envoy_cluster_upstream_rq counter"));
        for ((cluster, status, _), counters) in sums.iter().filter(|((cluster, _, _), _)| !cluster.is_empty()) {
            write(format_args!(
                "envoy_cluster_upstream_rq{{response_code=\"{status}\",cluster_name=\"{cluster}\"}} {}",
                counters.requests
            ));
        }
        text
    }

    fn labels(&self, cluster: &str, status: u16, flags: &str) -> String {
        let service = cluster.rsplit('|').next().unwrap_or_default();
        let mut parts = service.split('.');
        let name = parts.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let namespace = parts.next().unwrap_or("unknown");
        let Reporter { side, pod, namespace: own } = &self.reporter;
        format!(
            "reporter=\"{side}\",proxy_pod=\"{pod}\",proxy_namespace=\"{own}\",destination_service=\"{}\",\
             destination_service_name=\"{name}\",destination_service_namespace=\"{namespace}\",request_protocol=\"http\",\
             response_code=\"{status}\",response_flags=\"{flags}\"",
            if service.is_empty() { "unknown" } else { service }
        )
    }
}

fn self_lock(shard: &Shard) -> std::sync::MutexGuard<'_, HashMap<Key, Counters>> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let metrics = Metrics {
            reporter: Reporter { side: "source", pod: "gw-1".into(), namespace: "istio-system".into() },
            shards: vec![Arc::default(), Arc::default()],
        };
        let key = Key {
            cluster: Some("outbound|80|v1|echo.gw.svc.cluster.local".into()),
            status: 200,
            flags: Flags::default(),
        };
        for shard in &metrics.shards {
            shard.count(key.clone(), Duration::from_millis(3));
        }
        let text = metrics.render();
        assert!(text.contains("destination_service_name=\"echo\""), "{text}");
        assert!(text.contains("le=\"5\"} 2\n") && text.contains("le=\"1\"} 0\n"), "{text}");
        assert!(text.contains(
            "envoy_cluster_upstream_rq{response_code=\"200\",cluster_name=\"outbound|80|v1|echo.gw.svc.cluster.local\"} 2\n"
        ));
    }
}
