use serde_json::json;

use super::*;
use crate::objects::merge::{PatchType, strategic_merge_patch};

fn deployment() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

#[test]
fn the_record_has_kubectls_bytes() {
    // As recorded from kubectl 1.20 in an apply of a ConfigMap.
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "api2"}, "data": {"k": "1", "gone": "x"}});
    assert_eq!(
        last_applied_annotation(&manifest),
        "{\"apiVersion\":\"v1\",\"data\":{\"gone\":\"x\",\"k\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"a\",\"namespace\":\"api2\"}}\n"
    );
    assert_eq!(last_applied_annotation(&annotated(&manifest)), last_applied_annotation(&manifest));
    assert_eq!(original_of(&annotated(&manifest)).map(|original| original["data"]["k"].clone()), Some(json!("1")));
}

#[test]
fn a_config_map_update_is_kubectls() {
    let old = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "api2"}, "data": {"k": "1", "gone": "x"}});
    let new = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "api2"}, "data": {"k": "2"}});
    let current = annotated(&old);
    let patch =
        three_way(&Gvk::new("", "v1", "ConfigMap"), original_of(&current).as_ref(), &new, &current).expect("is fine");
    assert_eq!(patch.content_type, PatchType::Strategic);
    assert_eq!(
        patch.text(),
        "{\"data\":{\"gone\":null,\"k\":\"2\"},\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":\"{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\":{\\\"k\\\":\\\"2\\\"},\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{\\\"annotations\\\":{},\\\"name\\\":\\\"a\\\",\\\"namespace\\\":\\\"api2\\\"}}\\n\"}}}"
    );
    let again = three_way(&Gvk::new("", "v1", "ConfigMap"), Some(&new), &new, &annotated(&new)).expect("is fine");
    assert!(again.is_empty());
}

#[test]
fn a_custom_resource_update_is_a_merge_patch() {
    let manifest = |host: &str| json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": "a", "namespace": "n"}, "spec": {"hosts": [host], "gateways": ["g"]}});
    let current = annotated(&manifest("*"));
    let gvk = Gvk::new("networking.istio.io", "v1alpha3", "VirtualService");
    let patch = three_way(&gvk, original_of(&current).as_ref(), &manifest("a.com"), &current).expect("is fine");
    assert_eq!(patch.content_type, PatchType::Merge);
    assert_eq!(patch.body["spec"], json!({"hosts": ["a.com"]}));
    assert!(patch.body.get("kind").is_none());
}

fn workload(containers: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": containers}}}})
}

#[test]
fn containers_are_compared_by_name() {
    let old = workload(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
    let new = workload(json!([{"name": "c", "image": "1"}, {"name": "a", "image": "2"}]));
    let mut current = annotated(&old);
    current["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    let patch = three_way(&deployment(), Some(&old), &new, &current).expect("is fine");
    let spec = &patch.body["spec"]["template"]["spec"];
    assert_eq!(spec["$setElementOrder/containers"], json!([{"name": "c"}, {"name": "a"}]));
    assert_eq!(
        spec["containers"],
        json!([{"name": "c", "image": "1"}, {"name": "a", "image": "2"}, {"$patch": "delete", "name": "b"}])
    );
    strategic_merge_patch(&mut current, &patch.body, &deployment()).expect("applies");
    assert_eq!(
        current["spec"]["template"]["spec"]["containers"],
        json!([{"name": "c", "image": "1"}, {"name": "a", "image": "2", "imagePullPolicy": "Always"}])
    );
}

#[test]
fn renaming_is_refused() {
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let error = three_way(&Gvk::new("", "v1", "ConfigMap"), None, &named("b"), &named("a"));
    assert!(matches!(error, Err(ApplyError::Precondition(_))));
}

/// `tests/reference/apply_patches.py` recorded these from kubectl 1.24.
#[test]
fn requests_are_kubectls_byte_for_byte() {
    let text = include_str!("../../../tests/data/apply/patches.jsonl");
    let mut differing = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (manifest, live) = (&case["manifest"], &case["live"]);
        let request = if live.is_null() {
            Some(("application/json", go_json::to_string(&annotated(manifest))))
        } else {
            let gvk = Gvk::of(manifest).unwrap();
            let patch = three_way(&gvk, original_of(live).as_ref(), manifest, live).unwrap();
            (!patch.is_empty()).then(|| (patch.content_type.media_type(), go_json::to_string(&patch.body)))
        };
        let recorded =
            case["body"].as_str().map(|body| (case["mediaType"].as_str().unwrap_or_default(), body.to_owned()));
        if request != recorded {
            differing.push(format!("{}:\n  kubectl {recorded:?}\n  ours    {request:?}", case["name"]));
        }
    }
    assert!(text.lines().count() > 50 && differing.is_empty(), "{}", differing.join("\n"));
}
