//! What is remembered of a request until its end: for the access log and the counters.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use jiff::Timestamp;

use super::flags::Flags;
use super::metrics::Key;
use super::request_body::Source;
use super::worker::Worker;

/// One request; when it is dropped, the request is over and is counted and logged.
pub(super) struct Record {
    worker: Rc<Worker>,
    started: Instant,
    started_at: Timestamp,
    pub(super) logged: Option<Box<LogFields>>,
    pub(super) source: Option<Rc<Source>>,
    pub(super) status: u16,
    pub(super) flags: Flags,
    pub(super) details: &'static str,
    pub(super) cluster: Option<Arc<str>>,
    pub(super) upstream_time: Option<u64>,
    pub(super) upstream: Option<SocketAddr>,
    pub(super) upstream_local: Option<SocketAddr>,
    pub(super) sent: Cell<u64>,
}

/// What only the log needs; not collected when it is off.
#[derive(Default)]
pub(super) struct LogFields {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) protocol: &'static str,
    pub(super) forwarded_for: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) authority: String,
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) route: String,
}

impl Record {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        Self {
            worker,
            started: Instant::now(),
            started_at: Timestamp::now(),
            logged: None,
            source: None,
            status: 0,
            flags: Flags::default(),
            details: "via_upstream",
            cluster: None,
            upstream_time: None,
            upstream: None,
            upstream_local: None,
            sent: Cell::new(0),
        }
    }

    /// Istio 1.12's text format (specification section 8).
    fn line(&self, fields: &LogFields) -> String {
        let mut line = String::with_capacity(320);
        let text = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .map_or_else(|| "-".to_owned(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let address = |value: Option<SocketAddr>| value.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let time = self.upstream_time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let outcome = writeln!(
            line,
            "[{:.3}] \"{} {} {}\" {} {} {} - \"-\" {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" {} {} {} {} - {}",
            self.started_at,
            fields.method,
            fields.path,
            fields.protocol,
            self.status,
            self.flags,
            self.details,
            self.source.as_ref().map_or(0, |source| source.received()),
            self.sent.get(),
            self.started.elapsed().as_millis(),
            time,
            text(&fields.forwarded_for),
            text(&fields.user_agent),
            text(&fields.request_id),
            dash(&fields.authority),
            address(self.upstream),
            self.cluster.as_deref().unwrap_or("-"),
            address(self.upstream_local),
            address(fields.local),
            address(fields.remote),
            dash(&fields.route),
        );
        // Writing to a string cannot fail.
        debug_assert!(outcome.is_ok());
        line
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(fields) = self.logged.take() {
            self.worker.log(&self.line(&fields));
        }
        let key = Key { cluster: self.cluster.take(), status: self.status, flags: self.flags };
        self.worker.metrics.count(key, self.started.elapsed());
    }
}
