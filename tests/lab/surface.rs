//! What the command line says and how it ends, without a cluster.

use std::fs;

use super::bench::{Bench, project};

#[test]
fn help_teaches_and_mistakes_are_usage() {
    let bench = Bench::new();
    let help = bench.run(&["help", "up"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("--until predict"), "{}", help.out);
    let typo = bench.run(&["statsu"]);
    assert_eq!(typo.code, 2);
    assert!(typo.err.contains("status"), "{}", typo.err);
    assert!(!help.out.contains("sidecar"), "processes of the cluster are no commands for a person");
}

#[test]
fn a_stage_that_is_not_there_names_the_nearest() {
    let bench = Bench::new();
    let ended = bench.run(&["up", "--until", "predikt"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("STAGE_UNKNOWN") && ended.err.contains("did you mean `predict`"), "{}", ended.err);
    assert!(!bench.home().exists(), "nothing was begun");
}

#[test]
fn options_for_another_cluster_are_refused_before_anything_begins() {
    let bench = Bench::new();
    for args in [
        &["up", "--cluster", "embedded", "--kubernetes-version", "v1.20.2"][..],
        &["up", "--cluster", "embedded", "--ingress", "node-port"],
        &["up", "--cluster", "embedded", "--set", "values.telemetry.enabled=false"],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("CLUSTER_OPTION_UNFIT"), "{}", ended.err);
        assert!(!bench.home().exists(), "nothing was begun");
    }
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    let bench = Bench::new();
    let text = fs::read_to_string(project().join("lab/tiny/lab.yaml")).unwrap();
    let line = text.lines().position(|line| line.contains("typical_seconds")).unwrap() + 1;
    let lab = bench.directory().join("lab");
    fs::create_dir(&lab).unwrap();
    fs::write(lab.join("lab.yaml"), text.replacen("typical_seconds", "tipical_seconds", 1)).unwrap();
    let ended = bench.run(&["--lab", lab.to_str().unwrap(), "up"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.err.contains(&format!("lab.yaml:{line}: unknown key `tipical_seconds`; did you mean `typical_seconds`?")),
        "{}",
        ended.err
    );
}

#[test]
fn an_exported_lab_loads_and_is_not_overwritten() {
    let bench = Bench::new();
    let to = bench.directory().join("mine");
    assert_eq!(bench.run(&["export", to.to_str().unwrap()]).code, 0);
    let lab = to.join("lab/tensorflow-canary");
    let status = bench.run(&["--lab", lab.to_str().unwrap(), "status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let manifest = to.join("manifests/service.yaml");
    fs::write(&manifest, "changed").unwrap();
    let again = bench.run(&["export", to.to_str().unwrap()]);
    assert!(again.err.contains("kept"), "{again:?}");
    assert_eq!(fs::read_to_string(manifest).unwrap(), "changed");
}

#[test]
fn status_of_nothing_is_thirteen_stages_not_begun() {
    let bench = Bench::new();
    let status = bench.json(&["status"]);
    let stages = status["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 13);
    assert!(stages.iter().all(|stage| stage["standing"] == "not-begun"), "{status}");
    assert!(!bench.home().exists(), "looking creates nothing");
    let verify = bench.tiny(&["verify"]);
    assert_eq!(verify.code, 11, "{verify:?}");
}

#[test]
fn a_picture_becomes_a_request_and_rubbish_does_not() {
    let bench = Bench::new();
    let ended = bench.run(&["payload", "small"]);
    let body: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(body["instances"][0][0][0].as_array().unwrap().len(), 3);
    let rubbish = bench.directory().join("rubbish.jpg");
    fs::write(&rubbish, "no picture").unwrap();
    let ended = bench.run(&["payload", rubbish.to_str().unwrap()]);
    assert_eq!(ended.code, 14, "{ended:?}");
    assert!(ended.err.contains("PICTURE_UNREADABLE"), "{}", ended.err);
}

#[test]
fn no_colour_reaches_a_pipe() {
    let bench = Bench::new();
    let ended = bench.run(&["status"]);
    assert!(!ended.out.contains('\x1b') && !ended.err.contains('\x1b'));
}
