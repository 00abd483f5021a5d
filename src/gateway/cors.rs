//! Cross-origin requests answered and marked by a rule's policy.

use bytes::Bytes;
use http::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderName,
    HeaderValue,
};

use super::local_reply;
use crate::routing::snapshot::Cors;

/// Whether the policy lets an origin in.
pub(super) fn allows(policy: &Cors, origin: &str) -> bool {
    policy.origins.iter().any(|pattern| pattern.is_match(origin))
}

/// The proxy's answer to a preflight of an allowed origin.
pub(super) fn preflight(policy: &Cors, origin: &HeaderValue) -> Response<Bytes> {
    let mut response = local_reply::reply(200, "", false);
    let headers = response.headers_mut();
    mark(policy, origin, headers);
    insert(headers, ACCESS_CONTROL_ALLOW_METHODS, &policy.methods);
    insert(headers, ACCESS_CONTROL_ALLOW_HEADERS, &policy.headers);
    if let Some(age) = policy.max_age {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age));
    }
    response
}

/// What any response to an allowed origin carries.
pub(super) fn mark(policy: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if policy.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    insert(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &policy.expose);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if !text.is_empty()
        && let Ok(value) = HeaderValue::from_str(text)
    {
        headers.insert(name, value);
    }
}
