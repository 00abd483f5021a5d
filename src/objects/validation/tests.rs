use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::objects::defaults::apply_defaults;
use crate::objects::invalid_message;

fn created(mut object: Value) -> String {
    let gvk = Gvk::of(&object).expect("says what it is");
    if is_namespaced(&gvk) == Some(true) {
        object["metadata"]["namespace"] = json!("api");
    }
    apply_defaults(&gvk, &mut object);
    invalid_message(&gvk, crate::objects::meta::name(&object), &validate_create(&gvk, &object))
}

/// The recorded exchanges; `None`, with a word on standard error, where the checkout has no folder of them beside it.
fn recordings() -> Option<PathBuf> {
    let shared = std::env::var_os("CANARY_LAB_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("golden/api");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "the recordings are missing");
    eprintln!("skipped: no recordings at {}", folder.display());
    None
}

#[test]
fn refusals_are_word_for_word_those_recorded() {
    let Some(folder) = recordings() else { return };
    for name in [
        "025-create-namespace-bad-name",
        "044-create-configmap-no-name",
        "045-create-configmap-bad-name",
        "047-create-bad-label",
        "096-deployment-no-containers",
        "099-deployment-no-selector",
        "100-deployment-empty-template",
        "102-deployment-bad-container",
        "103-deployment-duplicate-containers",
        "113-service-multi-port-no-names",
        "114-service-duplicate-port",
        "119-service-port-name-bad",
        "120-service-protocol-bad",
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
        let exchange: Value = serde_json::from_str(&text).expect(name);
        assert_eq!(created(exchange["request"]["body"].clone()), exchange["response"]["body"]["message"], "{name}");
    }
}

#[test]
fn accepted_objects_have_no_complaints() {
    let Some(folder) = recordings() else { return };
    for name in [
        "023-create-namespace",
        "026-create-configmap",
        "094-create-deployment",
        "111-create-service",
        "122-service-loadbalancer",
        "194-create-pod",
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
        let exchange: Value = serde_json::from_str(&text).expect(name);
        let object = &exchange["response"]["body"];
        let gvk = Gvk::of(object).expect(name);
        assert_eq!(validate_create(&gvk, object), [], "{name}");
        assert_eq!(validate_update(&gvk, object, object), [], "{name}");
    }
}

#[test]
fn selectors_are_chosen_once() {
    let workload = |app: &str| json!({"spec": {"selector": {"matchLabels": {"app": app}}}});
    let errors = workload::validate_selector_update(&workload("z"), &workload("d"));
    assert_eq!(
        errors[0].to_string(),
        "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"z\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    );
}

#[test]
fn pods_hardly_change() {
    let pod = |name: &str, image: &str| json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": name, "image": image}]}});
    let gvk = Gvk::new("", "v1", "Pod");
    assert_eq!(validate_update(&gvk, &pod("c", "b"), &pod("c", "a")), []);
    let errors = validate_update(&gvk, &pod("d", "a"), &pod("c", "a"));
    assert!(
        errors[0]
            .message
            .starts_with("Forbidden: pod updates may not change fields other than `spec.containers[*].image`")
    );
    assert!(errors[0].message.ends_with("- \tspec.containers[0].name: \"c\"\n+ \tspec.containers[0].name: \"d\"\n"));
}

#[test]
fn single_rules() {
    let service = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec});
    let deployment = |strategy: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "replicas": -1, "selector": {"matchLabels": {"a": "b"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }})
    };
    for (object, expected) in [
        (service(json!({})), "Service \"s\" is invalid: spec.ports: Required value"),
        (
            service(json!({"ports": [{"port": 80}], "type": "X"})),
            "Service \"s\" is invalid: spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
        (
            service(json!({"ports": [{"port": 80, "targetPort": "a_b"}]})),
            "Service \"s\" is invalid: spec.ports[0].targetPort: Invalid value: \"a_b\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            deployment(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})),
            "Deployment.apps \"d\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}: may not be 0 when `maxSurge` is 0]",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a b": "x"}}),
            "ConfigMap \"c\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
    ] {
        assert_eq!(created(object), expected);
    }
}

#[test]
fn odd_shapes_do_no_harm() {
    for known in crate::objects::BUILTIN_KINDS {
        for odd in [
            json!(null),
            json!([]),
            json!({"spec": 1, "metadata": []}),
            json!({"spec": {"template": [], "ports": {}, "containers": [1], "volumes": [[]]}}),
        ] {
            validate_create(&known.gvk(), &odd);
            validate_update(&known.gvk(), &odd, &json!({"spec": {"containers": [{}]}}));
        }
    }
}
