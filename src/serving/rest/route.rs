//! The URL grammar.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::serving::status::Status;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST …:predict`, `:classify`, `:regress`
    Run { target: Target, verb: Verb },
    /// `GET …`
    Status(Target),
    /// `GET …/metadata`
    Metadata(Target),
}

/// The verbs of `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Predict,
    Classify,
    Regress,
}

impl Verb {
    /// The name in the URL and in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Classify => "classify",
            Self::Regress => "regress",
        }
    }
}

/// Model and version as the URL names them, percent-decoded. The name is empty when the URL has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) version: Option<i64>,
    pub(super) label: Option<String>,
}

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No rule matches, or not this method. Metrics count it for the model that was named, if one was.
    Malformed { model: String, status: Status },
    /// The version is not a 64-bit number: TensorFlow Serving 2.5.1 leaves before it writes the body.
    EmptyBody { model: String, status: Status },
}

// A compile-time constant pattern: the test below compiles both.
static RUN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^/v1/models/([^/:]+)(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)$")
        .ok()
});
static LOOK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^/v1/models(?:/([^/:]+))?(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?(?:/(metadata))?$").ok()
});

/// Whether the target belongs to the API at all; anything else is answered with an HTML page.
pub(super) fn is_api(target: &str) -> bool {
    target.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("/v1/"))
}

/// Finds the route of a request. `target` is the path with query.
pub(super) fn route(method: &str, target: &str) -> Result<Route, NoRoute> {
    let malformed = |model: String| {
        let status = Status::invalid(format!("Malformed request: {method} {target}"));
        NoRoute::Malformed { model, status }
    };
    let rule = match method {
        "POST" => RUN.as_ref(),
        "GET" => LOOK.as_ref(),
        _ => None,
    };
    let captures = rule.and_then(|rule| rule.captures(target)).ok_or_else(|| malformed(String::new()))?;
    let last = captures.get(4).map_or("", |found| found.as_str());
    let asked = target_of(&captures)?;
    // The rules match words in any case, but what follows compares them exactly.
    match (method, last) {
        ("POST", "predict") => Ok(Route::Run { target: asked, verb: Verb::Predict }),
        ("POST", "classify") => Ok(Route::Run { target: asked, verb: Verb::Classify }),
        ("POST", "regress") => Ok(Route::Run { target: asked, verb: Verb::Regress }),
        ("GET", "metadata") => Ok(Route::Metadata(asked)),
        ("GET", _) => Ok(Route::Status(asked)),
        _ => Err(malformed(asked.name)),
    }
}

fn target_of(captures: &Captures<'_>) -> Result<Target, NoRoute> {
    let text = |group| captures.get(group).map(|found| found.as_str());
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let name = text(1).map(decoded).unwrap_or_default();
    let version = text(2)
        .map(|digits| {
            digits.parse().map_err(|_| {
                let status = Status::invalid(format!("Failed to convert version: {digits} to numeric."));
                NoRoute::EmptyBody { model: name.clone(), status }
            })
        })
        .transpose()?;
    Ok(Target { name, version, label: text(3).map(decoded) })
}

/// Whether a request target consists of what RFC 3986 allows. libevent refuses others with a page of its own.
pub(super) fn is_well_formed(target: &str) -> bool {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let allowed = |text: &str, more: &[u8]| {
        let bytes = text.as_bytes();
        bytes.iter().enumerate().all(|(at, byte)| match byte {
            b'%' => bytes.len() > at + 2 && bytes[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte) || more.contains(byte),
        })
    };
    allowed(path, b"") && query.is_none_or(|query| allowed(query, b"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, version: Option<i64>, label: Option<&str>) -> Target {
        Target { name: name.into(), version, label: label.map(str::to_owned) }
    }

    #[test]
    fn the_grammar() {
        let run = |target, verb| Ok(Route::Run { target, verb });
        let malformed_of = |model: &str, method: &str, path: &str| {
            let status = Status::invalid(format!("Malformed request: {method} {path}"));
            Err(NoRoute::Malformed { model: model.to_owned(), status })
        };
        let malformed = |method: &str, path: &str| malformed_of("", method, path);
        let cases = [
            ("POST", "/v1/models/m:predict", run(target("m", None, None), Verb::Predict)),
            ("POST", "/V1/Models/m/Versions/7:regress", run(target("m", Some(7), None), Verb::Regress)),
            ("POST", "/v1/models/m%2Fx/labels/a%20b:classify", run(target("m/x", None, Some("a b")), Verb::Classify)),
            ("POST", "/v1/models/m:PREDICT", malformed_of("m", "POST", "/v1/models/m:PREDICT")),
            ("POST", "/v1/models/m:predict?x=1", malformed("POST", "/v1/models/m:predict?x=1")),
            ("POST", "/v1/models/m/", malformed("POST", "/v1/models/m/")),
            ("GET", "/v1/models/m:predict", malformed("GET", "/v1/models/m:predict")),
            ("GET", "/v1/models", Ok(Route::Status(target("", None, None)))),
            ("GET", "/v1/models/versions/3", Ok(Route::Status(target("", Some(3), None)))),
            ("GET", "/v1/models/m?x=1", Ok(Route::Status(target("m?x=1", None, None)))),
            ("GET", "/v1/models/m/metadata", Ok(Route::Metadata(target("m", None, None)))),
            ("GET", "/v1/models/m/METADATA", Ok(Route::Status(target("m", None, None)))),
            ("GET", "/v1/models/metadata", Ok(Route::Status(target("metadata", None, None)))),
            ("PUT", "/v1/models/m", malformed("PUT", "/v1/models/m")),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(method, path), expected, "{method} {path}");
        }
        let too_large = route("GET", "/v1/models/m/versions/18446744073709551615");
        assert!(matches!(too_large, Err(NoRoute::EmptyBody { .. })));
    }

    #[test]
    fn only_what_begins_with_v1_is_the_api() {
        assert!(is_api("/v1/") && is_api("/V1/x"));
        assert!(!is_api("/v1") && !is_api("/statuspage") && !is_api("/é1/"));
    }

    #[test]
    fn targets_outside_the_standard_are_seen() {
        assert!(is_well_formed("/v1/models/a%20b?x=1?y"));
        for bad in ["/v1/a%2", "/v1/a%zz", "/v1/a|b", "/v1/\"a\"", "/v1/a[0]"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
