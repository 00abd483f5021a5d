//! Host names as Istio checks, compares and completes them.

use std::net::IpAddr;

/// The suffix of every Service's full name.
pub(crate) const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// A DNS-1123 label in Istio's reading: upper case is fine, at most 63 characters.
pub(crate) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

fn is_wildcard_label(text: &str) -> bool {
    text == "*"
        || is_label(text)
        || text
            .strip_prefix("*-")
            .or_else(|| text.strip_prefix('*'))
            .is_some_and(|rest| is_label(rest) && text.len() <= 63)
}

fn check_length(domain: &str) -> Result<(), String> {
    if domain.is_empty() {
        return Err("empty domain name not allowed".to_owned());
    }
    if domain.len() > 255 {
        return Err(format!("domain name {domain:?} too long (max 255)"));
    }
    Ok(())
}

fn check_labels(domain: &str) -> Result<(), String> {
    let labels: Vec<&str> = domain.split('.').collect();
    let top = labels[labels.len() - 1];
    if top.parse::<i64>().is_ok() {
        return Err(format!("domain name {domain:?} invalid (top level domain {top:?} cannot be all-numeric)"));
    }
    for (index, label) in labels.iter().enumerate() {
        if index + 1 == labels.len() && label.is_empty() {
            return Ok(());
        }
        if !is_label(label) {
            return Err(format!("domain name {domain:?} invalid (label {label:?} invalid)"));
        }
    }
    Ok(())
}

/// Checks a domain without wildcards.
pub(crate) fn check_domain(domain: &str) -> Result<(), String> {
    check_length(domain)?;
    check_labels(domain)
}

/// Checks a domain whose first label may be `*`, `*x` or `*-x`.
pub(crate) fn check_wildcard_domain(domain: &str) -> Result<(), String> {
    check_length(domain)?;
    let (first, rest) = match domain.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (domain, None),
    };
    if !is_wildcard_label(first) {
        return Err(format!("domain name {domain:?} invalid (label {first:?} invalid)"));
    }
    rest.map_or(Ok(()), check_labels)
}

/// Whether the text is an IP address.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn wildcard_tail(host: &str) -> Option<&str> {
    host.strip_prefix('*')
}

/// Whether two hosts overlap: one covers the other, wildcards considered.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    match (wildcard_tail(a), wildcard_tail(b)) {
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
        (Some(tail), None) => b.ends_with(tail),
        (None, Some(tail)) => a.ends_with(tail),
        (None, None) => a == b,
    }
}

/// Whether every name that `inner` stands for is one that `outer` stands for.
pub(crate) fn is_within(inner: &str, outer: &str) -> bool {
    match (wildcard_tail(inner), wildcard_tail(outer)) {
        (Some(inner), Some(outer)) => inner.len() >= outer.len() && inner.ends_with(outer),
        (None, Some(tail)) => inner.ends_with(tail),
        (Some(_), None) => false,
        (None, None) => inner == outer,
    }
}

/// Completes a short host with a namespace; a dot or a lone `*` stops the completion (specification section 3.4).
pub(crate) fn full_name(host: &str, namespace: &str) -> String {
    if host.contains('.') || host == "*" || host.is_empty() {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.{CLUSTER_DOMAIN}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_allowed_in_the_first_label_only() {
        let fine = ["*", "*.foo.bar", "*foo.baz", "*-foo.baz", "image-classifier", "A.b", "istio.io."];
        for domain in fine {
            assert_eq!(check_wildcard_domain(domain), Ok(()), "{domain}");
        }
        let refused = [
            ("", "empty domain name not allowed"),
            ("foo.*.com", "domain name \"*.com\" invalid (label \"*\" invalid)"),
            ("x*", "domain name \"x*\" invalid (label \"x*\" invalid)"),
            ("10.0.0.1", "domain name \"0.0.1\" invalid (top level domain \"1\" cannot be all-numeric)"),
            ("foo.ba!r", "domain name \"ba!r\" invalid (label \"ba!r\" invalid)"),
        ];
        for (domain, text) in refused {
            assert_eq!(check_wildcard_domain(domain), Err(text.to_owned()), "{domain}");
        }
    }

    #[test]
    fn hosts_overlap_and_nest() {
        assert!(overlap("*.foo.bar", "*.bar"));
        assert!(overlap("*", "a.com"));
        assert!(!overlap("a.com", "b.com"));
        assert!(is_within("foo.bar", "*"));
        assert!(is_within("*.foo.com", "*"));
        assert!(!is_within("*", "*.foo.com"));
        assert!(!is_within("*.foo.com", "a.foo.com"));
        assert_eq!(full_name("image-classifier", "tf-serving"), "image-classifier.tf-serving.svc.cluster.local");
        assert_eq!(full_name("image-classifier.tf-serving", "tf-serving"), "image-classifier.tf-serving");
    }
}
