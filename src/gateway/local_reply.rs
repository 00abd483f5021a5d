//! Replies that the proxy makes itself (specification section 6).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use http::{HeaderMap, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::upstream::Failure;

/// The server name that Istio's proxies give.
pub(super) const SERVER_NAME: HeaderValue = HeaderValue::from_static("istio-envoy");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Whether a request is gRPC by its content type.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// A reply; for gRPC it is a 200 with the status translated into headers.
pub(super) fn reply(status: u16, text: &'static str, grpc: bool) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if grpc {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(grpc_status(status)));
        if !text.is_empty() {
            headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(text));
        }
    } else {
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if !text.is_empty() {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
            response.headers_mut().insert(CONTENT_TYPE, TEXT);
            *response.body_mut() = Bytes::from_static(text.as_bytes());
        }
    }
    if response.body().is_empty() {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    response.headers_mut().insert(SERVER, SERVER_NAME);
    fix_reason(&mut response);
    response
}

/// gRPC's own table of HTTP statuses.
fn grpc_status(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Envoy names statuses from its own list and says `Unknown` of the others, whatever the upstream called them.
pub(super) fn fix_reason<B>(response: &mut Response<B>) {
    const UNKNOWN: ReasonPhrase = ReasonPhrase::from_static(b"Unknown");
    response.extensions_mut().remove::<ReasonPhrase>();
    let status = response.status();
    if status == StatusCode::IM_A_TEAPOT || status.canonical_reason().is_none() {
        response.extensions_mut().insert(UNKNOWN);
    }
}

/// Status and text for a failure without an upstream response.
pub(super) fn of_failure(failure: Failure) -> (u16, &'static str) {
    match failure {
        Failure::Connect => {
            (503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure")
        }
        Failure::Termination | Failure::ClientGone => {
            (503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination")
        }
        Failure::RemoteReset => {
            (503, "upstream connect error or disconnect/reset before headers. reset reason: remote reset")
        }
        Failure::RefusedStream => (
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset",
        ),
        Failure::Protocol => {
            (502, "upstream connect error or disconnect/reset before headers. reset reason: protocol error")
        }
        Failure::PerTryTimeout => (504, "upstream request timeout"),
    }
}
