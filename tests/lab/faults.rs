//! Things that go wrong behind the lab's back, and the next command that mends them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::bench::{Bench, eventually, finish, kill, project, start};

#[test]
fn what_was_killed_is_mended() {
    let bench = Bench::new();
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);

    // A child of the daemon is the kubelet's matter: a new one takes its place without any command.
    for word in [" gateway", " model-server", " sidecar"] {
        let victim = bench.children(word)[0];
        kill(victim, "-9");
        eventually("a new process takes its place", Duration::from_secs(40), || {
            let now = bench.children(word);
            !now.contains(&victim) && !now.is_empty()
        });
    }
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);

    let daemon = bench.daemon();
    kill(daemon, "-9");
    let verify = bench.tiny(&["verify"]);
    assert_eq!(verify.code, 11, "{}\n{}", verify.out, verify.err);
    assert!(verify.err.contains("CLUSTER_NOT_RUNNING"), "{}", verify.err);
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert_ne!(bench.daemon(), daemon);

    let model = bench.home().join("models/resnet50/1/variables/variables.data-00000-of-00001");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let verify = bench.tiny(&["verify"]);
    assert_eq!(verify.code, 14, "{}\n{}", verify.out, verify.err);
    assert!(verify.err.contains("MODEL_DAMAGED") && verify.err.contains("variables.data"), "{}", verify.err);
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert_eq!(fs::read(&model).unwrap(), bytes, "built again, byte for byte");

    fs::write(bench.home().join("work/service.yaml"), "mine").unwrap();
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert_eq!(fs::read_to_string(bench.home().join("work/service.yaml.yours")).unwrap(), "mine");
    fs::remove_file(bench.home().join("work/service.yaml.yours")).unwrap();
}

#[test]
fn an_interrupted_run_goes_on() {
    let bench = Bench::new();
    let child = start(bench.tiny_command(&["up"]));
    let events = bench.home().join("runs/0001/events.jsonl");
    eventually("the namespace stage begins", Duration::from_mins(1), || {
        fs::read_to_string(&events).is_ok_and(|text| text.contains("\"stage\":\"namespace\""))
    });
    kill(child.id(), "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("INTERRUPTED"));
    let up = bench.json(&["up"]);
    let outcomes: Vec<&str> =
        up["stages"].as_array().unwrap().iter().map(|stage| stage["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.len(), 13, "{up:#}");
    assert_eq!(outcomes[..5], ["satisfied"; 5], "what held was not done again: {up:#}");
}

/// Run by the test below in a network namespace of its own, where it holds a port on all addresses.
#[test]
#[ignore = "only the test below runs it"]
fn inside_a_network_namespace() {
    let _listener = std::net::TcpListener::bind("0.0.0.0:8501").unwrap();
    let lab = project().join("lab/tiny");
    let mut command = Command::new(env!("CARGO_BIN_EXE_canary-lab"));
    command.args(["--lab", lab.to_str().unwrap(), "up"]);
    let ended = finish(command);
    println!("code {}\n{}", ended.code, ended.err);
}

#[test]
fn a_wildcard_listener_is_named_before_anything_starts() {
    let bench = Bench::new();
    let script = format!(
        "ip link set lo up && exec '{}' --exact faults::inside_a_network_namespace --ignored --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let mut command = Command::new("unshare");
    command.args(["-rn", "sh", "-c", &script]).env("CANARY_LAB_HOME", bench.home()).env("HOME", bench.directory());
    let Ok(output) = command.output() else {
        println!("skipped: no unshare here");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !out.contains("code ") {
        println!("skipped: no network namespaces here: {err}");
        return;
    }
    assert!(out.contains("code 10") && out.contains("PORT_HELD_BY_WILDCARD"), "{out}{err}");
    assert!(out.contains("port 8501") && out.contains("(process "), "the holder is named: {out}");
    assert!(!bench.home().join("cluster").exists());
}
