//! Recorded exchanges with kube-apiserver 1.20.2, replayed in the order of their session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Server, TOKEN};
use super::session::Session;

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

/// What differs from one cluster to another, made alike: identity, time, revision, addresses, generated names, and the
/// order of resources that a real server lists as its maps fall.
fn scrub(value: &mut Value) {
    const GONE: [&str; 9] = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "time",
        "selfLink",
        "nodePort",
        "clusterIP",
        "clusterIPs",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !GONE.contains(&key.as_str()));
            if let Some(Value::Array(resources)) = fields.get_mut("resources") {
                resources.sort_by_key(|resource| resource["name"].to_string());
            }
            for (key, value) in fields.iter_mut() {
                match (key.as_str(), value) {
                    ("name", Value::String(name)) if name.starts_with("gen-") => name.truncate(4),
                    ("continue", Value::String(token)) => *token = where_it_goes_on(token),
                    ("serverAddress", value) => *value = Value::Null,
                    ("cells", Value::Array(cells)) => {
                        for cell in cells.iter_mut().filter(|cell| cell.as_str().is_some_and(is_age)) {
                            *cell = "AGE".into();
                        }
                        // Services show their ClusterIP, definitions their time.
                        for cell in cells.iter_mut().filter(|cell| cell.as_str().is_some_and(is_address_or_time)) {
                            *cell = "X".into();
                        }
                    }
                    (_, value) => scrub(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::String(text) => {
            if let Some(start) = text.find("too old resource version: 1 (") {
                text.truncate(start + "too old resource version: 1".len());
            }
        }
        _ => {}
    }
}

fn is_age(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h', 'd'])
        && text.chars().all(|letter| letter.is_ascii_digit() || "smhd".contains(letter))
}

fn is_address_or_time(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok() || text.parse::<jiff::Timestamp>().is_ok()
}

/// The place in the list that a continue token names, without its revision.
fn where_it_goes_on(token: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).unwrap();
    let place: Value = serde_json::from_slice(&bytes).unwrap();
    place["start"].to_string()
}

/// Revisions that this server gave where the recorded one gave others, by the recorded ones.
type Revisions = BTreeMap<String, String>;

fn note_revision(revisions: &mut Revisions, recorded: &Value, found: &Value) {
    let revision = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    if let (Some(recorded), Some(found)) = (revision(recorded), revision(found)) {
        revisions.insert(recorded, found);
    }
}

async fn ask(server: &Server, exchange: &Value, revisions: &Revisions) -> (u16, Value) {
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
        body => {
            let mut body = body.clone();
            let given = body["metadata"]["resourceVersion"].as_str().and_then(|recorded| revisions.get(recorded));
            if let Some(own) = given {
                body["metadata"]["resourceVersion"] = own.as_str().into();
            }
            builder = builder.body(python_json(&body));
        }
    }
    if !typed && !request["body"].is_null() {
        builder = builder.header("content-type", "application/json");
    }
    let response = builder.send().await.unwrap();
    let code = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if exchange["response"]["body"].is_array() {
        text.lines().map(parsed).collect()
    } else {
        serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text))
    };
    (code, body)
}

/// A watch's event.
fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| line.into())
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

/// A body that was answered in YAML, read.
fn as_value(body: &Value) -> Value {
    let yaml = body.as_str().filter(|text| text.starts_with("apiVersion: "));
    yaml.map_or_else(|| body.clone(), |text| serde_yaml::from_str(text).unwrap())
}

fn forget_owners(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.shift_remove("managedFields");
            fields.values_mut().for_each(forget_owners);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_owners),
        _ => {}
    }
}

fn judge(exchange: &Value, code: u16, body: &Value) -> Result<(), String> {
    let expected = &exchange["response"];
    if expected["status"] != code {
        return Err(format!("status {code} instead of {}: {body}", expected["status"]));
    }
    let (mut expected, mut body) = (as_value(&expected["body"]), as_value(body));
    // The daemon's own parts are not recorded as owners, so the record is compared where it is the matter.
    if !exchange["name"].as_str().unwrap().starts_with("ssa-") {
        forget_owners(&mut expected);
        forget_owners(&mut body);
    }
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

/// Exchanges that do not carry over, and why. What is listed here must not hold, and everything else must.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("001-discovery_version", "the version is 1.24.3"),
    ("003-discovery_apis", "only the groups that the lab needs are served"),
    ("004-discovery_api_v1", "only the kinds that the lab needs are served; a subset, as the test below says"),
    ("006-discovery_apis_apps_v1", "only the kinds that the lab needs are served; a subset, as the test below says"),
    ("011-discovery_apis_autoscaling_v2beta2", "autoscalers are stored as autoscaling/v2 here"),
    (
        "012-discovery_apis_policy_v1beta1",
        "budgets are stored as policy/v1 here, and pod security policies are not served",
    ),
    ("013-discovery_", "only the paths that the lab needs are served"),
    ("016-discovery_readyz_verbose", "the checks of one small daemon are fewer"),
    ("020-openapi-v2-summary", "the recording counts the definitions of all of Kubernetes"),
    ("023-create-namespace", "1.21 and later label namespaces with their name"),
    ("042-create-configmap-nonstring-data", "1.23 and later decode JSON with other words"),
    ("083-merge-patch-wrong-type", "quotes the whole object, with identity and times"),
    ("098-deployment-string-replicas", "1.23 and later decode JSON with other words"),
    ("104-deployment-old-apiversion", "1.22 and later know no group extensions"),
    ("111-create-service", "1.20 and later show IP families, 1.22 an internal traffic policy"),
    ("118-service-bad-clusterip", "1.21 and later say it otherwise"),
    ("122-service-loadbalancer", "1.20 and later show IP families, 1.22 an internal traffic policy"),
    ("123-service-loadbalancer-status-patch", "1.20 and later show IP families, 1.22 an internal traffic policy"),
    ("142-table-replicasets", "1.24 describes the columns otherwise"),
    ("147-table-namespaces", "the rig's namespaces; 1.21 and later label them with their name"),
    ("148-table-nodes", "the rig's node"),
    ("149-table-secrets", "1.24 makes no token secrets, and describes the columns otherwise"),
    ("150-table-serviceaccounts", "1.24 makes no token secrets, and describes the columns otherwise"),
    ("153-table-destinationrules", "the columns' descriptions are our own words"),
    ("154-table-crds", "the rig's definitions carry the operator's labels, and themselves in an annotation"),
    ("156-table-single-deployment", "1.24 describes the columns otherwise, one of them in our own words"),
    ("158-table-empty", "1.24 describes the columns otherwise"),
    ("173-watch-no-rv", "the order of the first events is the real server's own, and so are its certificates"),
    ("194-create-pod", "1.21 and later mount a projected token volume"),
    ("198-pod-immutable", "1.24 says it otherwise, and the difference is printed by Go"),
    ("203-delete-pod-grace", "1.21 and later mount a projected token volume"),
    ("208-replicasets-right-after", "1.24 describes the columns otherwise"),
    ("214-delete-namespace", "1.21 and later label namespaces with their name"),
    ("216-get-namespace-terminating", "1.21 and later label namespaces with their name"),
];

#[tokio::test]
async fn what_is_served_is_described_as_recorded() {
    let Some(exchanges) = recorded() else { return };
    let server = Server::start_with_istio().await;
    let mut compared = 0;
    for (name, exchange) in &exchanges {
        let Some(recorded) = exchange["response"]["body"]["resources"].as_array() else { continue };
        let (_, body) = ask(&server, exchange, &Revisions::new()).await;
        for resource in body["resources"].as_array().unwrap() {
            let known = recorded.iter().find(|known| known["name"] == resource["name"]);
            let known = known.unwrap_or_else(|| panic!("{name}: {} is not recorded", resource["name"]));
            let without_hash = |resource: &Value| {
                let mut resource = resource.clone();
                resource.as_object_mut().unwrap().shift_remove("storageVersionHash");
                resource
            };
            assert_eq!(without_hash(resource), without_hash(known), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}

#[tokio::test]
async fn recorded_exchanges_hold() {
    let Some(mut exchanges) = recorded() else { return };
    for (_, exchange) in &mut exchanges {
        if let Value::Array(lines) = &mut exchange["response"]["body"] {
            for line in lines {
                *line = parsed(line.as_str().unwrap());
            }
        }
    }
    let server = Server::start_with_istio().await;
    let session = Session::new(&server, &exchanges).await;
    let mut revisions = Revisions::new();
    let mut failures = BTreeMap::new();
    for (name, exchange) in &exchanges {
        session.others_write(name).await;
        let (code, body) = ask(&server, exchange, &revisions).await;
        note_revision(&mut revisions, &exchange["response"]["body"], &body);
        if let Err(why) = judge(exchange, code, &body) {
            failures.insert(name.as_str(), why);
        }
    }
    println!("{} of {} recorded exchanges hold", exchanges.len() - failures.len(), exchanges.len());
    let expected: BTreeMap<&str, &str> = EXCEPTIONS.iter().copied().collect();
    let new: Vec<String> = failures
        .iter()
        .filter(|(name, _)| !expected.contains_key(*name))
        .map(|(name, why)| format!("{name}:\n{why}"))
        .collect();
    let mended: Vec<&str> = expected.keys().filter(|name| !failures.contains_key(*name)).copied().collect();
    assert!(new.is_empty(), "these do not hold:\n{}", new.join("\n"));
    assert!(mended.is_empty(), "these hold now and are still listed as exceptions: {mended:?}");
}
