use serde_json::Value;

use super::go_values::{int_or_string, label_selector, string_map};
use super::metadata::{validate_annotations, validate_labels};
use super::pod;
use crate::objects::selector::LabelSelector;
use crate::objects::{FieldError, meta, names};

pub(super) fn validate_deployment(deployment: &Value) -> Vec<FieldError> {
    let spec = &deployment["spec"];
    let mut errors = validate_replicas_and_template(spec);
    errors.extend(validate_strategy(&spec["strategy"]));
    let number = |key: &str| spec.get(key).and_then(Value::as_i64);
    let ready = number("minReadySeconds").unwrap_or_default();
    errors.extend(not_negative("spec.minReadySeconds", ready));
    errors.extend(not_negative("spec.revisionHistoryLimit", number("revisionHistoryLimit").unwrap_or_default()));
    if let Some(deadline) = number("progressDeadlineSeconds") {
        errors.extend(not_negative("spec.progressDeadlineSeconds", deadline));
        if deadline <= ready {
            let detail = "must be greater than minReadySeconds";
            errors.push(FieldError::invalid("spec.progressDeadlineSeconds", &deadline.to_string(), detail));
        }
    }
    errors
}

pub(super) fn validate_replica_set(replica_set: &Value) -> Vec<FieldError> {
    let spec = &replica_set["spec"];
    let mut errors = validate_replicas_and_template(spec);
    let ready = spec.get("minReadySeconds").and_then(Value::as_i64).unwrap_or_default();
    errors.extend(not_negative("spec.minReadySeconds", ready));
    errors
}

/// The selector of a workload is chosen once.
pub(super) fn validate_selector_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let selector = |object: &Value| meta::at(object, &["spec", "selector"]).cloned().unwrap_or_default();
    let (new, old) = (selector(new), selector(old));
    if new == old {
        return Vec::new();
    }
    vec![FieldError::invalid("spec.selector", &label_selector(&new), "field is immutable")]
}

fn validate_replicas_and_template(spec: &Value) -> Vec<FieldError> {
    let mut errors = not_negative("spec.replicas", spec.get("replicas").and_then(Value::as_i64).unwrap_or_default());
    let selector = spec.get("selector").filter(|selector| !selector.is_null());
    match selector {
        None => errors.push(FieldError::required("spec.selector", "")),
        Some(selector) => {
            errors.extend(validate_label_selector(selector, "spec.selector"));
            if LabelSelector::from_object(selector).is_ok_and(|selector| selector.is_everything()) {
                // The text names Deployments for ReplicaSets too.
                let detail = "empty selector is invalid for deployment";
                errors.push(FieldError::invalid("spec.selector", &label_selector(selector), detail));
            }
        }
    }
    match LabelSelector::from_object(selector.unwrap_or(&Value::Null)) {
        Err(_) => {
            let printed = label_selector(selector.unwrap_or(&Value::Null));
            errors.push(FieldError::invalid("spec.selector", &printed, "invalid label selector"));
        }
        Ok(selector) => errors.extend(validate_template(&spec["template"], &selector)),
    }
    errors
}

fn validate_template(template: &Value, selector: &LabelSelector) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let labels = meta::labels(template);
    if !selector.is_everything() && !selector.matches(labels) {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", &string_map(labels), detail));
    }
    errors.extend(validate_labels(labels, "spec.template.metadata.labels"));
    let annotations = meta::at(template, &["metadata", "annotations"]).and_then(Value::as_object);
    errors.extend(validate_annotations(annotations, "spec.template.metadata.annotations"));
    let spec = &template["spec"];
    errors.extend(pod::validate_spec(spec, "spec.template.spec"));
    let restart = spec.get("restartPolicy").and_then(Value::as_str).unwrap_or_default();
    if restart != "Always" {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", &names::quote(restart), &["Always"]));
    }
    if spec.get("activeDeadlineSeconds").is_some_and(|deadline| !deadline.is_null()) {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden("spec.template.spec.activeDeadlineSeconds", detail));
    }
    errors
}

/// Judges a label selector object.
pub(super) fn validate_label_selector(selector: &Value, field: &str) -> Vec<FieldError> {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let mut errors = validate_labels(labels, &format!("{field}.matchLabels"));
    for (index, expression) in meta::list_at(selector, &["matchExpressions"]).iter().enumerate() {
        let at = |key: &str| format!("{field}.matchExpressions[{index}].{key}");
        let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or_default();
        let values = meta::list_at(expression, &["values"]);
        match text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(at("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(at("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid_text(at("operator"), other, "not a valid selector operator")),
        }
        let key = text("key");
        errors.extend(FieldError::invalid_texts(&at("key"), key, names::qualified_name(key)));
    }
    errors
}

fn validate_strategy(strategy: &Value) -> Vec<FieldError> {
    const FIELD: &str = "spec.strategy.rollingUpdate";
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    match (strategy.get("type").and_then(Value::as_str).unwrap_or_default(), rolling) {
        ("Recreate", Some(_)) => {
            vec![FieldError::forbidden(FIELD, "may not be specified when strategy `type` is 'Recreate'")]
        }
        ("RollingUpdate", None) => vec![FieldError::required(FIELD, "this should be defaulted and never be nil")],
        ("RollingUpdate", Some(rolling)) => {
            let mut errors = Vec::new();
            for key in ["maxUnavailable", "maxSurge"] {
                errors.extend(validate_amount(&rolling[key], &format!("{FIELD}.{key}")));
            }
            let is_zero = |key: &str| match &rolling[key] {
                Value::String(text) => text.trim_end_matches('%').parse() == Ok(0),
                other => other.as_i64() == Some(0),
            };
            if is_zero("maxUnavailable") && is_zero("maxSurge") {
                let value = int_or_string(&rolling["maxUnavailable"]);
                let field = format!("{FIELD}.maxUnavailable");
                errors.push(FieldError::invalid(field, &value, "may not be 0 when `maxSurge` is 0"));
            }
            errors
        }
        ("Recreate", None) => Vec::new(),
        (other, _) => {
            vec![FieldError::not_supported("spec.strategy.type", &names::quote(other), &["Recreate", "RollingUpdate"])]
        }
    }
}

/// A count, or a percentage.
fn validate_amount(amount: &Value, field: &str) -> Vec<FieldError> {
    match amount {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Vec::new();
            }
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            vec![FieldError::invalid(field, &int_or_string(amount), detail)]
        }
        other => not_negative(field, other.as_i64().unwrap_or_default()),
    }
}

fn not_negative(field: &str, value: i64) -> Vec<FieldError> {
    if value >= 0 {
        return Vec::new();
    }
    vec![FieldError::invalid(field, &value.to_string(), "must be greater than or equal to 0")]
}

pub(super) fn validate_autoscaler(autoscaler: &Value) -> Vec<FieldError> {
    let spec = &autoscaler["spec"];
    let number = |key: &str| spec.get(key).and_then(Value::as_i64).unwrap_or_default();
    let mut errors = Vec::new();
    let (least, most) = (number("minReplicas"), number("maxReplicas"));
    if least < 1 {
        errors.push(FieldError::invalid("spec.minReplicas", &least.to_string(), "must be greater than or equal to 1"));
    }
    if most < 1 {
        errors.push(FieldError::invalid("spec.maxReplicas", &most.to_string(), "must be greater than 0"));
    }
    if most < least {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", &most.to_string(), detail));
    }
    for key in ["kind", "name"] {
        if meta::text_at(spec, &["scaleTargetRef", key]).unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("spec.scaleTargetRef.{key}"), ""));
        }
    }
    errors
}
