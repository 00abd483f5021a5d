use serde_json::json;

use super::*;
use crate::objects::Gvk;

const fn writer(manager: &'static str, api_version: &'static str) -> Writer<'static> {
    Writer { manager, api_version, subresource: "", now: "2026-01-01T00:00:00Z" }
}

fn deployment() -> Place<'static> {
    Place::builtin(&Gvk::new("apps", "v1", "Deployment"))
}

fn config(containers: serde_json::Value) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"a": "b"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": containers}}},
    })
}

#[test]
fn an_applier_owns_leaves_and_items() {
    let object = config(json!([{
        "name": "c", "image": "i", "args": ["x"], "ports": [{"containerPort": 80}], "resources": {}
    }]));
    let set = to_set(&object, deployment());
    let fields = set.to_fields_v1();
    let spec = &fields["f:spec"];
    assert_eq!(spec["f:replicas"], json!({}));
    assert_eq!(spec["f:selector"], json!({}), "a selector is one value");
    assert_eq!(
        spec["f:template"]["f:spec"]["f:containers"],
        json!({"k:{\"name\":\"c\"}": {
            ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
        }})
    );
    assert_eq!(FieldSet::from_fields_v1(&fields), Some(set));
}

#[test]
fn a_maker_does_not_own_the_structure_that_every_deployment_has() {
    let mut object = config(json!([{"name": "c", "image": "i", "resources": {}}]));
    object["metadata"]["labels"] = json!({"app": "a"});
    object["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}});
    object["spec"]["template"]["metadata"] = json!({"creationTimestamp": null, "labels": {"app": "a"}});
    let mut managers = Managers::default();
    managers.update(None, &object, deployment(), writer("maker", "apps/v1"), &["status"]);
    let recorded = &managers.encode().expect("one entry")[0]["fieldsV1"];
    let labels = json!({".": {}, "f:app": {}});
    assert_eq!(recorded["f:metadata"], json!({"f:labels": labels}));
    let spec = &recorded["f:spec"];
    assert_eq!(spec["f:strategy"], json!({"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}}));
    assert_eq!(spec["f:template"]["f:metadata"], json!({"f:labels": labels}));
    let containers = &spec["f:template"]["f:spec"]["f:containers"];
    let container = json!({".": {}, "f:image": {}, "f:name": {}, "f:resources": {}});
    assert_eq!(*containers, json!({"k:{\"name\":\"c\"}": container}));
    assert!(spec.get(".").is_none() && spec["f:template"].get(".").is_none());
}

#[test]
fn what_is_applied_no_more_goes_unless_somebody_else_owns_it() {
    let one =
        config(json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]));
    let mut managers = Managers::default();
    let live = managers.apply(None, &one, deployment(), writer("one", "apps/v1"), false).expect("no conflict");
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "s"}]}}},
    });
    let live = managers.apply(Some(&live), &other, deployment(), writer("two", "apps/v1"), false).expect("agrees");
    let less = config(json!([{"name": "c", "image": "i"}]));
    let live = managers.apply(Some(&live), &less, deployment(), writer("one", "apps/v1"), false).expect("own fields");
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"],
        json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "s"}])
    );
}

#[test]
fn conflicts_name_owner_and_field() {
    let mut managers = Managers::default();
    let first = config(json!([{"name": "c", "image": "i"}]));
    managers.update(None, &first, deployment(), writer("kubectl-create", "apps/v1"), &["status"]);
    let second = config(json!([{"name": "c", "image": "j"}]));
    let conflicts =
        managers.apply(Some(&first), &second, deployment(), writer("me", "apps/v1"), false).expect_err("conflict");
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].owner, "\"kubectl-create\" using apps/v1");
    assert_eq!(conflicts[0].path, ".spec.template.spec.containers[name=\"c\"].image");
    let taken =
        managers.apply(Some(&first), &second, deployment(), writer("me", "apps/v1"), true).expect("taken by force");
    assert_eq!(taken["spec"]["template"]["spec"]["containers"][0]["image"], "j");
    let encoded = managers.encode().expect("two writers");
    assert_eq!(encoded[0]["operation"], "Apply");
    let left = &encoded[1]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
    assert_eq!(*left, json!({".": {}, "f:name": {}}));
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_clients_side() {
    let wanted =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}});
    let live = crate::objects::apply::annotated(&wanted);
    let place = Place::builtin(&Gvk::new("", "v1", "ConfigMap"));
    let mut managers = Managers::default();
    managers.update(None, &live, place, writer("kubectl-client-side-apply", "v1"), &[]);
    let mut next = wanted.clone();
    next["data"]["a"] = "2".into();
    let mut others = managers.clone();
    assert!(others.apply(Some(&live), &next, place, writer("someone", "v1"), false).is_err());
    let applied = managers.apply(Some(&live), &next, place, writer("kubectl", "v1"), false).expect("its own past");
    assert_eq!(applied["data"], json!({"a": "2", "b": "1"}));
    assert_eq!(crate::objects::apply::original_of(&applied).expect("a record")["data"]["a"], "2");
}

#[test]
fn updaters_are_put_together_when_they_are_many() {
    let place = Place::builtin(&Gvk::new("", "v1", "ConfigMap"));
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"start": ""}});
    let mut managers = Managers::default();
    managers.update(None, &object, place, writer("first", "v1"), &[]);
    for number in 0..15 {
        let old = object.clone();
        object["data"][format!("k{number}")] = "v".into();
        let (name, now) = (format!("m{number:02}"), format!("2026-01-01T00:00:{:02}Z", number + 1));
        managers.update(
            Some(&old),
            &object,
            place,
            Writer { manager: &name, api_version: "v1", subresource: "", now: &now },
            &[],
        );
    }
    let encoded = managers.encode().expect("writers");
    let entries = encoded.as_array().expect("a list");
    assert_eq!(entries.len(), 10);
    assert!(
        entries
            .iter()
            .any(|entry| entry["manager"] == "ancient-changes" && entry["fieldsV1"]["f:data"]["f:k3"].is_object())
    );
}

#[test]
fn unusable_objects_are_named_by_path() {
    let mut object = config(json!([{"name": "c", "imagee": "i"}, {"name": "c"}]));
    object["spec"]["replicas"] = "two".into();
    assert_eq!(
        check(&object, deployment()),
        [
            ".spec.replicas: expected numeric (int or float), got string",
            ".spec.template.spec.containers[name=\"c\"].imagee: field not declared in schema",
            ".spec.template.spec.containers: duplicate entries for key [name=\"c\"]",
        ]
    );
}
