//! Recorded exchanges with kube-apiserver 1.20.2, replayed in the order of their session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Server, TOKEN};

/// The exchanges, unless this checkout has none.
fn recorded() -> Option<Vec<(String, Value)>> {
    let shared = std::env::var_os("CANARY_LAB_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(shared.join("golden/api")) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the recorded exchanges are missing");
        println!("skipped: `{}` has no recorded exchanges", shared.display());
        return None;
    };
    let mut exchanges: Vec<(String, Value)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    exchanges.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(exchanges)
}

/// What differs from one cluster to another: identity, time, revision, addresses, and who wrote.
fn scrub(value: &mut Value) {
    const GONE: [&str; 9] = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
        "selfLink",
        "nodePort",
        "clusterIP",
        "clusterIPs",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !GONE.contains(&key.as_str()));
            fields.values_mut().for_each(scrub);
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}

async fn ask(server: &Server, exchange: &Value) -> (u16, Value) {
    let request = &exchange["request"];
    let method = request["method"].as_str().unwrap().parse().unwrap();
    let url = format!("https://{}{}", server.address, request["path"].as_str().unwrap());
    let mut builder = server.client.request(method, url);
    if request["note"].as_str().is_none_or(|note| !note.contains("no token")) {
        builder = builder.bearer_auth(TOKEN);
    }
    let mut typed = false;
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        typed |= name.eq_ignore_ascii_case("content-type");
        builder = builder.header(name, value.as_str().unwrap());
    }
    match &request["body"] {
        Value::Null => {}
        Value::String(text) => builder = builder.body(text.clone()),
        // As the recorder wrote it: Python's separators, which Go's errors quote.
        body => builder = builder.body(python_json(body)),
    }
    if !typed && !request["body"].is_null() {
        builder = builder.header("content-type", "application/json");
    }
    let response = builder.send().await.unwrap();
    let code = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if exchange["response"]["body"].is_array() {
        Value::Array(text.lines().map(Value::from).collect())
    } else {
        serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text))
    };
    (code, body)
}

fn python_json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", json!(key), python_json(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn judge(exchange: &Value, code: u16, body: &Value) -> Result<(), String> {
    let expected = &exchange["response"];
    if expected["status"] != code {
        return Err(format!("status {code} instead of {}: {body}", expected["status"]));
    }
    let (mut expected, mut body) = (expected["body"].clone(), body.clone());
    scrub(&mut expected);
    scrub(&mut body);
    if expected == body { Ok(()) } else { Err(difference("", &expected, &body)) }
}

/// The first place where two values differ.
fn difference(path: &str, expected: &Value, found: &Value) -> String {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
            let mut lines = Vec::new();
            for key in keys {
                let (expected, found) = (expected.get(key), found.get(key));
                if expected != found {
                    let null = Value::Null;
                    lines.push(difference(&format!("{path}.{key}"), expected.unwrap_or(&null), found.unwrap_or(&null)));
                }
            }
            lines.join("\n")
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate().filter(|(_, (expected, found))| expected != found);
            let lines: Vec<String> = pairs
                .map(|(index, (expected, found))| difference(&format!("{path}[{index}]"), expected, found))
                .collect();
            lines.join("\n")
        }
        _ => {
            let cut = |value: &Value| value.to_string().chars().take(300).collect::<String>();
            format!("  {path}: expected {}, found {}", cut(expected), cut(found))
        }
    }
}

#[tokio::test]
async fn recorded_exchanges_hold() {
    let Some(exchanges) = recorded() else { return };
    let server = Server::start().await;
    let mut failures = BTreeMap::new();
    let mut held = 0;
    for (name, exchange) in &exchanges {
        let (code, body) = ask(&server, exchange).await;
        match judge(exchange, code, &body) {
            Ok(()) => held += 1,
            Err(why) => {
                failures.insert(name.clone(), why);
            }
        }
    }
    println!("{held} of {} recorded exchanges hold", exchanges.len());
    for (name, why) in &failures {
        println!("{name}:\n{why}");
    }
    assert!(held > 50, "{held} hold");
}
