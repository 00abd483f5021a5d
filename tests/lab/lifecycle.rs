//! Up, up again, look, and down: the whole tiny lab, behind a proxy that swallows everything.

use std::fs;
use std::time::Duration;

use super::bench::{Bench, finish, processes};

#[test]
fn a_lab_stands_holds_and_goes() {
    let bench = Bench::new();
    let mut up = bench.tiny_command(&["up"]);
    // Nothing listens there: a request that went to the proxy would fail.
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"] {
        up.env(name, "http://127.0.0.1:9");
    }
    let up = finish(up);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert!(up.out.contains("13 stages proven"), "{}", up.out);
    assert!(up.out.contains("300 requests: resnet50 "), "{}", up.out);
    assert!(up.out.contains("120 requests with user-group: canary: resnet101 120, resnet50 0"), "{}", up.out);

    let status = bench.json(&["status"]);
    let stages = status["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["standing"] == "proven"), "{status:#}");
    for stage in stages {
        let evidence = fs::read_to_string(stage["evidence"].as_str().unwrap()).unwrap();
        let evidence: serde_json::Value = serde_json::from_str(&evidence).unwrap();
        assert_eq!(evidence["proven"], true, "{evidence:#}");
    }
    let labels: Vec<String> =
        status["inventory"].as_array().unwrap().iter().map(|item| item["creator"].to_string()).collect();
    assert!(labels.iter().all(|creator| creator == "\"lab\""), "{status:#}");

    let versions = objects(&bench);
    let again = bench.json(&["up"]);
    let outcomes: Vec<&str> =
        again["stages"].as_array().unwrap().iter().map(|stage| stage["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["satisfied"; 13], "{again:#}");
    assert_eq!(objects(&bench), versions, "a second run changes nothing");

    let verify = bench.tiny(&["verify"]);
    assert_eq!(verify.code, 0, "{}\n{}", verify.out, verify.err);
    assert_eq!(objects(&bench), versions);

    let request = bench.tiny(&["request", "--header", "user-group=canary", "--repeat", "3"]);
    assert_eq!(request.out.matches("answered by resnet101").count(), 3, "{request:?}");

    let env = bench.tiny(&["env"]);
    assert!(env.out.contains("export INGRESS_HOST=127.") && env.out.contains("export NO_PROXY="), "{}", env.out);

    let listed = bench.tiny(&["down", "--dry-run"]);
    assert!(listed.out.contains("would remove") && listed.out.contains("state.json"), "{}", listed.out);
    let down = bench.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(down.took < Duration::from_secs(5), "{:?}", down.took);
    assert!(!bench.home().exists(), "{:?}", fs::read_dir(bench.home()).unwrap().flatten().collect::<Vec<_>>());
    let home = bench.home();
    let left: Vec<String> = processes()
        .into_iter()
        .map(|process| process.command)
        .filter(|command| command.contains(home.to_str().unwrap()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Kind, name and uid of the inventory's objects: an object that was made anew has another uid.
fn objects(bench: &Bench) -> Vec<String> {
    let status = bench.json(&["status"]);
    let items = status["inventory"].as_array().unwrap().iter();
    items.map(|item| format!("{} {} {}", item["kind"], item["name"], item["uid"])).collect()
}

#[test]
fn only_the_objects_go_when_the_cluster_is_kept() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "predict"]).code, 0);
    let daemon = bench.daemon();
    let down = bench.tiny(&["down", "--keep-cluster"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(down.out.contains("removed Namespace tf-serving"), "{}", down.out);
    assert_eq!(bench.daemon(), daemon, "the cluster runs on");
    let status = bench.json(&["status"]);
    let left = status["inventory"].as_array().unwrap();
    assert!(
        !left.is_empty() && left.iter().all(|item| item["stage"] == "istio"),
        "the mesh's objects stay: {status:#}"
    );
    let up = bench.tiny(&["up", "--until", "predict"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
}
