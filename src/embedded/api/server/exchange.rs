use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::body::{self, Body};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::openapi::Document;
use crate::embedded::api::status::Status;
use crate::objects::go_yaml;

/// Bodies from this size on are compressed when the client can read that, as kube-apiserver has it.
const COMPRESS_FROM: usize = 128 * 1024;

/// The shapes in which objects can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As they are.
    Object,
    /// Rows and columns, as `kubectl get` prints them; the version of `meta.k8s.io`.
    Table(&'static str),
    /// Metadata only.
    Metadata(&'static str),
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

/// What a request says about its answer's form, kept while the request itself is consumed.
#[derive(Clone)]
pub(super) struct Exchange {
    query: Vec<(String, String)>,
    accept: String,
    user_agent: String,
    if_none_match: String,
    gzip: bool,
}

impl Exchange {
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let headers = request.headers();
        Self {
            query: parse_query(request.uri().query().unwrap_or_default()),
            accept: text(headers, header::ACCEPT),
            user_agent: text(headers, header::USER_AGENT),
            if_none_match: text(headers, header::IF_NONE_MATCH),
            gzip: text(headers, header::ACCEPT_ENCODING).split(',').any(|coding| {
                coding.split(';').next().is_some_and(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
            }),
        }
    }

    /// A query parameter's first value.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter.
    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter as Go reads it: there without a value is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| !matches!(value, "0" | "false" | "False" | "FALSE" | "f" | "F"))
    }

    /// Whether the `Accept` header names this media type.
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        self.accept.contains(media_type)
    }

    /// Who writes: the parameter, or the first word of the user agent.
    pub(super) fn field_manager(&self) -> String {
        let agent = self.user_agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
        self.parameter("fieldManager").filter(|manager| !manager.is_empty()).unwrap_or(agent).to_owned()
    }

    /// The first form among those that the client accepts which the server has.
    ///
    /// # Errors
    /// 406 when there is none.
    pub(super) fn form(&self, resource: Option<&Resource>) -> Result<(Shape, Format), Status> {
        if self.accept.is_empty() {
            return Ok((Shape::Object, Format::Json));
        }
        for clause in self.accept.split(',') {
            let mut parts = clause.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default() {
                "*/*" | "application/*" | "application/json" => Format::Json,
                "application/yaml" => Format::Yaml,
                _ => continue,
            };
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let value = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let version = match value("v") {
                Some("v1") => Some("v1"),
                Some("v1beta1") => Some("v1beta1"),
                _ => None,
            };
            let known = resource.is_some() && value("g") == Some("meta.k8s.io");
            let shape = match (value("as"), version) {
                (None, _) => Shape::Object,
                (Some("Table"), Some(version)) if known => Shape::Table(version),
                (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some(version)) if known => {
                    Shape::Metadata(version)
                }
                _ => continue,
            };
            return Ok((shape, format));
        }
        let accepted = match resource {
            Some(resource) if resource.custom => "application/json, application/yaml",
            _ => "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        };
        let message = format!("only the following media types are accepted: {accepted}");
        Err(Status::new(406, "NotAcceptable", message))
    }

    /// An answer in the format asked for. People with curl or a browser get their JSON indented.
    pub(super) fn respond(
        &self,
        code: u16,
        format: Format,
        value: &impl Serialize,
        warnings: &[String],
    ) -> Response<Body> {
        let (bytes, media_type) = match format {
            Format::Yaml => (yaml(value), "application/yaml"),
            Format::Json if self.is_pretty() => {
                let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
                bytes.push(b'\n');
                (bytes, "application/json")
            }
            Format::Json => {
                let mut bytes = serde_json::to_vec(value).unwrap_or_default();
                bytes.push(b'\n');
                (bytes, "application/json")
            }
        };
        let mut response = self.bytes(code, media_type, bytes);
        for warning in warnings {
            let text: String = warning.chars().filter(|letter| !letter.is_control()).collect();
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    /// JSON, whatever was asked for.
    pub(super) fn json(&self, code: u16, value: &impl Serialize) -> Response<Body> {
        self.respond(code, Format::Json, value, &[])
    }

    /// A failure.
    pub(super) fn status(&self, status: &Status) -> Response<Body> {
        let format = self.form(None).map_or(Format::Json, |(_, format)| format);
        let mut response = self.respond(status.code, format, &status.to_value(), &[]);
        if let Some(seconds) = status.details.as_deref().and_then(|details| details["retryAfterSeconds"].as_u64()) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Text, as health checks answer.
    pub(super) fn text(&self, code: u16, text: impl Into<String>) -> Response<Body> {
        let mut response = self.bytes(code, "text/plain; charset=utf-8", text.into().into_bytes());
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// What a path gets that leads nowhere.
    pub(super) fn not_found_page(&self) -> Response<Body> {
        self.text(404, "404 page not found\n")
    }

    /// Bytes of any media type.
    pub(super) fn bytes(&self, code: u16, media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
        let compress = self.gzip && bytes.len() >= COMPRESS_FROM;
        let packed = compress.then(|| gzip(&bytes)).flatten();
        let compressed = packed.is_some();
        let mut response = bare(code, body::full(packed.map_or_else(|| Bytes::from(bytes), Bytes::from)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if compressed {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        response
    }

    /// Bytes that are kept compressed.
    pub(super) fn packed(&self, media_type: &'static str, document: Document) -> Response<Body> {
        let Document { packed, etag } = document;
        if self.if_none_match.contains(&etag) {
            let mut response = bare(304, body::full(Bytes::new()));
            response.headers_mut().extend(HeaderValue::from_str(&etag).map(|etag| (header::ETAG, etag)));
            return response;
        }
        let mut response = if self.gzip {
            let mut response = bare(200, body::full(packed));
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        } else {
            let mut plain = Vec::new();
            let mut decoder = flate2::write::GzDecoder::new(&mut plain);
            // Our own bytes, written to memory: neither can fail.
            let _ = decoder.write_all(&packed).and_then(|()| decoder.try_finish());
            drop(decoder);
            bare(200, body::full(plain))
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        response.headers_mut().extend(HeaderValue::from_str(&etag).map(|etag| (header::ETAG, etag)));
        response
    }

    /// A stream whose end is not known.
    pub(super) fn stream(media_type: &'static str, body: Body) -> Response<Body> {
        let mut response = bare(200, body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }

    fn is_pretty(&self) -> bool {
        match self.parameter("pretty") {
            Some(_) => self.flag("pretty"),
            None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|agent| self.user_agent.starts_with(agent)),
        }
    }
}

/// Compresses with the effort that kube-apiserver spends.
pub(in crate::embedded::api) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(4));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn bare(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// YAML as the API server's library writes it.
fn yaml(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_value(value).map(|value| go_yaml::to_string(&value)).unwrap_or_default().into_bytes()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}
