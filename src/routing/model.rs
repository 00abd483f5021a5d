//! The three kinds that the data plane obeys, as Istio 1.12 decodes them: what is not known is ignored, null is absent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::duration::GoDuration;

/// Why an object's `spec` could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UndecodableSpec(String);

/// Decodes the `spec` of an object.
///
/// # Errors
/// A wrong type, or a duration that Go's parser refuses; the text is the part after `error decoding configuration: `.
pub(crate) fn decode_spec<T: DeserializeOwned + Default>(object: &Value) -> Result<T, UndecodableSpec> {
    match object.get("spec") {
        None | Some(Value::Null) => Ok(T::default()),
        Some(spec) => serde_json::from_value(without_nulls(spec)).map_err(|error| UndecodableSpec(error.to_string())),
    }
}

/// Protobuf's JSON mapping reads a null member as an absent one.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VirtualService {
    pub(crate) hosts: Vec<String>,
    pub(crate) gateways: Vec<String>,
    pub(crate) http: Vec<HttpRule>,
    pub(crate) tls: Vec<Value>,
    pub(crate) tcp: Vec<Value>,
    pub(crate) export_to: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpRule {
    pub(crate) name: String,
    pub(crate) r#match: Vec<HttpMatch>,
    pub(crate) route: Vec<WeightedDestination>,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) delegate: Option<Delegate>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) timeout: Option<GoDuration>,
    pub(crate) retries: Option<Retries>,
    pub(crate) fault: Option<Fault>,
    pub(crate) mirror: Option<Destination>,
    #[serde(alias = "mirror_percent")]
    pub(crate) mirror_percent: Option<u32>,
    pub(crate) mirror_percentage: Option<Percent>,
    pub(crate) cors_policy: Option<CorsPolicy>,
    pub(crate) headers: Option<Headers>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpMatch {
    pub(crate) name: String,
    pub(crate) uri: Option<StringMatch>,
    pub(crate) scheme: Option<StringMatch>,
    pub(crate) method: Option<StringMatch>,
    pub(crate) authority: Option<StringMatch>,
    pub(crate) headers: BTreeMap<String, StringMatch>,
    pub(crate) port: u32,
    pub(crate) source_labels: BTreeMap<String, String>,
    pub(crate) gateways: Vec<String>,
    pub(crate) query_params: BTreeMap<String, StringMatch>,
    pub(crate) ignore_uri_case: bool,
    pub(crate) without_headers: BTreeMap<String, StringMatch>,
    pub(crate) source_namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StringMatch {
    pub(crate) exact: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) regex: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WeightedDestination {
    pub(crate) destination: Option<Destination>,
    pub(crate) weight: i64,
    pub(crate) headers: Option<Headers>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) subset: String,
    pub(crate) port: Option<PortSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PortSelector {
    pub(crate) number: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Redirect {
    pub(crate) uri: String,
    pub(crate) authority: String,
    pub(crate) port: u32,
    pub(crate) derive_port: Option<String>,
    pub(crate) scheme: String,
    #[serde(rename = "redirectCode")]
    pub(crate) code: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Delegate {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rewrite {
    pub(crate) uri: String,
    pub(crate) authority: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Retries {
    pub(crate) attempts: i64,
    pub(crate) per_try_timeout: Option<GoDuration>,
    pub(crate) retry_on: String,
    pub(crate) retry_remote_localities: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Fault {
    pub(crate) delay: Option<Delay>,
    pub(crate) abort: Option<Abort>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Delay {
    pub(crate) percent: i64,
    pub(crate) percentage: Option<Percent>,
    #[serde(rename = "fixedDelay")]
    pub(crate) fixed: Option<GoDuration>,
    #[serde(rename = "exponentialDelay")]
    pub(crate) exponential: Option<GoDuration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Abort {
    pub(crate) percentage: Option<Percent>,
    pub(crate) http_status: Option<i64>,
    pub(crate) grpc_status: Option<String>,
    pub(crate) http2_error: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Percent {
    pub(crate) value: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CorsPolicy {
    pub(crate) allow_origin: Vec<String>,
    pub(crate) allow_origins: Vec<StringMatch>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) max_age: Option<GoDuration>,
    pub(crate) allow_credentials: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Headers {
    pub(crate) request: Option<HeaderOperations>,
    pub(crate) response: Option<HeaderOperations>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HeaderOperations {
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) add: BTreeMap<String, String>,
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Gateway {
    pub(crate) servers: Vec<Server>,
    pub(crate) selector: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Server {
    pub(crate) port: Option<ServerPort>,
    pub(crate) bind: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: Option<ServerTls>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServerPort {
    pub(crate) number: u32,
    pub(crate) protocol: String,
    pub(crate) name: String,
    pub(crate) target_port: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServerTls {
    pub(crate) https_redirect: bool,
    pub(crate) mode: String,
    pub(crate) server_certificate: String,
    pub(crate) private_key: String,
    pub(crate) ca_certificates: String,
    pub(crate) credential_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DestinationRule {
    pub(crate) host: String,
    pub(crate) traffic_policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
    pub(crate) export_to: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) traffic_policy: Option<TrafficPolicy>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TrafficPolicy {
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) connection_pool: Option<ConnectionPool>,
    pub(crate) outlier_detection: Option<OutlierDetection>,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) port_level_settings: Option<Vec<PortTrafficPolicy>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PortTrafficPolicy {
    pub(crate) port: Option<PortSelector>,
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) connection_pool: Option<ConnectionPool>,
    pub(crate) outlier_detection: Option<OutlierDetection>,
    pub(crate) tls: Option<ClientTls>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoadBalancer {
    pub(crate) simple: Option<String>,
    pub(crate) consistent_hash: Option<ConsistentHash>,
    pub(crate) locality_lb_setting: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConsistentHash {
    pub(crate) http_header_name: Option<String>,
    pub(crate) http_cookie: Option<HttpCookie>,
    pub(crate) use_source_ip: Option<bool>,
    pub(crate) http_query_parameter_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpCookie {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) ttl: Option<GoDuration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConnectionPool {
    pub(crate) tcp: Option<TcpPool>,
    pub(crate) http: Option<HttpPool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TcpPool {
    pub(crate) max_connections: Option<i64>,
    pub(crate) connect_timeout: Option<GoDuration>,
    pub(crate) tcp_keepalive: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpPool {
    pub(crate) http1_max_pending_requests: i64,
    pub(crate) http2_max_requests: i64,
    pub(crate) max_requests_per_connection: i64,
    pub(crate) max_retries: i64,
    pub(crate) idle_timeout: Option<GoDuration>,
    pub(crate) h2_upgrade_policy: String,
    pub(crate) use_client_protocol: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OutlierDetection {
    pub(crate) consecutive_errors: i64,
    pub(crate) interval: Option<GoDuration>,
    pub(crate) base_ejection_time: Option<GoDuration>,
    pub(crate) max_ejection_percent: i64,
    pub(crate) min_health_percent: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientTls {
    pub(crate) mode: String,
    pub(crate) client_certificate: String,
    pub(crate) private_key: String,
    pub(crate) credential_name: String,
}
