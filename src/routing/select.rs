//! One request against a route table: which virtual host, which route, which cluster.

use std::borrow::Cow;

use http::HeaderMap;

use super::pattern::Pattern;
use super::snapshot::{
    Action, Forward, HeaderMatch, Listener, Matcher, PathMatch, QueryMatch, Redirect, Route, VirtualHost,
    WeightedCluster,
};

/// What routing looks at in a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// For example `POST`.
    pub method: &'a str,
    /// The Host header with its port, as sent.
    pub authority: &'a str,
    /// The normalised path with its query.
    pub target: &'a str,
    /// `http`; there is no TLS here.
    pub scheme: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// The path without its query.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query after `?`, empty where there is none.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// A header's value, repeated ones joined by `,`; pseudo headers by their HTTP/2 names. `None` when absent.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        match name {
            ":method" => return Some(Cow::Borrowed(self.method)),
            ":authority" | "host" => return Some(Cow::Borrowed(self.authority)),
            ":scheme" => return Some(Cow::Borrowed(self.scheme)),
            ":path" => return Some(Cow::Borrowed(self.target)),
            _ => {}
        }
        let mut values = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next()?;
        let mut joined = first;
        for value in values {
            let text = joined.to_mut();
            text.push(',');
            text.push_str(&value);
        }
        Some(joined)
    }

    /// The first value of a query parameter, percent-decoded.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query().split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &'a str| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            (decode(key) == name).then(|| decode(value))
        })
    }
}

/// Why a route does not apply to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch<'s, 'r> {
    /// The path is another.
    Path(&'s PathMatch),
    /// A header is absent or does not look as it must, or looks as it must not.
    Header {
        /// The condition.
        wanted: &'s HeaderMatch,
        /// The request's value.
        found: Option<Cow<'r, str>>,
    },
    /// A query parameter is absent or does not look as it must.
    Query {
        /// The condition.
        wanted: &'s QueryMatch,
        /// The request's value.
        found: Option<Cow<'r, str>>,
    },
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<'s> {
    /// No virtual host has the name, or none of its routes matches: 404.
    NoRoute,
    /// The virtual host wants HTTPS: 301.
    RequireHttps,
    /// A redirect by a rule.
    Redirect(&'s Route, &'s Redirect),
    /// To this cluster, which may be unknown.
    Forward(&'s Route, &'s Forward, &'s WeightedCluster),
}

impl Matcher {
    /// The first condition that the request does not meet; `None` when it matches.
    pub fn mismatch<'s, 'r>(&'s self, request: &RequestHead<'r>) -> Option<Mismatch<'s, 'r>> {
        if !path_matches(&self.path, self.ignore_path_case, request.path()) {
            return Some(Mismatch::Path(&self.path));
        }
        for wanted in &self.headers {
            let found = request.header(&wanted.name);
            if !header_matches(wanted, found.as_deref()) {
                return Some(Mismatch::Header { wanted, found });
            }
        }
        for wanted in &self.query {
            let found = request.query_parameter(&wanted.name);
            if !found.as_deref().is_some_and(|value| wanted.pattern.is_match(value)) {
                return Some(Mismatch::Query { wanted, found });
            }
        }
        None
    }
}

fn path_matches(wanted: &PathMatch, ignore_case: bool, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(text) if ignore_case => path.eq_ignore_ascii_case(text),
        PathMatch::Exact(text) => path == text,
        PathMatch::Prefix(text) if ignore_case => {
            path.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
        }
        PathMatch::Prefix(text) => path.starts_with(text.as_str()),
        PathMatch::Regex(regex) => regex.is_match(path),
    }
}

/// An absent header fits only the inverted presence form; with any other inverted pattern Envoy 1.20 takes it for a mismatch.
fn header_matches(wanted: &HeaderMatch, found: Option<&str>) -> bool {
    match found {
        None => wanted.inverted && wanted.pattern == Pattern::Present,
        Some(value) => wanted.pattern.is_match(value) != wanted.inverted,
    }
}

impl Listener {
    /// The virtual host for a Host header: exact name, longest `*.suffix`, longest `name:*`, then `*`.
    pub fn virtual_host(&self, authority: &str) -> Option<&VirtualHost> {
        let authority = if authority.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(authority.to_ascii_lowercase())
        } else {
            Cow::Borrowed(authority)
        };
        let mut best: Option<(&VirtualHost, (u8, usize))> = None;
        for host in &self.virtual_hosts {
            for domain in &host.domains {
                let Some(rank) = domain_rank(domain, &authority) else { continue };
                if best.is_none_or(|(_, other)| rank > other) {
                    best = Some((host, rank));
                }
            }
        }
        best.map(|(host, _)| host)
    }

    /// Decides a request. `random` is a fresh number for each request; the weighted choice depends on nothing else.
    pub fn select(&self, request: &RequestHead<'_>, random: u64) -> Decision<'_> {
        let Some(host) = self.virtual_host(request.authority) else { return Decision::NoRoute };
        if host.require_https && request.scheme == "http" {
            return Decision::RequireHttps;
        }
        let Some(route) = host.routes.iter().find(|route| route.matcher.mismatch(request).is_none()) else {
            return Decision::NoRoute;
        };
        match &route.action {
            Action::Redirect(redirect) => Decision::Redirect(route, redirect),
            Action::Forward(forward) => Decision::Forward(route, forward, forward.pick(random)),
        }
    }
}

/// How well a domain fits a lower-case host, `None` when not at all; a wildcard covers at least one character.
fn domain_rank(domain: &str, host: &str) -> Option<(u8, usize)> {
    if domain == "*" {
        return Some((0, 0));
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        return (host.len() > suffix.len() && host.ends_with(suffix)).then_some((2, suffix.len()));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        return (host.len() > prefix.len() && host.starts_with(prefix)).then_some((1, prefix.len()));
    }
    (domain == host).then_some((3, host.len()))
}

impl Forward {
    /// The destination in whose interval `random` modulo the sum of weights falls.
    ///
    /// # Panics
    /// Never for a compiled table: a forward has at least one destination.
    pub fn pick(&self, random: u64) -> &WeightedCluster {
        let total: u64 = self.destinations.iter().map(|d| u64::from(d.weight)).sum();
        let mut point = random % total.max(1);
        for destination in &self.destinations {
            let weight = u64::from(destination.weight);
            if point < weight {
                return destination;
            }
            point -= weight;
        }
        &self.destinations[self.destinations.len() - 1]
    }
}

impl Redirect {
    /// The absolute location for a request (specification section 5).
    pub fn location(&self, request: &RequestHead<'_>) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme);
        let mut host = self.authority.as_deref().unwrap_or(request.authority);
        if self.authority.is_none() {
            let (name, port) = split_port(host);
            let default_of_old_scheme = match request.scheme {
                "http" => "80",
                _ => "443",
            };
            if self.port.is_some() || (scheme != request.scheme && port == Some(default_of_old_scheme)) {
                host = name;
            }
        }
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let target = match &self.path {
            None => request.target.to_owned(),
            Some(path) if path.contains('?') || request.query().is_empty() => path.clone(),
            Some(path) => format!("{path}?{}", request.query()),
        };
        format!("{scheme}://{host}{port}{target}")
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// The path sent upstream by a rewrite: the matched part is replaced, the query stays.
pub fn rewritten_target(matcher: &Matcher, replacement: &str, request: &RequestHead<'_>) -> String {
    let path = request.path();
    let rest = match &matcher.path {
        PathMatch::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
        PathMatch::Exact(_) | PathMatch::Regex(_) => "",
    };
    let query = if request.target.len() > path.len() { &request.target[path.len()..] } else { "" };
    format!("{replacement}{rest}{query}")
}
