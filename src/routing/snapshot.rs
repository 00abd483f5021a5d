//! The route tables, clusters and endpoints of one gateway workload: what the mesh pushes and the data plane obeys.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::header_template::HeaderTemplate;
use super::pattern::{Pattern, WholeRegex};

/// Everything that a gateway proxy needs, as of one revision. A proxy takes it as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Counts up with every change of content.
    pub revision: u64,
    /// Whether requests are logged on standard output.
    pub access_log: bool,
    /// One for each port that some Gateway opens.
    pub listeners: Vec<Listener>,
    /// By Envoy's cluster name, `outbound|8501|resnet50|image-classifier.tf-serving.svc.cluster.local`.
    pub clusters: BTreeMap<String, Cluster>,
    /// The Istio objects that went into this snapshot.
    pub objects: Vec<ObjectVersion>,
}

/// Which version of an object a snapshot contains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectVersion {
    /// For example `VirtualService`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// As the API server shows it.
    pub resource_version: String,
}

/// One bound port with its virtual hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port on the pod's address, after the Service's mapping (80 is bound as 8080).
    pub port: u16,
    /// Without overlap: a domain belongs to one virtual host.
    pub virtual_hosts: Vec<VirtualHost>,
}

/// The rules for a set of host names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualHost {
    /// For example `*:80`.
    pub name: String,
    /// Exact names, `*.suffix`, `name:*` or `*`.
    pub domains: Vec<String>,
    /// Every plain request is redirected to HTTPS.
    pub require_https: bool,
    /// In order; the first that matches decides.
    pub routes: Vec<Route>,
}

/// Where in a VirtualService a route comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSource {
    /// Namespace of the VirtualService.
    pub namespace: String,
    /// Name of the VirtualService.
    pub name: String,
    /// Index in `spec.http`.
    pub rule: usize,
    /// Index in the rule's `match`, `None` for a rule without.
    pub entry: Option<usize>,
}

/// One condition with what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The rule's name, empty when it has none.
    pub name: String,
    /// Whence it comes.
    pub source: RouteSource,
    /// When it applies.
    pub matcher: Matcher,
    /// What it does.
    pub action: Action,
    /// Cross-origin answers, before anything else.
    pub cors: Option<Cors>,
    /// Delay and abort, before routing.
    pub fault: Option<Fault>,
}

/// How the path must look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// A plain text prefix.
    Prefix(String),
    /// The whole path by regular expression.
    Regex(WholeRegex),
}

/// A condition on one header; pseudo headers (`:method`, `:authority`, `:scheme`) included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// What the value must look like.
    pub pattern: Pattern,
    /// From `withoutHeaders`: the pattern must not fit.
    pub inverted: bool,
}

/// A condition on one query parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMatch {
    /// Case-sensitive.
    pub name: String,
    /// What the first value must look like.
    pub pattern: Pattern,
}

/// All conditions of a route; every one must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// On the normalised path without query.
    pub path: PathMatch,
    /// Compare exact and prefix paths without case.
    pub ignore_path_case: bool,
    /// On headers.
    pub headers: Vec<HeaderMatch>,
    /// On query parameters.
    pub query: Vec<QueryMatch>,
}

impl Matcher {
    /// Whether every request matches.
    pub fn is_catch_all(&self) -> bool {
        matches!(&self.path, PathMatch::Prefix(prefix) if prefix == "/")
            && self.headers.is_empty()
            && self.query.is_empty()
    }
}

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Answers with a location.
    Redirect(Redirect),
    /// Sends it to a cluster.
    Forward(Box<Forward>),
}

/// A redirect's parts; what is `None` stays as in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
    /// The whole path.
    pub path: Option<String>,
    /// Host, and port where it has one.
    pub authority: Option<String>,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The port.
    pub port: Option<u16>,
}

/// Where a request goes and what happens to it on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// At least one; chosen by weight.
    pub destinations: Vec<WeightedCluster>,
    /// Replaces the matched part of the path.
    pub rewrite_path: Option<String>,
    /// Replaces the Host header.
    pub rewrite_authority: Option<String>,
    /// For the whole request with its retries, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// `None` turns retries off.
    pub retry: Option<RetryPolicy>,
    /// A copy of the request, its answer ignored.
    pub mirror: Option<Mirror>,
}

/// One destination of a weighted choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedCluster {
    /// Key of [`Snapshot::clusters`], which need not have it.
    pub cluster: String,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// Applied to the request, in order.
    pub request_headers: Vec<HeaderEdits>,
    /// Applied to the response, in order.
    pub response_headers: Vec<HeaderEdits>,
    /// Replaces the Host header unless the rule does.
    pub rewrite_authority: Option<String>,
}

/// Changes to headers: first removals, then overwrites, then additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdits {
    /// Names to take away.
    pub remove: Vec<String>,
    /// Values to overwrite with.
    pub set: Vec<(String, HeaderTemplate)>,
    /// Values to add.
    pub add: Vec<(String, HeaderTemplate)>,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Tries beyond the first.
    pub retries: u32,
    /// Envoy's condition words.
    pub conditions: Vec<RetryCondition>,
    /// Statuses for `retriable-status-codes`.
    pub statuses: Vec<u16>,
    /// For each try, in milliseconds.
    pub per_try_timeout_ms: Option<u64>,
}

/// A condition under which a try may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryCondition {
    /// Any 5xx, or no answer at all.
    #[serde(rename = "5xx")]
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// The connection was cut before an answer.
    Reset,
    /// The connection could not be made.
    ConnectFailure,
    /// 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    /// The stream was refused.
    RefusedStream,
    /// One of the listed statuses.
    RetriableStatusCodes,
    /// gRPC status 1.
    Cancelled,
    /// gRPC status 4.
    DeadlineExceeded,
    /// gRPC status 13.
    Internal,
    /// gRPC status 8.
    ResourceExhausted,
    /// gRPC status 14.
    Unavailable,
}

/// A copy of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Key of [`Snapshot::clusters`].
    pub cluster: String,
    /// Share of requests, 0 to 100.
    pub percent: f64,
}

/// Injected faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Milliseconds, and the share of requests from 0 to 100.
    pub delay: Option<(u64, f64)>,
    /// Status, and the share of requests from 0 to 100.
    pub abort: Option<(u16, f64)>,
}

/// A cross-origin policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins that are let in.
    pub origins: Vec<Pattern>,
    /// Joined by commas, empty for none.
    pub methods: String,
    /// Joined by commas, empty for none.
    pub headers: String,
    /// Joined by commas, empty for none.
    pub expose: String,
    /// Seconds.
    pub max_age: Option<u64>,
    /// Whether credentials may be sent.
    pub credentials: bool,
}

/// How a cluster picks an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balancer {
    /// In turn.
    RoundRobin,
    /// The less busy of two random ones.
    LeastRequest,
    /// Any.
    Random,
    /// The same endpoint for the same value.
    Hash(HashKey),
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashKey {
    /// A request header.
    Header(String),
    /// A cookie, made when the request has none.
    Cookie {
        /// Its name.
        name: String,
        /// Its path, empty for none.
        path: String,
        /// Its lifetime in seconds.
        ttl: u64,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// The endpoints behind one port of a Service, or behind a subset of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// Ready addresses.
    pub endpoints: Vec<SocketAddr>,
    /// How one of them is picked.
    pub balancer: Balancer,
    /// Whether HTTP/2 is spoken to them.
    pub http2: bool,
    /// For a new connection, in milliseconds.
    pub connect_timeout_ms: u64,
}
