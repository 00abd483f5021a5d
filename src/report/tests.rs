use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::story::{Division, Environment, Part, Prediction, Story, Told};
use super::{html, junit, markdown};

fn stage(id: &str, standing: &'static str, summary: &[&str]) -> Told {
    Told {
        id: id.to_owned(),
        title: id.to_uppercase(),
        about: "What it is about.".to_owned(),
        commands: vec!["kubectl get ns".to_owned()],
        expect: "something".to_owned(),
        standing,
        summary: summary.iter().map(|line| (*line).to_owned()).collect(),
        at: None,
        run: None,
        took_ms: Some(1500),
        divisions: Vec::new(),
        prediction: None,
        failure: None,
        evidence_file: None,
        evidence: Value::Null,
    }
}

/// A lab with a stage of each kind, and with words that would break out of a page.
fn story() -> Story {
    let mut proven = stage(
        "split",
        "proven",
        &["by `--weights pretrained`, a lone ` stays", "! <script>alert(1)</script>", "(an aside)"],
    );
    proven.divisions = vec![Division {
        headers: vec!["user-group: \"a\" & b".to_owned()],
        verdict: "pass".to_owned(),
        size: 300,
        parts: vec![Part {
            name: "resnet50".to_owned(),
            hits: 208,
            share: 0.693,
            wanted: 0.7,
            interval: (0.638, 0.745),
            p: 0.8,
        }],
        exact: false,
        stray_bound: None,
    }];
    proven.prediction = Some(Prediction {
        answered_by: "resnet50".to_owned(),
        seconds: 0.9,
        url: "http://127.64.0.1/v1/models/x:predict".to_owned(),
        classes: vec![(347, Some("bison <wild>".to_owned()), 0.1172), (90, None, 0.0586)],
        caution: None,
    });
    let mut failed = stage("serve", "failed", &["it did not start"]);
    failed.failure = Some(json!({"reason": "IMAGE_UNKNOWN", "observed": ["no image \"x\""], "cause": "a typo"}));
    Story {
        version: 1,
        lab: "a&b".to_owned(),
        title: "A <lab>".to_owned(),
        made_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        environment: Environment {
            program: "0.1.0".to_owned(),
            provider: Some("embedded".to_owned()),
            machine: "linux".to_owned(),
            processors: 2,
            versions: Vec::new(),
            rules: BTreeMap::new(),
        },
        stages: vec![proven, failed, stage("later", "not-begun", &[])],
        picture: b"\x89PNG and more".to_vec(),
    }
}

#[test]
fn the_page_stands_alone_and_nothing_breaks_out_of_it() {
    let page = html(&story());
    for outside in ["<script", "<link", "src=\"http", "url(", "@import", "<wild>", "<lab>"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for wanted in [
        "<li>by <code>--weights pretrained</code>, a lone ` stays</li>",
        "<li class=\"warning\">&lt;script&gt;alert(1)&lt;/script&gt;</li>",
        "<li class=\"aside\">(an aside)</li>",
        "<th title=\"347 bison &lt;wild&gt;\"><span>347 bison &lt;wild&gt;</span></th><td class=\"meter\"><span style=\"width:100.0%\">",
        "<span>class 90</span></th><td class=\"meter\"><span style=\"width:50.0%\"></span></td><td>5.86 %</td>",
        "data:image/png;base64,",
        "user-group: &quot;a&quot; &amp; b",
        "<svg class=\"chart\"",
        "IMAGE_UNKNOWN",
        "Not begun.",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
}

#[test]
fn junit_counts_what_failed_and_what_was_not_reached() {
    let xml = junit(&story());
    for wanted in [
        "tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"4.500\"",
        "<failure type=\"IMAGE_UNKNOWN\" message=\"it did not start\">no image &quot;x&quot;\na typo</failure>",
        "<skipped message=\"not-begun\"/>",
        "classname=\"a&amp;b\" name=\"split\" time=\"1.500\"",
    ] {
        assert!(xml.contains(wanted), "{wanted}\n{xml}");
    }
}

#[test]
fn markdown_has_a_row_a_stage_and_a_row_a_version() {
    let text = markdown(&story());
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.iter().any(|row| row.contains("SERVE") && row.contains("it did not start")), "{text}");
    assert!(rows.iter().any(|row| row.contains("208 of 300") && row.contains("63.8–74.5 %")), "{text}");
}
