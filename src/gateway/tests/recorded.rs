//! Every recorded exchange of the real gateway, sent to ours.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use super::lab::{Fixture, HTTP, NAMESPACE, Proxy, ask, backend, own_address, say, snapshot_of};
use crate::routing::recorded;

/// What the specification of Envoy 1.20 says otherwise, what rests on the rig's other Gateways, or what the limits refuse.
const LEFT_OUT: [&str; 4] =
    ["delegate", "destinationrule deleted under a virtualservice", "no Gateway at all", "wire: port 443 and 15021"];
/// Headers of responses that depend on time or on the rig.
const RESPONSE_HEADERS_IGNORED: [&str; 3] = ["date", "content-length", "x-envoy-upstream-service-time"];
const BACKEND_HEADERS_COMPARED: [&str; 12] = [
    "host",
    "user-group",
    "x-forwarded-proto",
    "x-envoy-attempt-count",
    "x-envoy-original-path",
    "x-envoy-original-host",
    "x-set",
    "x-add",
    "x-dyn",
    "x-gone",
    "a",
    "content-length",
];
const CONNECT_ERROR: &str = "upstream connect error or disconnect/reset before headers.";

async fn fixtures() -> Vec<Fixture> {
    let (v1, v2, bare) = (backend("v1").await, backend("v2").await, backend("bare").await);
    let http = vec![("http", 80)];
    let both = vec![("v1", v1), ("v2", v2)];
    let nobody = std::net::SocketAddr::new(own_address(), 9);
    vec![
        Fixture { name: "echo", ports: http.clone(), pods: both.clone() },
        Fixture { name: "bare", ports: http.clone(), pods: vec![("bare", bare)] },
        Fixture { name: "refused", ports: http.clone(), pods: vec![("none", nobody)] },
        Fixture { name: "empty", ports: http, pods: vec![] },
        Fixture { name: "multi", ports: vec![("tf-serving-grpc", 8500), ("tf-serving-http", 8501)], pods: both },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_exchange_is_answered_alike() {
    let Some(cases) = recorded::lines("golden/istio/gateway.jsonl") else { return };
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        let name = case["name"].as_str().unwrap().to_owned();
        // A refused connection behind a sidecar is the sidecars' test.
        if LEFT_OUT.contains(&name.as_str()) || name == "connection refused behind a sidecar" {
            continue;
        }
        running.spawn(async move { (name, replay(&case).await) });
    }
    let (mut held, mut differing) = (0, Vec::new());
    while let Some(outcome) = running.join_next().await {
        let (name, outcomes) = outcome.unwrap();
        for outcome in outcomes {
            match outcome {
                Ok(()) => held += 1,
                Err(text) => differing.push(format!("{name}: {text}")),
            }
        }
    }
    println!("{held} of {} recorded exchanges are answered alike", held + differing.len());
    assert!(differing.is_empty() && held > 120, "{held} held: {differing:#?}");
}

async fn replay(case: &Value) -> Vec<Result<(), String>> {
    let mut proxy = Proxy::gateway().await;
    let applied = proxy.push(snapshot_of(&fixtures().await, case["objects"].as_array().unwrap())).await;
    assert!(applied.refused.is_empty(), "{applied:?}");
    let mut outcomes = Vec::new();
    for exchange in case["exchanges"].as_array().unwrap() {
        outcomes.push(one(&proxy, exchange).await);
    }
    outcomes
}

async fn one(proxy: &Proxy, exchange: &Value) -> Result<(), String> {
    let request = &exchange["request"];
    let port = request["port"].as_u64().map_or(HTTP, |port| port as u16);
    let Ok(stream) = proxy.connect(port).await else {
        // The rig kept port 80 open with a Gateway of its own, which answered 404.
        return if exchange["response"]["status"] == 404 { Ok(()) } else { Err("refused".into()) };
    };
    if let Some(raw) = request["raw"].as_str() {
        return compare_raw(&say(stream, raw.as_bytes()).await, exchange["response"]["raw"].as_str().unwrap());
    }
    if let Some(tally) = exchange["tally"].as_object() {
        drop(stream);
        return compare_tally(proxy, request, tally).await;
    }
    compare(&send(stream, request).await, &exchange["response"])
}

async fn send(stream: tokio::net::TcpStream, request: &Value) -> Response<Bytes> {
    let mut headers = vec![("host", request["host"].as_str().unwrap_or("gw.local"))];
    for pair in request["headers"].as_array().into_iter().flatten() {
        headers.push((pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    }
    let method = Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let body = Bytes::from(request["body"].as_str().unwrap_or_default().to_owned());
    ask(stream, method, request["path"].as_str().unwrap(), &headers, body).await
}

fn compare(response: &Response<Bytes>, expected: &Value) -> Result<(), String> {
    let differs = |what: &str, got: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        Err(format!("{what} is {got:?}, recorded {wanted:?}"))
    };
    if response.status().as_u16() != expected["status"] {
        return differs("status", &response.status(), &expected["status"]);
    }
    let body = String::from_utf8_lossy(response.body());
    if let Some(wanted) = expected["body"].as_str() {
        let same = body == wanted || (wanted.starts_with(CONNECT_ERROR) && body.starts_with(CONNECT_ERROR));
        if !same {
            return differs("body", &body, &wanted);
        }
    }
    let wanted = expected["headers"].as_array().unwrap();
    let from_upstream = wanted.iter().any(|pair| pair[0] == "x-envoy-upstream-service-time");
    if response.headers().contains_key("x-envoy-upstream-service-time") != from_upstream {
        return differs("upstream", &response.headers(), wanted);
    }
    for pair in wanted {
        let name = pair[0].as_str().unwrap();
        let got = response.headers().get(name).and_then(|value| value.to_str().ok());
        let balanced = name == "x-echo";
        if got.is_none() || (!RESPONSE_HEADERS_IGNORED.contains(&name) && !balanced && got != pair[1].as_str()) {
            return differs(name, &got, &pair[1]);
        }
    }
    for name in response.headers().keys().filter(|name| !RESPONSE_HEADERS_IGNORED.contains(&name.as_str())) {
        if !wanted.iter().any(|pair| pair[0] == name.as_str()) {
            return differs(name.as_str(), &"there", &"absent");
        }
    }
    let Some(backend) = expected.get("backend").filter(|backend| backend["path"].is_string()) else { return Ok(()) };
    let seen: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    for field in ["method", "path", "body_len"] {
        if seen[field] != backend[field] {
            return differs(field, &seen[field], &backend[field]);
        }
    }
    for name in BACKEND_HEADERS_COMPARED {
        let (got, wanted) = (values(&seen, name), values(backend, name));
        if got != wanted {
            return differs(name, &got, &wanted);
        }
    }
    Ok(())
}

fn values(seen: &Value, name: &str) -> Vec<String> {
    let pairs = seen["headers"].as_array().into_iter().flatten();
    pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

async fn compare_tally(
    proxy: &Proxy,
    request: &Value,
    expected: &serde_json::Map<String, Value>,
) -> Result<(), String> {
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    let count = request["n"].as_u64().unwrap();
    for _ in 0..count {
        let response = send(proxy.connect(HTTP).await.unwrap(), request).await;
        let word = match response.headers().get("x-echo") {
            Some(version) => version.to_str().unwrap().to_owned(),
            None => String::from_utf8_lossy(response.body()).into_owned(),
        };
        *tally.entry(format!("{} {word}", response.status().as_u16())).or_default() += 1;
    }
    let sticky = expected.len() == 1;
    let same_kinds =
        sticky && tally.len() == 1 || tally.keys().eq(expected.keys().collect::<std::collections::BTreeSet<_>>());
    // Five standard deviations of the widest split.
    let width = 2.5 * (count as f64).sqrt() + 1.0;
    let near =
        |(kind, n): (&String, &u64)| sticky || (*n as f64 - expected[kind].as_f64().unwrap()).abs() <= 2.0 * width;
    if same_kinds && tally.iter().all(near) { Ok(()) } else { Err(format!("{tally:?}, recorded {expected:?}")) }
}

/// Raw replies are compared by status line and, where the specification of 1.20 has one, body.
fn compare_raw(got: &str, recorded: &str) -> Result<(), String> {
    let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    if line(got) != line(recorded) {
        return Err(format!("{got:?}, recorded {recorded:?}"));
    }
    let same_refusal =
        !got.contains(" 400 ") || got.ends_with("\r\n\r\nBad Request") && got.contains("server: istio-envoy");
    if same_refusal { Ok(()) } else { Err(format!("{got:?}, recorded {recorded:?}")) }
}

#[tokio::test]
async fn without_a_gateway_nothing_listens() {
    let mut proxy = Proxy::gateway().await;
    let applied = proxy.push(snapshot_of(&[], &[])).await;
    assert_eq!(applied.listening, Vec::<u16>::new());
    let refused = proxy.connect(HTTP).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let gateway = json!({"kind": "Gateway", "metadata": {"name": "g", "namespace": NAMESPACE}, "spec": {
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}});
    assert_eq!(proxy.push(snapshot_of(&[], &[gateway])).await.listening, [HTTP]);
    let health =
        ask(proxy.connect(15021).await.unwrap(), Method::GET, "/healthz/ready", &[("host", "x")], Bytes::new()).await;
    assert_eq!(health.status(), 200);
    let reply = ask(proxy.connect(HTTP).await.unwrap(), Method::GET, "/", &[("host", "x")], Bytes::new()).await;
    assert_eq!((reply.status().as_u16(), reply.body().len()), (404, 0));
    assert!(proxy.push(snapshot_of(&[], &[])).await.listening.is_empty());
    assert!(proxy.connect(HTTP).await.is_err());
}
