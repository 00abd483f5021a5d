//! The recorded answers of the real webhook, and the cases of the specification's table.

use serde_json::{Value, json};

use super::*;
use crate::routing::recorded;

const DENIED: &str = "admission webhook \"validation.istio.io\" denied the request: ";

fn judge(object: &Value) -> Verdict {
    match object["kind"].as_str() {
        Some("VirtualService") => validate_virtual_service(object),
        Some("DestinationRule") => validate_destination_rule(object),
        Some("Gateway") => validate_gateway(object),
        other => panic!("no rules for {other:?}"),
    }
}

#[test]
fn every_recorded_webhook_answer_is_given() {
    let Some(cases) = recorded::lines("golden/istio/admission.jsonl") else { return };
    let (mut held, mut differing) = (0, Vec::new());
    for case in &cases {
        let api = &case["api"];
        // A 422 is the answer of the CRD's schema, which the API server checks before the webhook.
        if api["status"] == 422 {
            continue;
        }
        // The webhook saw what the API server had pruned.
        let mut object = case["object"].clone();
        if let Some(stored) = api.get("stored_spec") {
            object["spec"] = stored.clone();
        }
        let verdict = judge(&object);
        let expected = api["body"]["message"].as_str().map(|text| text.trim_start_matches(DENIED));
        let warnings: Vec<String> = api["warning_headers"]
            .as_array()
            .map(|headers| headers.iter().filter_map(Value::as_str).map(warning_text).collect())
            .unwrap_or_default();
        if verdict.refusal() == expected && verdict.warnings() == warnings {
            held += 1;
        } else {
            differing.push(format!("{}: {verdict:?}, recorded {expected:?} {warnings:?}", case["name"]));
        }
    }
    println!("{held} of {} recorded webhook answers hold", held + differing.len());
    assert!(differing.is_empty() && held > 100, "{held} held; {differing:#?}");
}

fn warning_text(header: &str) -> String {
    header.trim_start_matches("299 - \"").trim_end_matches('"').replace("\\\"", "\"")
}

fn virtual_service(spec: Value) -> Value {
    json!({"kind": "VirtualService", "metadata": {"name": "x", "namespace": "ns"}, "spec": spec})
}

fn rule(rule: Value) -> Value {
    virtual_service(json!({"hosts": ["a.com"], "gateways": ["g"], "http": [rule]}))
}

fn route() -> Value {
    json!([{"destination": {"host": "foo.baz", "port": {"number": 80}}}])
}

#[test]
fn the_table_of_the_specification_holds() {
    let refused: Vec<(Value, &str)> = vec![
        (rule(json!({})), "HTTP route or redirect is required"),
        (rule(json!({"route": [{"weight": 100}]})), "destination is required"),
        (
            virtual_service(json!({"hosts": ["*.foo.bar", "*.bar"], "http": [{"route": route()}]})),
            "duplicate hosts in virtual service: *.foo.bar & *.bar",
        ),
        (
            virtual_service(json!({"hosts": ["*"], "gateways": ["gw", "mesh"], "http": [{"route": route()}]})),
            "wildcard host * is not allowed for virtual services bound to the mesh gateway",
        ),
        (
            virtual_service(json!({"hosts": ["a.com"], "gateways": ["ns1/*"], "http": [{"route": route()}]})),
            "invalid value for gateway name: \"*\"",
        ),
        (
            rule(json!({"route": route(), "mirrorPercent": 101, "mirror": {"host": "m"}})),
            "mirror_percent must have a max value of 100 (it has 101)",
        ),
        (
            rule(
                json!({"route": route(), "rewrite": {"authority": "a"}, "headers": {"request": {"set": {":authority": "b"}}}}),
            ),
            "authority header cannot be set multiple times: have \"a\", attempting to set \"b\"",
        ),
        (
            rule(json!({"route": route(), "headers": {"request": {"set": {"x": "abcd%x"}}}})),
            "single % not allowed.  Escape by doubling to %% or encase Envoy variable name in pair of %",
        ),
        (rule(json!({"route": route(), "headers": {"response": {"remove": [""]}}})), "header name cannot be empty"),
        (rule(json!({"route": route(), "timeout": "0s"})), "duration must be greater than 1ms"),
        (
            rule(json!({"route": route(), "retries": {"attempts": 1, "retryOn": "some"}})),
            "\"some\" is not a valid retryOn policy",
        ),
    ];
    for (object, text) in refused {
        assert_eq!(judge(&object).refusal(), Some(format!("configuration is invalid: {text}").as_str()), "{object}");
    }
    let accepted = [
        rule(
            json!({"route": [{"destination": {"host": "*-foo.baz"}, "weight": 25}, {"destination": {"host": "*foo.baz"}, "weight": 75}]}),
        ),
        rule(json!({"route": route(), "headers": {"request": {"set": {"a": "100%%", "b": "%HOSTNAME%"}}}})),
        virtual_service(json!({"http": [{"route": route()}]})),
        json!({"kind": "DestinationRule", "spec": {"host": "reviews", "subsets": [{"name": "a"}, {"name": "a"}]}}),
    ];
    for object in accepted {
        assert_eq!(judge(&object).refusal(), None, "{object}");
    }
}

#[test]
fn a_legacy_gateway_name_is_warned_about() {
    let verdict =
        judge(&virtual_service(json!({"hosts": ["a.com"], "gateways": ["gw.ns"], "http": [{"route": route()}]})));
    assert_eq!(verdict.refusal(), None);
    assert_eq!(
        verdict.warnings(),
        ["using legacy gatewayName format \"gw.ns\"; prefer the <namespace>/<name> format: \"ns/gw\""]
    );
}

#[test]
fn what_is_not_emulated_is_named() {
    let cases: Vec<(&str, Value, Option<&str>)> = vec![
        ("VirtualService", rule(json!({"route": route()})), None),
        ("VirtualService", rule(json!({"delegate": {"name": "d"}})), Some("spec.http[0].delegate")),
        ("VirtualService", virtual_service(json!({"hosts": ["a.com"], "tcp": [{}]})), Some("spec.tcp")),
        (
            "VirtualService",
            rule(json!({"redirect": {"uri": "/x", "redirectCode": 304}})),
            Some("spec.http[0].redirect.redirectCode: 304"),
        ),
        (
            "DestinationRule",
            json!({"spec": {"host": "a", "trafficPolicy": {"outlierDetection": {"interval": "1s"}}}}),
            Some("spec.trafficPolicy.outlierDetection"),
        ),
        (
            "DestinationRule",
            json!({"spec": {"host": "a", "subsets": [{"name": "v1", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}]}}),
            None,
        ),
        (
            "Gateway",
            json!({"spec": {"servers": [{"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["*"]}]}}),
            Some("spec.servers[0].port.protocol: HTTPS"),
        ),
        ("EnvoyFilter", json!({"spec": {}}), Some("EnvoyFilter")),
    ];
    for (kind, object, field) in cases {
        let expected = field.map_or(Ok(()), |field| {
            Err(format!("{field} is not emulated by the embedded cluster; it would have no effect here"))
        });
        assert_eq!(check_limits(kind, &object), expected, "{object}");
    }
}
