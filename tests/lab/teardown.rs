//! Away without a trace: whatever happened before, and even when it is cut off itself.

use std::fs;
use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, finish, kill, kill_quietly, processes_of, project, start};
use super::kubernetes::Cluster;

/// Nothing of the lab is left on this machine.
fn assert_gone(bench: &Bench, what: &str) {
    assert_eq!(processes_of(&bench.home()), [0_u32; 0], "{what}: processes are left");
    let left: Vec<_> = fs::read_dir(bench.home()).into_iter().flatten().flatten().collect();
    assert!(!bench.home().exists(), "{what}: {left:?} is left");
}

#[test]
fn a_teardown_that_is_killed_is_finished_by_the_next() {
    let bench = Bench::new();
    let all = std::env::var("CANARY_LAB_CRASH_POINTS").is_ok_and(|which| which == "all");
    let until = ["up", "--until", "resnet50"];
    let up = bench.tiny(&until);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let undisturbed = bench.tiny(&["down", "--purge"]);
    assert_eq!(undisturbed.code, 0, "{undisturbed:?}");
    assert_gone(&bench, "undisturbed");
    let points: u32 = if all { 40 } else { 3 };
    for point in 1..=points {
        let up = bench.tiny(&until);
        assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
        let mut down = start(bench.tiny_command(&["down", "--purge"]));
        std::thread::sleep(undisturbed.took * point / (points + 1));
        kill_quietly(down.id());
        down.wait().unwrap();
        if point % 2 == 0 {
            // What is left half-way is also a place to start from.
            let up = bench.tiny(&until);
            assert_eq!(up.code, 0, "up after a killed down, point {point}: {}\n{}", up.out, up.err);
        }
        let down = bench.tiny(&["down", "--purge"]);
        assert_eq!(down.code, 0, "point {point}: {down:?}");
        assert_gone(&bench, &format!("point {point}"));
    }
}

/// A process that was started as a child of the home's cluster, and that hears of no daemon's end.
fn orphan(bench: &Bench) -> std::process::Child {
    let socket = bench.home().join("cluster/mesh.sock");
    std::process::Command::new("sleep").arg("600").env("CANARY_LAB_MESH_SOCKET", socket).spawn().unwrap()
}

#[test]
fn what_outlived_its_daemon_goes_too() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "namespace"]).code, 0);
    let mut first = orphan(&bench);
    kill(bench.daemon(), "-9");
    let listed = bench.tiny(&["down", "--dry-run"]);
    assert!(listed.out.contains(&format!("process {}\n", first.id())), "{}", listed.out);
    let up = bench.tiny(&["up", "--until", "namespace"]);
    assert_eq!(up.code, 0, "an orphan is in nobody's way: {}\n{}", up.out, up.err);
    assert!(!processes_of(&bench.home()).contains(&first.id()));
    first.wait().unwrap();

    let mut second = orphan(&bench);
    kill(bench.daemon(), "-9");
    let down = bench.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_gone(&bench, "after a kill");
    second.wait().unwrap();
    let status = bench.json(&["status"]);
    assert!(status["stages"].as_array().unwrap().iter().all(|stage| stage["standing"] == "not-begun"));
    let listed = bench.tiny(&["ls"]);
    assert!(!listed.out.contains(bench.home().to_str().unwrap()), "{}", listed.out);
}

#[test]
fn what_others_have_made_or_changed_is_left_or_copied() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "subsets"]).code, 0);
    let cluster = Cluster::of(&bench);
    let service = ("v1", "Service", Some("tf-serving"), "image-classifier");
    cluster.patch(service, r#"{"metadata": {"labels": {"mine": "yes"}}}"#);
    let mine = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": "tf-serving"}, "data": {"a": "b"}});
    cluster.create(&mine);

    let listed = bench.tiny(&["down", "--keep-cluster", "--dry-run"]);
    let down = bench.tiny(&["down", "--keep-cluster"]);
    assert_eq!(down.code, 0, "{down:?}");
    for out in [&listed.out, &down.out] {
        assert!(out.contains("Service tf-serving/image-classifier (changed since in metadata.labels.mine)"), "{out}");
        assert!(out.contains("Namespace tf-serving (it holds ConfigMap tf-serving/mine"), "{out}");
        assert!(out.contains("Deployment tf-serving/image-classifier-resnet50\n"), "{out}");
    }
    assert!(cluster.get(service).is_some() && cluster.get(("v1", "ConfigMap", Some("tf-serving"), "mine")).is_some());
    assert!(cluster.get(("apps/v1", "Deployment", Some("tf-serving"), "image-classifier-resnet50")).is_none());

    let up = bench.tiny(&["up", "--until", "ingress"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let down = bench.tiny(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
    let copies: Vec<_> = fs::read_dir(bench.home().join("yours")).unwrap().flatten().collect();
    let text = fs::read_to_string(copies[0].path()).unwrap();
    assert!(text.contains("name: mine") && text.contains("a: b"), "{text}");
    assert!(down.out.contains("copies of objects that were not the lab's"), "{}", down.out);

    assert_eq!(bench.tiny(&["up", "--until", "namespace"]).code, 0);
    Cluster::of(&bench).create(&mine);
    let down = bench.tiny(&["down", "--keep-cluster", "--force"]);
    assert!(down.code == 0 && down.out.contains("removed Namespace tf-serving"), "{down:?}");
    fs::remove_dir_all(bench.home().join("yours")).unwrap();
}

#[test]
fn evidence_is_packed_before_anything_goes() {
    let bench = Bench::new();
    let lab = bench.directory().join("mine");
    assert_eq!(bench.run(&["export", lab.to_str().unwrap()]).code, 0);
    let manifest = lab.join("manifests/deployment-resnet50.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("tensorflow/serving:2.5.1", "example.com/nothing:1")).unwrap();
    let tiny = fs::read_to_string(project().join("lab/tiny/lab.yaml")).unwrap();
    fs::create_dir_all(lab.join("lab/tiny")).unwrap();
    fs::write(lab.join("lab/tiny/lab.yaml"), tiny).unwrap();
    let lab = lab.join("lab/tiny");
    let mine = |args: &[&str]| finish(bench.command(&[&["--lab", lab.to_str().unwrap()], args].concat()));
    let up = mine(&["up"]);
    assert_eq!(up.code, 21, "{}\n{}", up.out, up.err);
    assert!(up.err.contains("IMAGE_UNKNOWN") && up.err.contains("canary-lab diagnose"), "{}", up.err);

    let kubeconfig = fs::read_to_string(bench.home().join("kubeconfig")).unwrap();
    let token = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().trim_matches('"');
    let path = bench.directory().join("bundle.tar.gz");
    let diagnose = mine(&["diagnose", "-o", path.to_str().unwrap()]);
    assert_eq!(diagnose.code, 0, "{diagnose:?}");
    assert_eq!(diagnose.out.trim(), path.to_str().unwrap());
    let files = unpacked(&path);
    for wanted in [
        "index.json",
        "state.json",
        "versions.txt",
        "checks.json",
        "home.txt",
        "cluster/facts.json",
        "cluster/events.txt",
        "cluster/objects/deployments.apps.json",
        "cluster/objects/secrets.json",
        "runs/0001/events.jsonl",
        "logs/daemon.log",
        "work/service.yaml",
    ] {
        assert!(files.contains_key(wanted), "{wanted} is not among {:?}", files.keys());
    }
    assert!(files.keys().any(|name| name.starts_with("logs/pods/")), "{:?}", files.keys());
    assert!(files["cluster/events.txt"].contains("example.com/nothing:1"), "{}", files["cluster/events.txt"]);
    assert!(files["cluster/objects/secrets.json"].contains("struck out"));
    for (name, text) in &files {
        assert!(!text.contains(token) && !text.contains("PRIVATE KEY"), "{name} gives a secret away");
    }
    assert!(fs::metadata(&path).unwrap().len() < 4 << 20);

    let down = mine(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
    let kept: Vec<_> = fs::read_dir(bench.home().join("diagnostics")).unwrap().flatten().collect();
    assert!(down.err.contains(kept[0].file_name().to_str().unwrap()), "{}", down.err);
    let files = unpacked(&kept[0].path());
    assert!(
        files["cluster/objects/pods.json"].contains("ImagePullBackOff")
            || files["cluster/objects/pods.json"].contains("ErrImagePull")
    );
    // It outlives a purge of the failed lab, too, and goes with the next one.
    let up = mine(&["up"]);
    assert_eq!(up.code, 21, "{}\n{}", up.out, up.err);
    let down = mine(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    let kept: Vec<_> = fs::read_dir(bench.home().join("diagnostics")).unwrap().flatten().collect();
    assert!(kept.len() == 1 && down.out.contains(kept[0].file_name().to_str().unwrap()), "{kept:?} {}", down.out);
    let down = mine(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_gone(&bench, "purged again");
}

fn unpacked(path: &std::path::Path) -> std::collections::BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let file = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().strip_prefix("canary-lab-diagnostics").unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, String::from_utf8_lossy(&bytes).into_owned())
    };
    archive.entries().unwrap().map(file).collect()
}

#[test]
fn a_lost_state_is_no_reason_to_leave_something() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "namespace"]).code, 0);
    fs::write(bench.home().join("state.json"), "{\"format\":\"canary-lab st").unwrap();
    let down = bench.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(processes_of(&bench.home()), [0_u32; 0]);
    let left: Vec<_> = fs::read_dir(bench.home()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.len() == 1 && left[0].to_str().unwrap().starts_with("state.json.aside-"), "{left:?}");
    assert!(down.out.contains("state.json.aside-"), "what is left is named: {}", down.out);
    fs::remove_file(bench.home().join(&left[0])).unwrap();
}

#[test]
fn without_records_the_labs_objects_are_named_and_go_only_by_force() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "ingress"]).code, 0);
    fs::remove_file(bench.home().join("state.json")).unwrap();
    let service = ("v1", "Service", Some("tf-serving"), "image-classifier");
    let cluster = Cluster::of(&bench);
    let down = bench.tiny(&["down", "--keep-cluster"]);
    assert_eq!(down.code, 0, "{down:?}");
    for label in
        ["Service tf-serving/image-classifier", "Namespace tf-serving", "VirtualService tf-serving/image-classifier"]
    {
        assert!(down.out.contains(&format!("kept {label} (the lab's records do not know")), "{}", down.out);
    }
    assert!(cluster.get(service).is_some());
    let down = bench.tiny(&["down", "--keep-cluster", "--force"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(down.out.contains("removed Service tf-serving/image-classifier\n"), "{}", down.out);
    assert!(down.out.trim_end().lines().any(|line| line.ends_with("removed Namespace tf-serving")), "{}", down.out);
    assert!(cluster.get(service).is_none() && cluster.get(("v1", "Namespace", None, "tf-serving")).is_none());
    // The records that such a teardown leaves say again which lab it is.
    let down = bench.run(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_gone(&bench, "without records");
}

#[test]
fn status_tells_whether_the_cluster_runs() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "cluster"]).code, 0);
    let running = |bench: &Bench| -> Value { bench.json(&["status"])["running"].clone() };
    assert_eq!(running(&bench), true);
    kill(bench.daemon(), "-9");
    super::bench::eventually("the daemon is gone", Duration::from_secs(10), || running(&bench) == false);
    let status = bench.tiny(&["status"]);
    assert!(status.out.contains("does not run"), "{}", status.out);
}
