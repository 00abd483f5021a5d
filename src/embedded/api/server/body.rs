use std::io;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Request, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::Incoming;
use serde_json::Value;

use super::protobuf::{self, ProtobufError};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;

/// A response's body: bytes at once, or a stream.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The largest request that is read, as etcd's limit has it.
const LARGEST_REQUEST: usize = 3 * 1024 * 1024;
/// Kubernetes' own protocol buffers.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// How much of an unreadable body is quoted.
const QUOTED_BYTES: usize = 30;

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn stream(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    use futures::StreamExt;
    StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

/// A request's body, read whole.
///
/// # Errors
/// 413 above 3 MiB, 400 when the client breaks off.
pub(super) async fn read(request: Request<Incoming>) -> Result<Bytes, Status> {
    match Limited::new(request.into_body(), LARGEST_REQUEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {LARGEST_REQUEST}");
            Err(Status::new(413, "RequestEntityTooLarge", message))
        }
        Err(error) => Err(Status::bad_request(format!("the request's body could not be read: {error}"))),
    }
}

/// The media type of the request's body, without parameters; JSON when the client names none.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bare = given.split(';').next().unwrap_or_default().trim().to_lowercase();
    if bare.is_empty() { "application/json".to_owned() } else { bare }
}

/// 415 for a media type that is none of these.
pub(super) fn unsupported(accepted: &[&str]) -> Status {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    Status::new(415, "UnsupportedMediaType", message)
}

/// Reads an object in JSON or YAML.
///
/// # Errors
/// 415 for other media types, 400 with kube-apiserver's words for anything that is no object.
pub(super) fn object(resource: &Resource, content_type: &str, bytes: &[u8]) -> Result<Value, Status> {
    let (value, json) = match content_type {
        "application/json" => (serde_json::from_slice::<Value>(bytes).map_err(|error| go_syntax(bytes, &error)), true),
        "application/yaml" => (yaml(bytes), false),
        PROTOBUF if !resource.custom => {
            return protobuf::decode(bytes).map_err(|error| match error {
                ProtobufError::Malformed => Status::bad_request(error.to_string()),
                ProtobufError::Unknown(_) => Status::new(415, "UnsupportedMediaType", error.to_string()),
            });
        }
        _ if resource.custom => return Err(unsupported(&["application/json", "application/yaml"])),
        _ => {
            return Err(unsupported(&["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]));
        }
    };
    let unrecognized = |why: &str| {
        let what = if json { "json" } else { "yaml" };
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; {what} parse error: {why} ({})",
            resource.kind,
            summary(bytes)
        ))
    };
    let value = value.map_err(|why| unrecognized(&why))?;
    if value.is_object() {
        return Ok(value);
    }
    let kind = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null | Value::Object(_) => "null",
    };
    Err(unrecognized(&format!(
        "json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )))
}

/// Reads YAML as the API server does: as JSON that is written otherwise.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, String> {
    serde_yaml::from_slice(bytes).map_err(|error| error.to_string())
}

fn summary(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(QUOTED_BYTES)];
    let more = if bytes.len() > QUOTED_BYTES { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(cut)),
        Some(_) => {
            use std::fmt::Write;
            let mut hex = String::new();
            for byte in cut {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
            }
            hex + more
        }
    }
}

/// What Go's `encoding/json` says about the same mistake.
pub(super) fn go_syntax(bytes: &[u8], error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    if error.classify() == Category::Eof {
        return "unexpected end of JSON input".to_owned();
    }
    let text = error.to_string();
    if text.starts_with("recursion limit") {
        return "exceeded max depth".to_owned();
    }
    let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let found = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b'\n');
    let context = if text.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else if text.starts_with("expected `:`") {
        "after object key"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `,` or `]`") {
        "after array element"
    } else if text.starts_with("trailing characters") {
        "after top-level value"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character '{}' {context}", char::from(found).escape_default())
}
