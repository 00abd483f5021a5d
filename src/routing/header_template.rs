//! Header values with Envoy's `%VARIABLES%`, as `headers.request.set` and its siblings may hold them.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// A part of a header value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Segment {
    /// Text as it stands.
    Literal(String),
    /// `%REQ(name)%`: a header of the client's request.
    RequestHeader(String),
    /// `%PROTOCOL%`.
    Protocol,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`: the client's address and port.
    ClientAddress,
    /// `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`.
    ClientAddressWithoutPort,
    /// `%HOSTNAME%`: the proxy's pod.
    Hostname,
}

/// A header value to be filled in for each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderTemplate(Vec<Segment>);

/// What a template may draw from.
#[derive(Debug, Clone, Copy)]
pub struct TemplateValues<'a> {
    /// The client's request headers.
    pub request: &'a HeaderMap,
    /// For example `HTTP/1.1`.
    pub protocol: &'a str,
    /// The client.
    pub client: std::net::SocketAddr,
    /// Name of the proxy's pod.
    pub hostname: &'a str,
}

/// A variable that is not emulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("%{0}%")]
pub struct UnknownVariable(String);

impl HeaderTemplate {
    /// Splits a value into text and variables; `%%` is a percent sign.
    ///
    /// # Errors
    /// The first variable that is not emulated.
    pub fn parse(value: &str) -> Result<Self, UnknownVariable> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = value;
        while let Some(start) = rest.find('%') {
            literal.push_str(&rest[..start]);
            rest = &rest[start + 1..];
            let end = rest.find('%').unwrap_or(rest.len());
            let variable = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if variable.is_empty() {
                literal.push('%');
                continue;
            }
            let segment = match variable {
                "PROTOCOL" => Segment::Protocol,
                "DOWNSTREAM_REMOTE_ADDRESS" => Segment::ClientAddress,
                "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Segment::ClientAddressWithoutPort,
                "HOSTNAME" => Segment::Hostname,
                _ => match variable.strip_prefix("REQ(").and_then(|rest| rest.strip_suffix(')')) {
                    Some(name) if !name.is_empty() => Segment::RequestHeader(name.to_ascii_lowercase()),
                    _ => return Err(UnknownVariable(variable.to_owned())),
                },
            };
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            segments.push(segment);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Self(segments))
    }

    /// The value for one request; empty where nothing is to be set.
    pub fn fill(&self, values: &TemplateValues<'_>) -> String {
        let mut text = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::RequestHeader(name) => {
                    let name = if name == ":authority" { "host" } else { name };
                    text.push_str(values.request.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default());
                }
                Segment::Protocol => text.push_str(values.protocol),
                Segment::ClientAddress => text.push_str(&values.client.to_string()),
                Segment::ClientAddressWithoutPort => text.push_str(&values.client.ip().to_string()),
                Segment::Hostname => text.push_str(values.hostname),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_and_percents_unescaped() {
        let mut request = HeaderMap::new();
        request.insert("user-agent", "me".parse().unwrap());
        let values = TemplateValues {
            request: &request,
            protocol: "HTTP/1.1",
            client: ([127, 0, 0, 1], 9).into(),
            hostname: "gw",
        };
        let cases = [
            ("plain", "plain"),
            ("100%%", "100%"),
            ("a-%REQ(User-Agent)%-b", "a-me-b"),
            ("%REQ(absent)%", ""),
            ("%PROTOCOL% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %HOSTNAME%", "HTTP/1.1 127.0.0.1 gw"),
        ];
        for (template, filled) in cases {
            assert_eq!(HeaderTemplate::parse(template).unwrap().fill(&values), filled, "{template}");
        }
        assert_eq!(HeaderTemplate::parse("%START_TIME%").unwrap_err().to_string(), "%START_TIME%");
    }
}
