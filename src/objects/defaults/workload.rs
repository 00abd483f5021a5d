use serde_json::{Map, Value, json};

use super::fill::{existing, fill, fill_text, object, text};
use super::pod::template;

pub(super) fn deployment(deployment: &mut Map<String, Value>) {
    if let Some(spec) = object(deployment, "spec") {
        fill(spec, "replicas", 1);
        template(spec);
        if let Some(strategy) = object(spec, "strategy") {
            fill_text(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate"
                && let Some(rolling) = object(strategy, "rollingUpdate")
            {
                fill(rolling, "maxUnavailable", "25%");
                fill(rolling, "maxSurge", "25%");
            }
        }
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
    }
    object(deployment, "status");
}

pub(super) fn replica_set(replica_set: &mut Map<String, Value>) {
    if let Some(spec) = object(replica_set, "spec") {
        fill(spec, "replicas", 1);
        template(spec);
    }
    if let Some(status) = object(replica_set, "status") {
        fill(status, "replicas", 0);
    }
}

pub(super) fn autoscaler(autoscaler: &mut Map<String, Value>, version: &str) {
    if let Some(spec) = existing(autoscaler, "spec") {
        fill(spec, "minReplicas", 1);
        if version != "v1" {
            let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
            fill(spec, "metrics", cpu);
        }
    }
    if let Some(status) = object(autoscaler, "status") {
        if version == "v1" {
            fill(status, "currentReplicas", 0);
        } else {
            fill(status, "currentMetrics", Value::Null);
        }
        fill(status, "desiredReplicas", 0);
    }
}
