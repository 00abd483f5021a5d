//! Back to a stage: the lab is then as a run up to that stage leaves it.
//!
//! `CANARY_LAB_RESET_PAIRS=all cargo test --test lab reset` goes from every stage to every earlier one, 78 pairs.

use std::collections::BTreeMap;
use std::fs;

use super::bench::Bench;
use super::kubernetes::Cluster;
use super::likeness::Likeness;

/// Goes up one stage after the other and looks at each.
fn references(bench: &Bench, stages: &[&str]) -> BTreeMap<String, Likeness> {
    let look = |stage: &&str| {
        let up = bench.tiny(&["up", "--until", stage]);
        assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
        ((*stage).to_owned(), Likeness::of(bench, false))
    };
    stages.iter().map(look).collect()
}

fn reset_and_compare(bench: &Bench, to: &str, wanted: &Likeness) -> Result<(), String> {
    let reset = bench.tiny(&["reset", "--to", to]);
    if reset.code != 0 {
        return Err(format!("reset --to {to} ended with {}\n{}\n{}", reset.code, reset.out, reset.err));
    }
    let differences = wanted.differences(&Likeness::of(bench, false));
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

#[test]
fn a_reset_leaves_what_a_run_up_to_there_leaves() {
    let bench = Bench::new();
    if std::env::var("CANARY_LAB_RESET_PAIRS").is_ok_and(|which| which == "all") {
        return every_pair(&bench);
    }
    let before = references(&bench, &["models", "predict", "canary-0", "by-header"]);
    // From ahead, and then from behind: the end is the same.
    for to in ["canary-0", "predict", "models", "predict"] {
        reset_and_compare(&bench, to, &before[to]).unwrap_or_else(|difference| panic!("to {to}: {difference}"));
    }
}

fn every_pair(bench: &Bench) {
    let status = bench.json(&["status"]);
    let stages: Vec<&str> =
        status["stages"].as_array().unwrap().iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    let before = references(bench, &stages);
    let (mut pairs, mut failed) = (0, Vec::new());
    for (position, from) in stages.iter().enumerate().rev() {
        for to in &stages[..position] {
            let up = bench.tiny(&["up", "--until", from]);
            assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
            pairs += 1;
            if let Err(difference) = reset_and_compare(bench, to, &before[*to]) {
                println!("{from} -> {to}: {difference}");
                failed.push(format!("{from} -> {to}"));
            }
        }
    }
    println!("{} of {pairs} pairs end as a run up to the stage does", pairs - failed.len());
    assert!(failed.is_empty() && pairs == 78, "{failed:?}");
}

#[test]
fn what_was_changed_by_hand_is_brought_back_exactly() {
    let bench = Bench::new();
    let before = references(&bench, &["split-70-30"]);
    let cluster = Cluster::of(&bench);
    let service = ("networking.istio.io/v1alpha3", "VirtualService", Some("tf-serving"), "image-classifier");
    cluster.patch(service, r#"{"metadata": {"labels": {"mine": "yes"}}, "spec": {"http": [{"route": [{"destination": {"host": "image-classifier", "subset": "resnet101"}}]}]}}"#);
    cluster.delete(("v1", "ConfigMap", Some("tf-serving"), "resnet50-configs"));
    let work = bench.home().join("work/service.yaml");
    fs::write(&work, "mine").unwrap();
    let reset = bench.tiny(&["reset", "--to", "split-70-30"]);
    assert_eq!(reset.code, 0, "{}\n{}", reset.out, reset.err);
    let kept = bench.home().join("work/service.yaml.yours");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "mine", "what a person wrote is kept");
    fs::remove_file(kept).unwrap();
    assert_eq!(before["split-70-30"].differences(&Likeness::of(&bench, false)), [""; 0]);

    // Nothing of a person goes with a namespace unless it is said.
    cluster.create(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": "tf-serving"}}));
    let refused = bench.tiny(&["reset", "--keep-cluster"]);
    assert_eq!(refused.code, 30, "{}\n{}", refused.out, refused.err);
    assert!(refused.err.contains("NOT_OURS") && refused.err.contains("ConfigMap tf-serving/mine"), "{}", refused.err);
    assert_eq!(bench.tiny(&["verify"]).code, 0, "nothing was touched");
    let listed = bench.tiny(&["reset", "--keep-cluster", "--dry-run"]);
    assert!(listed.out.contains("would delete Namespace tf-serving"), "{}", listed.out);
    let reset = bench.tiny(&["reset", "--keep-cluster", "--force"]);
    assert_eq!(reset.code, 0, "{}\n{}", reset.out, reset.err);
    let status = bench.json(&["status"]);
    let standing: Vec<&str> =
        status["stages"].as_array().unwrap().iter().map(|stage| stage["standing"].as_str().unwrap()).collect();
    assert_eq!(standing, [&["proven"; 5][..], &["not-begun"; 8]].concat());

    let start = bench.tiny(&["reset"]);
    assert_eq!(start.code, 0, "{}\n{}", start.out, start.err);
    let mut left: Vec<String> =
        fs::read_dir(bench.home()).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["cache", "models", "runs"], "{}", start.out);
}
