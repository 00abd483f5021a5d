use jiff::Timestamp;
use serde_json::Value;

use super::age::age;
use crate::objects::meta;
use crate::objects::selector::LabelSelector;

fn number(object: &Value, path: &[&str]) -> i64 {
    meta::integer_at(object, path).unwrap_or_default()
}

pub(super) fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let status = |key: &str| number(deployment, &["status", key]);
    let mut cells = vec![
        format!("{}/{}", status("readyReplicas"), number(deployment, &["spec", "replicas"])).into(),
        status("updatedReplicas").into(),
        status("availableReplicas").into(),
        age(deployment, now),
    ];
    cells.extend(template_cells(deployment));
    cells
}

pub(super) fn replica_set(replica_set: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        number(replica_set, &["spec", "replicas"]).into(),
        number(replica_set, &["status", "replicas"]).into(),
        number(replica_set, &["status", "readyReplicas"]).into(),
        age(replica_set, now),
    ];
    cells.extend(template_cells(replica_set));
    cells
}

fn template_cells(workload: &Value) -> [Value; 3] {
    let containers = meta::list_at(workload, &["spec", "template", "spec", "containers"]);
    let joined = |key: &str| {
        containers.iter().map(|one| meta::text_at(one, &[key]).unwrap_or_default()).collect::<Vec<_>>().join(",")
    };
    [joined("name").into(), joined("image").into(), selector_text(meta::at(workload, &["spec", "selector"])).into()]
}

fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "<none>".to_owned() };
    match LabelSelector::from_object(selector) {
        Ok(selector) if selector.is_everything() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}

/// Labels as `a=b,c=d`, sorted by key; `<none>` when there are none.
pub(super) fn label_text(labels: Option<&Value>) -> String {
    let selector = LabelSelector::from_map(labels);
    if selector.is_everything() { "<none>".to_owned() } else { selector.to_string() }
}

pub(super) fn autoscaler(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let target = |key: &str| meta::text_at(autoscaler, &["spec", "scaleTargetRef", key]).unwrap_or_default();
    let minimum = meta::integer_at(autoscaler, &["spec", "minReplicas"]);
    vec![
        format!("{}/{}", target("kind"), target("name")).into(),
        targets(autoscaler).into(),
        minimum.map_or_else(|| "<unset>".to_owned(), |minimum| minimum.to_string()).into(),
        number(autoscaler, &["spec", "maxReplicas"]).into(),
        number(autoscaler, &["status", "currentReplicas"]).into(),
        age(autoscaler, now),
    ]
}

/// The measured and the wanted use of each resource; what nobody measures is unknown.
fn targets(autoscaler: &Value) -> String {
    if let Some(percent) = meta::integer_at(autoscaler, &["spec", "targetCPUUtilizationPercentage"]) {
        let current = meta::integer_at(autoscaler, &["status", "currentCPUUtilizationPercentage"]);
        return format!("{}/{percent}%", current.map_or_else(|| "<unknown>".to_owned(), |now| format!("{now}%")));
    }
    let current = meta::list_at(autoscaler, &["status", "currentMetrics"]);
    let texts: Vec<String> = meta::list_at(autoscaler, &["spec", "metrics"])
        .iter()
        .enumerate()
        .map(|(index, metric)| {
            let used = current
                .get(index)
                .and_then(|metric| meta::integer_at(metric, &["resource", "current", "averageUtilization"]));
            let wanted = match meta::integer_at(metric, &["resource", "target", "averageUtilization"]) {
                Some(percent) => format!("{percent}%"),
                None => meta::text_at(metric, &["resource", "target", "averageValue"]).unwrap_or("<auto>").to_owned(),
            };
            format!("{}/{wanted}", used.map_or_else(|| "<unknown>".to_owned(), |used| format!("{used}%")))
        })
        .collect();
    if texts.is_empty() { "<none>".to_owned() } else { texts.join(", ") }
}

pub(super) fn disruption_budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |key: &str| match meta::at(budget, &["spec", key]) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "N/A".to_owned(),
    };
    vec![
        amount("minAvailable").into(),
        amount("maxUnavailable").into(),
        number(budget, &["status", "disruptionsAllowed"]).into(),
        age(budget, now),
    ]
}
