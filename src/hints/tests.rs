//! The judgement on facts that are made up: variations that are cheap to write down as objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Asked, Facts, IngressPlace, Reply, Wanted, explain, judge};
use crate::doctor::{Failure, Situation};

fn asked(headers: &[(&str, &str)]) -> Asked {
    Asked {
        method: "POST".into(),
        host: None,
        path: "/v1/models/image_classifier/versions/1:predict".into(),
        port: None,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn route(http: &Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService",
        "metadata": {"name": "image-classifier", "namespace": "tf-serving"},
        "spec": {"hosts": ["*"], "gateways": ["image-classifier-gateway"], "http": http}})
}

fn to(subset: &str, weight: u32) -> Value {
    json!({"destination": {"host": "image-classifier", "port": {"number": 8501}, "subset": subset}, "weight": weight})
}

fn pod(version: &str) -> Value {
    json!({"metadata": {"name": format!("image-classifier-{version}-1-x"), "namespace": "tf-serving", "labels": {"app": "image-classifier", "version": version}},
        "spec": {"containers": [{"name": "tf-serving", "args": ["--model_name=$(MODEL_NAME)"], "ports": [{"containerPort": 8501, "name": "http"}]}, {"name": "istio-proxy"}]},
        "status": {"podIP": "127.64.4.1"}})
}

/// A lab that works: two versions, 70/30, everything in place.
fn sound() -> Facts {
    let ingress = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {"type": "LoadBalancer", "selector": {"istio": "ingressgateway"},
            "ports": [{"name": "http2", "port": 80, "targetPort": 8080, "nodePort": 30717}, {"name": "https", "port": 443, "targetPort": 8443}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "127.64.0.1"}]}}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "image-classifier", "namespace": "tf-serving"},
        "spec": {"selector": {"app": "image-classifier"}, "ports": [{"name": "tf-serving-http", "port": 8501, "targetPort": 8501}]}});
    let gateway = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "Gateway",
        "metadata": {"name": "image-classifier-gateway", "namespace": "tf-serving"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}});
    let rule = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule",
        "metadata": {"name": "image-classifier", "namespace": "tf-serving"},
        "spec": {"host": "image-classifier", "subsets": [
            {"name": "resnet101", "labels": {"version": "resnet101"}}, {"name": "resnet50", "labels": {"version": "resnet50"}}]}});
    let mut facts = Facts {
        ingress: IngressPlace {
            namespace: "istio-system".into(),
            service: "istio-ingressgateway".into(),
            port: "http2".into(),
        },
        with_tunnel: true,
        with_requests: true,
        ..Facts::default()
    };
    let gateway_pod = json!({"metadata": {"name": "gw", "namespace": "istio-system", "labels": {"istio": "ingressgateway", "app": "istio-ingressgateway"}}, "spec": {}});
    facts.mesh.services = vec![Arc::new(ingress), Arc::new(service)];
    facts.mesh.gateways = vec![Arc::new(gateway)];
    facts.mesh.virtual_services = vec![Arc::new(route(&json!([{"route": [to("resnet50", 70), to("resnet101", 30)]}])))];
    facts.mesh.destination_rules = vec![Arc::new(rule)];
    facts.mesh.pods = vec![Arc::new(pod("resnet50")), Arc::new(pod("resnet101")), Arc::new(gateway_pod)];
    facts.namespaces = vec![json!({"metadata": {"name": "tf-serving", "labels": {"istio-injection": "enabled"}}})];
    facts.asked = Some((asked(&[]), Reply::Answered { status: 400, body: "JSON".into() }));
    facts
}

fn situations(found: &[Failure]) -> Vec<Situation> {
    found.iter().filter_map(|failure| failure.situation).collect()
}

/// The situations of a sound lab after a change.
fn after(change: impl FnOnce(&mut Facts)) -> Vec<Situation> {
    let mut facts = sound();
    change(&mut facts);
    situations(&judge(&facts, &Wanted::default()))
}

fn answered(status: u16, body: &str) -> (Asked, Reply) {
    (asked(&[]), Reply::Answered { status, body: body.into() })
}

#[test]
fn a_sound_lab_has_no_findings() {
    assert_eq!(after(|_| {}), []);
}

#[test]
fn a_canary_without_traffic_may_be_missing() {
    let route = route(&json!([{"route": [to("resnet50", 100), to("resnet101", 0)]}]));
    let found = after(|facts| {
        facts.mesh.virtual_services = vec![Arc::new(route.clone())];
        facts.mesh.pods.remove(1);
    });
    assert_eq!(found, []);
    assert_eq!(after(|facts| drop(facts.mesh.pods.remove(1))), [Situation::SubsetWithoutPods]);
}

#[test]
fn an_answer_is_explained_by_its_words() {
    for (status, body, expected) in [
        (404, "{\n    \"error\": \"Servable not found for request: Specific(x, 1)\"\n}", Situation::ModelNameWrong),
        (400, "{ \"error\": \"Malformed request: POST /v1/modells\" }", Situation::PathWrong),
        (
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
            Situation::NotServing,
        ),
    ] {
        assert_eq!(after(|facts| facts.asked = Some(answered(status, body))), [expected], "{body}");
    }
}

#[test]
fn rules_are_judged_among_themselves() {
    let header = json!([{"headers": {"user-group": {"exact": "canary"}}}]);
    let with = |http: Value| move |facts: &mut Facts| facts.mesh.virtual_services = vec![Arc::new(route(&http))];
    let sound = json!([{"match": header, "route": [to("resnet101", 100)]}, {"route": [to("resnet50", 100)]}]);
    assert_eq!(after(with(sound.clone())), []);
    let reversed = json!([sound[1], sound[0]]);
    assert_eq!(after(with(reversed)), [Situation::RuleShadowed]);
    let slash = json!([{"match": [{"uri": {"prefix": "/"}}], "route": [to("resnet50", 100)]}, sound[0]]);
    assert_eq!(after(with(slash)), [Situation::RuleShadowed]);
    for (name, value, expected) in [
        ("user-group", "canary", None),
        ("user-group", "Canary", Some(Situation::HeaderValue)),
        ("user-group", "canery", Some(Situation::HeaderValue)),
        ("user-group", "everybody", None),
        ("usergroup", "canary", Some(Situation::HeaderName)),
        ("accept", "text/plain", None),
    ] {
        let found = after(|facts| {
            with(sound.clone())(facts);
            facts.asked = Some((asked(&[(name, value)]), Reply::Answered { status: 400, body: "JSON".into() }));
        });
        assert_eq!(found, Vec::from_iter(expected), "{name}: {value}");
    }
}

#[test]
fn a_pod_tells_by_status_and_log() {
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "image-classifier-resnet50", "namespace": "tf-serving"}});
    let wanted =
        Wanted { manifests: vec![("deployment-resnet50.yaml".into(), manifest.clone())], namespaces: BTreeMap::new() };
    let judged = |status: Value, log: &str| {
        let mut facts = sound();
        let mut deployment = manifest.clone();
        deployment["spec"] = json!({"replicas": 1, "selector": {"matchLabels": {"version": "resnet50"}}});
        facts.deployments = vec![deployment];
        let mut sick = pod("resnet50");
        sick["status"]["containerStatuses"] = json!([status]);
        sick["spec"]["containers"][0]["args"] = json!(["--model_base_path=/models/resnet50"]);
        sick["spec"]["containers"][0]["volumeMounts"] = json!([{"mountPath": "/models/resnet50", "name": "model"}]);
        sick["spec"]["volumes"] = json!([{"name": "model", "hostPath": {"path": "/home/a/resnet50"}}]);
        facts.mesh.pods[0] = Arc::new(sick);
        facts.logs.insert("tf-serving/image-classifier-resnet50-1-x/tf-serving".into(), log.into());
        judge(&facts, &wanted)
    };
    let waiting = |reason: &str| json!({"name": "tf-serving", "restartCount": 4, "state": {"waiting": {"reason": reason, "message": "configmap \"resnet50-configs\" not found"}}, "lastState": {"terminated": {"exitCode": 255}}});
    let running = json!({"name": "tf-serving", "ready": true, "state": {"running": {}}});
    let none = "No versions of servable image_classifier found under base path";
    for (status, log, expected) in [
        (waiting("CreateContainerConfigError"), "", Some(Situation::ConfigMapMissing)),
        (waiting("ImagePullBackOff"), "", Some(Situation::ImageMisspelt)),
        (waiting("CrashLoopBackOff"), "what(): something", Some(Situation::Crashing)),
        (waiting("CrashLoopBackOff"), "Data loss: truncated block read", Some(Situation::ModelDamaged)),
        (running.clone(), &format!("{none} /models/resnet50. Did you"), Some(Situation::HostPathEmpty)),
        (running.clone(), &format!("{none} /models/resnet5. Did you"), Some(Situation::ModelPathWrong)),
        (running.clone(), &format!("{none} /models/resnet50.\nExporting HTTP/REST API at:localhost:8501 ..."), None),
        (running, "", None),
    ] {
        let found = judged(status.clone(), log);
        assert_eq!(situations(&found).first().copied(), expected, "{status} {log}\n{found:#?}");
    }
}

#[test]
fn the_pods_of_the_newest_template_are_judged() {
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "image-classifier-resnet50", "namespace": "tf-serving"}});
    let wanted =
        Wanted { manifests: vec![("deployment-resnet50.yaml".into(), manifest.clone())], namespaces: BTreeMap::new() };
    let of = |set: &str, created: &str, reason: Option<&str>| {
        let mut pod = pod("resnet50");
        pod["metadata"]["name"] = set.into();
        pod["metadata"]["creationTimestamp"] = created.into();
        pod["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "uid": set, "controller": true}]);
        let state = reason.map_or(json!({"running": {}}), |reason| json!({"waiting": {"reason": reason}}));
        pod["status"]["containerStatuses"] = json!([{"name": "tf-serving", "restartCount": 0, "state": state}]);
        Arc::new(pod)
    };
    let judged = |first: Option<&str>, second: Option<&str>, revisions: [&str; 2]| {
        let mut facts = sound();
        let mut deployment = manifest.clone();
        deployment["spec"] = json!({"replicas": 1, "selector": {"matchLabels": {"version": "resnet50"}}});
        facts.deployments = vec![deployment];
        let set = |uid: &str, revision: &str| json!({"metadata": {"uid": uid, "annotations": {"deployment.kubernetes.io/revision": revision}}});
        facts.replica_sets = vec![set("a", revisions[0]), set("b", revisions[1])];
        facts.mesh.pods.push(of("a", "2026-01-01T00:00:01Z", first));
        facts.mesh.pods.push(of("b", "2026-01-01T00:00:02Z", second));
        // Only the two: the sound lab's pod of this version has no ReplicaSet.
        facts.mesh.pods.remove(0);
        situations(&judge(&facts, &wanted))
    };
    let (image, configuration) = (Some("ImagePullBackOff"), Some("CreateContainerConfigError"));
    assert_eq!(judged(image, configuration, ["1", "2"]), [Situation::ConfigMapMissing]);
    assert_eq!(judged(image, configuration, ["10", "9"]), [Situation::ImageMisspelt], "taken up again");
    assert_eq!(judged(image, None, ["1", "2"]), [], "mended: what is left of the mistake is no hint");
}

#[test]
fn hints_name_the_files_of_the_lab_at_hand() {
    let rule = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule", "metadata": {"name": "image-classifier", "namespace": "tf-serving"}});
    let commands = |manifests: Vec<(String, Value)>| {
        let mut facts = sound();
        facts.mesh.destination_rules.clear();
        let found = judge(&facts, &Wanted { manifests, namespaces: BTreeMap::new() });
        let missing =
            found.iter().find(|failure| failure.situation == Some(Situation::DestinationRuleMissing)).unwrap();
        missing.next.iter().map(|next| next.command.clone()).collect::<Vec<_>>()
    };
    assert_eq!(commands(vec![("versions.yaml".into(), rule)]), ["kubectl apply -f versions.yaml"]);
    assert_eq!(commands(vec![]), ["canary-lab up"]);
}

#[test]
fn a_request_is_walked_through_the_rules() {
    let header = json!([{"headers": {"user-group": {"exact": "canary"}}}]);
    let mut facts = sound();
    let http = json!([{"match": header, "route": [to("resnet101", 100)]}, {"route": [to("resnet50", 100)]}]);
    facts.mesh.virtual_services = vec![Arc::new(route(&http))];
    let told = explain(&facts, &asked(&[]));
    assert_eq!(
        told.lines[1..5],
        [
            "Gateway tf-serving/image-classifier-gateway opens port 80",
            "host 127.64.0.1 is taken by *:80",
            "no   rule 1 of VirtualService tf-serving/image-classifier, match 1: the header `user-group` is absent, wanted exactly \"canary\"",
            "yes  rule 2 of VirtualService tf-serving/image-classifier: it takes every request",
        ],
        "{told:#?}"
    );
    assert_eq!(told.destinations.len(), 1);
    assert!(told.destinations[0].to.starts_with("resnet50 of image-classifier.tf-serving"), "{told:#?}");
    let other = Asked { port: Some(8080), ..asked(&[]) };
    assert_eq!(explain(&facts, &other).outcome, "refused");
    facts.mesh.gateways.clear();
    assert_eq!(explain(&facts, &asked(&[])).outcome, "refused");
}
