//! What Istio 1.12.7's validation webhook answers about a Gateway, VirtualService or DestinationRule.
//!
//! The texts and their order are those of Istio 1.12.7 and of recorded answers; the rules themselves are pure
//! functions of the object. `limits` is this project's own second check: what is valid but not emulated is refused rather than
//! silently ignored.

mod destination_rule;
mod failures;
mod gateway;
mod http_rule;
mod limits;
mod shared_checks;
mod unreachable;
mod virtual_service;

use serde_json::Value;

use super::model::{self, UndecodableSpec};
pub(crate) use failures::Failures;
pub use limits::check as check_limits;

/// What the webhook says about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    refusal: Option<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Verdict {
    /// The text after `admission webhook "validation.istio.io" denied the request: `, or `None` when the object is accepted.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The single reasons for the refusal, in the order found.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Admission warnings of an accepted object.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn of(outcome: Result<(Failures, Vec<String>), UndecodableSpec>) -> Self {
        match outcome {
            Err(reason) => {
                let text = format!("error decoding configuration: {reason}");
                Self { refusal: Some(text.clone()), errors: vec![text], warnings: Vec::new() }
            }
            Ok((failures, warnings)) => match failures.message() {
                None => Self { refusal: None, errors: Vec::new(), warnings },
                Some(message) => Self {
                    refusal: Some(format!("configuration is invalid: {message}")),
                    errors: failures.into_texts(),
                    warnings: Vec::new(),
                },
            },
        }
    }
}

fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn namespace_of(object: &Value) -> &str {
    object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default()
}

/// Judges a VirtualService.
pub fn validate_virtual_service(object: &Value) -> Verdict {
    Verdict::of(model::decode_spec(object).map(|spec| virtual_service::validate(&spec, namespace_of(object))))
}

/// Judges a DestinationRule.
pub fn validate_destination_rule(object: &Value) -> Verdict {
    Verdict::of(model::decode_spec(object).map(|spec| destination_rule::validate(&spec, namespace_of(object))))
}

/// Judges a Gateway.
pub fn validate_gateway(object: &Value) -> Verdict {
    Verdict::of(model::decode_spec(object).map(|spec| gateway::validate(&spec, name_of(object))))
}

#[cfg(test)]
mod tests;
