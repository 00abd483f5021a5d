//! From the stored version of an object to another one that is served, and back.
//!
//! Versions differ in their name only, but for HorizontalPodAutoscaler: `autoscaling/v1` knows one metric, the
//! processor's utilisation, and `v2` a list.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::embedded::api::catalog::Resource;

/// The object as it looks in this version.
pub(in crate::embedded::api) fn to_version<'a>(
    resource: &Resource,
    version: &str,
    object: &'a Value,
) -> Cow<'a, Value> {
    let api_version = resource.gvk(version).api_version();
    if object["apiVersion"] == api_version {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["apiVersion"] = api_version.into();
    if is_old_autoscaler(resource, version) {
        narrow_autoscaler(&mut object);
    }
    Cow::Owned(object)
}

/// Turns an object of this version into the one that is stored.
pub(super) fn from_version(resource: &Resource, version: &str, object: &mut Value) {
    object["apiVersion"] = resource.storage_gvk().api_version().into();
    if is_old_autoscaler(resource, version) {
        widen_autoscaler(object);
    }
}

fn is_old_autoscaler(resource: &Resource, version: &str) -> bool {
    resource.group == "autoscaling" && resource.kind == "HorizontalPodAutoscaler" && version == "v1"
}

fn narrow_autoscaler(object: &mut Value) {
    let utilization = |metrics: &Value, part: &str| {
        let metrics = metrics.as_array().into_iter().flatten();
        let mut cpu = metrics.filter(|metric| metric["resource"]["name"] == "cpu");
        cpu.find_map(|metric| metric["resource"][part]["averageUtilization"].as_i64())
    };
    for (section, metrics, part, field) in [
        ("spec", "metrics", "target", "targetCPUUtilizationPercentage"),
        ("status", "currentMetrics", "current", "currentCPUUtilizationPercentage"),
    ] {
        let found = utilization(&object[section][metrics], part);
        if let Some(fields) = object.get_mut(section).and_then(Value::as_object_mut) {
            for newer in [metrics, "behavior", "conditions"] {
                fields.shift_remove(newer);
            }
            fields.extend(found.map(|percent| (field.to_owned(), percent.into())));
        }
    }
}

fn widen_autoscaler(object: &mut Value) {
    for (section, metrics, part, field) in [
        ("spec", "metrics", "target", "targetCPUUtilizationPercentage"),
        ("status", "currentMetrics", "current", "currentCPUUtilizationPercentage"),
    ] {
        let Some(fields) = object.get_mut(section).and_then(Value::as_object_mut) else { continue };
        let Some(percent) = fields.shift_remove(field).filter(|percent| !percent.is_null()) else { continue };
        let mut reading = json!({"averageUtilization": percent});
        if part == "target" {
            reading["type"] = "Utilization".into();
        }
        fields.insert(metrics.to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", part: reading}}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::api::catalog::Catalog;

    #[test]
    fn an_autoscaler_of_the_first_version_keeps_its_target() {
        let catalog = Catalog::new([]);
        let resource = catalog.get("horizontalpodautoscalers.autoscaling").expect("built in");
        let old = json!({
            "apiVersion": "autoscaling/v1",
            "spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 80},
        });
        let mut stored = old.clone();
        from_version(resource, "v1", &mut stored);
        assert_eq!(stored["apiVersion"], "autoscaling/v2");
        assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(*to_version(resource, "v1", &stored), old);
        assert_eq!(to_version(resource, "v2beta2", &stored)["spec"], stored["spec"]);
    }
}
