//! What a proxy does to headers on the way through (specification section 7).

use std::net::{IpAddr, SocketAddr};

use http::header::{
    CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, SERVER, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::local_reply::SERVER_NAME;
use crate::routing::header_template::TemplateValues;
use crate::routing::snapshot::HeaderEdits;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
pub(super) const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
pub(super) const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
pub(super) const UPSTREAM_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
pub(super) const DECORATOR: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");

/// Control headers that only internal clients may send.
const CONTROL: [&str; 12] = [
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
];

/// Takes away what belongs to one connection only, `Connection`'s own list included.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(listed) = headers.get(CONNECTION).and_then(|value| value.to_str().ok()) {
        let names: Vec<HeaderName> = listed
            .split(',')
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            .filter(|name| *name != TE)
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Whether Envoy 1.20 trusts a client that sent no `x-forwarded-for`.
fn is_internal_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.octets() == [127, 0, 0, 1],
        IpAddr::V6(v6) => v6.is_loopback() || (v6.segments()[0] & 0xfe00) == 0xfc00,
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn new_request_id() -> HeaderValue {
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    value(id.as_hyphenated().encode_lower(&mut buffer))
}

/// Prepares a client's headers at an ingress gateway, before routing.
pub(super) fn enter_gateway(headers: &mut HeaderMap, peer: SocketAddr) {
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    headers.remove(CLIENT_CERTIFICATE);
    headers.remove(INTERNAL);
    headers.remove(DECORATOR);
    let address = peer.ip().to_string();
    let internal = !headers.contains_key(FORWARDED_FOR) && is_internal_address(peer.ip());
    if internal {
        headers.insert(FORWARDED_FOR, value(&address));
    } else {
        for name in CONTROL {
            headers.remove(name);
        }
        let mut chain = String::new();
        for earlier in headers.get_all(FORWARDED_FOR) {
            chain.push_str(&String::from_utf8_lossy(earlier.as_bytes()));
            chain.push(',');
        }
        headers.insert(FORWARDED_FOR, value(&format!("{chain}{address}")));
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if internal {
        headers.insert(INTERNAL, HeaderValue::from_static("true"));
        if !headers.contains_key(REQUEST_ID) {
            headers.insert(REQUEST_ID, new_request_id());
        }
    } else {
        headers.insert(EXTERNAL_ADDRESS, value(&address));
        headers.insert(REQUEST_ID, new_request_id());
    }
    if !headers.contains_key(TRACE_ID) {
        let (trace, span): (u128, u64) = rand::random();
        headers.insert(TRACE_ID, value(&format!("{trace:032x}")));
        headers.insert(SPAN_ID, value(&format!("{span:016x}")));
        headers.insert(SAMPLED, HeaderValue::from_static("0"));
    }
}

/// Prepares headers at a sidecar: the gateway's additions are kept.
pub(super) fn enter_sidecar(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    headers.remove(DECORATOR);
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !headers.contains_key(REQUEST_ID) {
        headers.insert(REQUEST_ID, new_request_id());
    }
}

/// Finishes an upstream's response for the client.
pub(super) fn leave(headers: &mut HeaderMap, upstream_milliseconds: u64) {
    strip_hop_by_hop(headers);
    headers.remove(DECORATOR);
    headers.remove(REQUEST_ID);
    headers.insert(SERVER, SERVER_NAME);
    headers.insert(UPSTREAM_TIME, HeaderValue::from(upstream_milliseconds));
}

/// Applies the edits of a route in their order; an empty value is not set.
pub(super) fn apply(edits: &[HeaderEdits], headers: &mut HeaderMap, values: &TemplateValues<'_>) {
    for edit in edits {
        for name in &edit.remove {
            headers.remove(name);
        }
        for (overwrite, list) in [(true, &edit.set), (false, &edit.add)] {
            for (name, template) in list {
                let filled = template.fill(values);
                let (Ok(name), Ok(filled)) = (HeaderName::try_from(name), HeaderValue::from_str(&filled)) else {
                    continue;
                };
                if filled.is_empty() {
                    continue;
                }
                if overwrite {
                    headers.insert(name, filled);
                } else {
                    headers.append(name, filled);
                }
            }
        }
    }
}

/// Replaces the Host header and remembers the client's.
pub(super) fn rewrite_host(headers: &mut HeaderMap, authority: &str) {
    if let Some(original) = headers.insert(HOST, value(authority)) {
        headers.insert(ORIGINAL_HOST, original);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn an_external_client_cannot_spoof() {
        let mut headers = map(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-envoy-internal", "true"),
            ("x-request-id", "mine"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-decorator-operation", "z"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("expect", "100-continue"),
        ]);
        enter_gateway(&mut headers, ([172, 17, 0, 1], 9).into());
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4,172.17.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-envoy-external-address"], "172.17.0.1");
        assert_ne!(headers["x-request-id"], "mine");
        let gone =
            ["x-envoy-internal", "x-envoy-retry-on", "x-envoy-decorator-operation", "connection", "x-mine", "expect"];
        for name in gone {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn an_internal_client_keeps_its_request_id() {
        let mut headers = map(&[("x-request-id", "mine")]);
        enter_gateway(&mut headers, ([127, 0, 0, 1], 9).into());
        assert_eq!(headers["x-request-id"], "mine");
        assert_eq!(headers["x-envoy-internal"], "true");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    }
}
