//! Checks that several kinds share (specification section 2.1).

use std::collections::{BTreeMap, BTreeSet};

use super::Failures;
use crate::routing::duration::GoDuration;
use crate::routing::model::{Percent, StringMatch};
use crate::routing::{go_regexp, names};

const NANOSECONDS_PER_MILLISECOND: i128 = 1_000_000;

pub(super) fn port(number: i64) -> Result<(), String> {
    if (1..=65535).contains(&number) {
        Ok(())
    } else {
        Err(format!("port number {number} must be in the range 1..65535"))
    }
}

pub(super) fn percentage(number: i64) -> Result<(), String> {
    if (0..=100).contains(&number) { Ok(()) } else { Err(format!("percentage {number} is not in range 0..100")) }
}

pub(super) fn fractional_percentage(percent: Percent) -> Result<(), String> {
    let value = percent.value;
    if value == 0.0 || (0.0001..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(format!("percentage {value} is neither 0.0, nor in range [0.0001, 100.0]"))
    }
}

pub(super) fn duration(duration: GoDuration) -> Result<(), String> {
    if duration.nanoseconds() < NANOSECONDS_PER_MILLISECOND {
        return Err("duration must be greater than 1ms".to_owned());
    }
    if duration.nanoseconds() % NANOSECONDS_PER_MILLISECOND != 0 {
        return Err("only durations to ms precision are supported".to_owned());
    }
    Ok(())
}

pub(super) fn optional_duration(value: Option<GoDuration>) -> Result<(), String> {
    value.map_or(Ok(()), duration)
}

/// A regular expression is compiled by Go's library; the other kinds of match are not looked at.
pub(super) fn string_match(value: &StringMatch, field: &str) -> Result<(), String> {
    match value.regex.as_deref() {
        None => Ok(()),
        Some("") => Err(format!("{field:?}: regex string match should not be empty")),
        Some(regex) => go_regexp::check(regex).map_err(|reason| {
            format!("{field:?}: {reason}; Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)")
        }),
    }
}

fn is_tag_name(text: &str, limit: usize) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= limit
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

/// Label keys and values of subsets and `sourceLabels`; failures always print as a list.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> Failures {
    let mut failures = Failures::default();
    for (key, value) in labels {
        let (prefix, name) = key.split_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let prefix_fits = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(names::is_label));
        if !prefix_fits || !is_tag_name(name, 63) {
            failures.add(Failures::listed(format!("invalid tag key: {key:?}")));
        }
        if !value.is_empty() && !is_tag_name(value, 63) {
            failures.add(Failures::listed(format!("invalid tag value: {value:?}")));
        }
    }
    failures
}

/// `exportTo` entries: no duplicates, known forms, and `*` only alone.
pub(super) fn export_to(entries: &[String], namespace: &str) -> Failures {
    let mut failures = Failures::default();
    let mut seen = BTreeSet::new();
    for entry in entries {
        let key = if entry == "." { namespace } else { entry.as_str() };
        if seen.contains(key) {
            failures.push(if key == entry {
                format!("duplicate entries in exportTo for entry {entry}")
            } else {
                format!("duplicate entries in exportTo: . and current namespace {namespace}")
            });
        } else if key == "~" {
            failures.push("exportTo ~ (none) is not allowed for Istio configuration objects");
        } else if key != "*" && !names::is_label(key) {
            failures.push("only .,*, or a valid namespace name is allowed as exportTo entry");
        } else {
            seen.insert(key);
        }
    }
    if seen.contains("*") && entries.len() > 1 {
        failures.push("cannot have both public (*) and non-public exportTo values for a resource");
    }
    failures
}

/// Names in a `gateways` list; a legacy dotted name is only warned about.
pub(super) fn gateway_names(gateways: &[String], warnings: &mut Vec<String>) -> Failures {
    let mut failures = Failures::default();
    for gateway in gateways {
        let Some((namespace, name)) = gateway.split_once('/') else {
            let mut parts = gateway.split('.');
            if let (Some(name), Some(namespace)) = (parts.next(), parts.next()) {
                warnings.push(format!(
                    "using legacy gatewayName format {gateway:?}; prefer the <namespace>/<name> format: {:?}",
                    format!("{namespace}/{name}")
                ));
            }
            failures.check(names::check_domain(gateway));
            continue;
        };
        failures.push_if(namespace.is_empty() || name.is_empty(), "config namespace and gateway name cannot be empty");
        failures.push_if(!names::is_label(namespace), format!("invalid value for namespace: {namespace:?}"));
        failures.push_if(!names::is_label(name), format!("invalid value for gateway name: {name:?}"));
    }
    failures
}
