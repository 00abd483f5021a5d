//! Counters and histograms, and their Prometheus page.
//!
//! Names, labels, buckets and layout are TensorFlow Serving's, so dashboards made for it keep working.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::json::six_digits;

/// Bucket limits in microseconds: 10 × 1.8^k, the last one open.
const LATENCY_BUCKETS: usize = 34;
/// Bucket limits in examples: 2^k, the last one open.
const EXAMPLE_BUCKETS: usize = 16;

/// All metrics of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

type Labels = [String; 3];

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<(String, &'static str), u64>,
    request_latency: BTreeMap<Labels, Histogram<LATENCY_BUCKETS>>,
    runtime_latency: BTreeMap<Labels, Histogram<LATENCY_BUCKETS>>,
    examples: BTreeMap<String, Histogram<EXAMPLE_BUCKETS>>,
}

#[derive(Debug)]
struct Histogram<const BUCKETS: usize> {
    counts: [u64; BUCKETS],
    sum: f64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0.0 }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    fn add(&mut self, value: f64, first: f64, growth: f64) {
        let mut limit = first;
        let mut bucket = 0;
        while bucket + 1 < BUCKETS && value >= limit {
            limit *= growth;
            bucket += 1;
        }
        self.counts[bucket] += 1;
        self.sum += value;
    }
}

impl Metrics {
    fn with(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a request. `status` is the code's name, `OK` for success.
    pub fn count_request(&self, model: &str, status: &'static str) {
        self.with(|inner| {
            *inner.requests.entry((model.to_owned(), status)).or_default() += 1;
        });
    }

    /// Records how long a whole request took. `entrypoint` is `REST` or `GRPC`.
    pub fn record_request(&self, model: &str, api: &str, entrypoint: &str, time: Duration) {
        let labels = [model, api, entrypoint].map(str::to_owned);
        self.with(|inner| {
            inner.request_latency.entry(labels).or_default().add(time.as_micros() as f64, 10.0, 1.8);
        });
    }

    /// Records how long the model ran.
    pub fn record_run(&self, model: &str, api: &str, time: Duration) {
        let labels = [model, api, "TF1"].map(str::to_owned);
        self.with(|inner| {
            inner.runtime_latency.entry(labels).or_default().add(time.as_micros() as f64, 10.0, 1.8);
        });
    }

    /// Records how many examples a multi-inference had.
    pub fn record_examples(&self, model: &str, count: usize) {
        self.with(|inner| inner.examples.entry(model.to_owned()).or_default().add(count as f64, 1.0, 2.0));
    }

    /// The Prometheus page.
    pub fn page(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        page.push_str("# TYPE :tensorflow:serving:request_count counter\n");
        for ((model, status), count) in &inner.requests {
            let model = escaped(model);
            let _ = writeln!(
                page,
                ":tensorflow:serving:request_count{{model_name=\"{model}\",status=\"{status}\"}} {count}"
            );
        }
        page.push_str("# TYPE :tensorflow:serving:request_example_count_total counter\n");
        for (model, histogram) in &inner.examples {
            let (model, sum) = (escaped(model), histogram.sum);
            let _ = writeln!(page, ":tensorflow:serving:request_example_count_total{{model=\"{model}\"}} {sum}");
        }
        let examples = inner.examples.iter().map(|(model, histogram)| (vec![("model", model.as_str())], histogram));
        write_histograms("request_example_counts", examples, (1.0, 2.0), &mut page);
        for (name, third, histograms) in [
            ("request_latency", "entrypoint", &inner.request_latency),
            ("runtime_latency", "runtime", &inner.runtime_latency),
        ] {
            let points = histograms.iter().map(|([model, api, last], histogram)| {
                (vec![("model_name", model.as_str()), ("API", api.as_str()), (third, last.as_str())], histogram)
            });
            write_histograms(name, points, (10.0, 1.8), &mut page);
        }
        page
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

fn write_histograms<'a, const BUCKETS: usize>(
    name: &str,
    points: impl Iterator<Item = (Vec<(&'a str, &'a str)>, &'a Histogram<BUCKETS>)>,
    (first, growth): (f64, f64),
    page: &mut String,
) {
    let _ = writeln!(page, "# TYPE :tensorflow:serving:{name} histogram");
    for (labels, histogram) in points {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let mut limit = first;
        let mut count = 0;
        for (bucket, in_bucket) in histogram.counts.iter().enumerate() {
            count += in_bucket;
            let shown = if bucket + 1 == BUCKETS { "+Inf".to_owned() } else { six_digits(limit) };
            let _ = writeln!(page, ":tensorflow:serving:{name}_bucket{{{labels},le=\"{shown}\"}} {count}");
            limit *= growth;
        }
        let _ = writeln!(page, ":tensorflow:serving:{name}_sum{{{labels}}} {}", six_digits(histogram.sum));
        let _ = writeln!(page, ":tensorflow:serving:{name}_count{{{labels}}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_types_buckets_sums_and_counts() {
        let metrics = Metrics::default();
        metrics.count_request("m", "OK");
        metrics.count_request("m\"", "NOT_FOUND");
        metrics.record_request("m", "predict", "REST", Duration::from_micros(30));
        let page = metrics.page();
        for line in [
            "# TYPE :tensorflow:serving:request_count counter",
            ":tensorflow:serving:request_count{model_name=\"m\",status=\"OK\"} 1",
            ":tensorflow:serving:request_count{model_name=\"m\\\"\",status=\"NOT_FOUND\"} 1",
            ":tensorflow:serving:request_latency_bucket{model_name=\"m\",API=\"predict\",entrypoint=\"REST\",le=\"18\"} 0",
            ":tensorflow:serving:request_latency_bucket{model_name=\"m\",API=\"predict\",entrypoint=\"REST\",le=\"32.4\"} 1",
            ":tensorflow:serving:request_latency_bucket{model_name=\"m\",API=\"predict\",entrypoint=\"REST\",le=\"+Inf\"} 1",
            ":tensorflow:serving:request_latency_sum{model_name=\"m\",API=\"predict\",entrypoint=\"REST\"} 30",
            ":tensorflow:serving:request_latency_count{model_name=\"m\",API=\"predict\",entrypoint=\"REST\"} 1",
        ] {
            assert!(page.lines().any(|printed| printed == line), "{line} is not in\n{page}");
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("# TYPE")).count(), 5);
    }
}
