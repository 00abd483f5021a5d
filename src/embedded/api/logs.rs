//! How the API server gets at the logs that the kubelet keeps.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde_json::Value;

use super::Status;

/// What is wanted of a log, as `kubectl logs` asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on when the end is reached, until the container ends.
    pub follow: bool,
    /// The container's run before the present one.
    pub previous: bool,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only this many lines at the end, before following.
    pub tail_lines: Option<usize>,
    /// Only this many bytes.
    pub limit_bytes: Option<usize>,
}

/// The bytes of a log as they come. Dropping it ends the following.
pub type LogStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A log that is on its way.
pub type LogAnswer<'a> = Pin<Box<dyn Future<Output = Result<LogStream, Status>> + Send + 'a>>;

/// Whoever keeps the logs of pods.
pub trait PodLogs: Send + Sync {
    /// The log of one container of this pod. The server has checked that the pod has such a container and that it has
    /// been started.
    fn logs<'a>(&'a self, pod: &'a Value, container: &'a str, options: LogOptions) -> LogAnswer<'a>;
}
