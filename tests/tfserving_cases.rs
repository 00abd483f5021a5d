//! Runs files of cases against the model server: request, expected status, expected body.
//!
//! Without arguments it runs the project's own file, `data/serving/cases.jsonl`, and `../shared/cases/tfserving.jsonl`
//! where that is there. `cargo test --test tfserving_cases -- --cases FILE` runs another file of the same form; beside
//! the shared file's fields, a case may have `body_base64` and `expect_base64` where bytes are not UTF-8. The small models that the cases speak to are built here. An answer must be the expected
//! one byte for byte, except where the case itself says that the order of members is not specified, where its body or
//! its answer is abbreviated (`<600x512x3>`, `<1000 floats>`), or where its note says what a real server prints
//! instead; `docs/serving.md` lists those.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a test runner")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod model_server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use canary_lab::savedmodel::proto::DataType;
use canary_lab::serving::json::{Kind, Value, parse};
use serde::Deserialize;

use model_server::{http, models, process::Server};

/// One line of a case file.
#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    method: String,
    path: String,
    body: String,
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    expect_base64: Option<String>,
    model_signature: Option<ModelSignature>,
    expect_status: u16,
    expect_body_or_error: String,
    note: Option<String>,
    basis: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ModelSignature {
    model: String,
    kind: String,
    versions: Vec<i64>,
    labels: BTreeMap<String, i64>,
    signatures: BTreeMap<String, BTreeMap<String, String>>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut file = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cases" => file = arguments.next().map(PathBuf::from),
            // Asked by tools that list tests.
            "--list" => {
                println!("tfserving_cases: test");
                return ExitCode::SUCCESS;
            }
            // Other arguments are for the usual harness.
            _ => {}
        }
    }
    if let Some(file) = file {
        return ExitCode::from(u8::from(!run(&file)));
    }
    let own = run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/serving/cases.jsonl"));
    let recorded = shared().join("cases/tfserving.jsonl");
    let recorded = if recorded.exists() || std::env::var_os("CI").is_some_and(|value| value == "true") {
        run(&recorded)
    } else {
        println!("skipped: {} is missing", recorded.display());
        true
    };
    ExitCode::from(u8::from(!(own && recorded)))
}

fn shared() -> PathBuf {
    std::env::var_os("CANARY_LAB_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

/// Runs a file of cases, prints how many hold, and tells whether all do.
fn run(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else {
        eprintln!("{} is missing", file.display());
        return false;
    };
    let cases: Vec<Case> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    let home = tempfile::tempdir().unwrap();
    let plain = Servers::start(&cases, home.path());
    let mut failed = 0;
    for case in &cases {
        if let Err(reason) = plain.check(case) {
            failed += 1;
            println!("FAILED {}: {reason}", case.id);
        }
    }
    println!("{}: {} passed, {failed} failed", file.display(), cases.len() - failed);
    failed == 0
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Three servers: one as it comes, one with monitoring on, and one whose resnet50 is the beginning and end of the real
/// network instead of an echo.
struct Servers {
    plain: Server,
    monitored: Server,
    network: Server,
}

impl Servers {
    fn start(cases: &[Case], home: &Path) -> Self {
        let mut wanted: Vec<&ModelSignature> = Vec::new();
        for signature in cases.iter().filter_map(|case| case.model_signature.as_ref()) {
            if !wanted.contains(&signature) {
                wanted.push(signature);
            }
        }
        let mut config = String::from("model_config_list {\n");
        for signature in wanted {
            build(signature, &home.join(&signature.model));
            config.push_str(&model_config(signature, &home.join(&signature.model)));
        }
        config.push_str("}\n");
        std::fs::write(home.join("models.config"), config).unwrap();
        let monitoring = "prometheus_config { enable: true, path: \"/monitoring/prometheus/metrics\" }";
        std::fs::write(home.join("monitoring.config"), monitoring).unwrap();
        models::resnet_stem(&home.join("network/resnet50/1"));

        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let path = |name: &str| home.join(name).display().to_string();
        let ports = || vec![flag("port", "-1"), flag("rest_api_port", "-2")];
        let listed = || {
            let models = flag("model_config_file", &path("models.config"));
            [ports(), vec![models, "--allow_version_labels_for_unavailable_models".to_owned()]].concat()
        };
        let network = vec![flag("model_name", "resnet50"), flag("model_base_path", &path("network/resnet50"))];
        Self {
            plain: Server::start(&listed()),
            monitored: Server::start(
                &[listed(), vec![flag("monitoring_config_file", &path("monitoring.config"))]].concat(),
            ),
            network: Server::start(&[ports(), network].concat()),
        }
    }

    fn check(&self, case: &Case) -> Result<(), String> {
        let note = case.note.as_deref().unwrap_or_default();
        let server = if note.starts_with("with prometheus_config") {
            &self.monitored
        } else if case.id.starts_with("run-") {
            &self.network
        } else {
            &self.plain
        };
        let body = case.body_base64.as_deref().map_or_else(|| written_out(&case.body).into_bytes(), decoded);
        let response = http::request(server.rest(), &case.method, &case.path, &body);
        if response.status != case.expect_status {
            return Err(format!("status {} instead of {}: {}", response.status, case.expect_status, response.text()));
        }
        if let Some(expected) = &case.expect_base64 {
            let same = response.body == decoded(expected);
            return if same { Ok(()) } else { Err(format!("answered\n{}", response.text())) };
        }
        let got = response.text();
        let expected = &case.expect_body_or_error;
        let holds = if let Some(part) = expected.strip_prefix("contains '") {
            got.contains(part.trim_end_matches('\''))
        } else if let Some(real) = note.split("real server would print ").nth(1) {
            let values: Vec<&str> = real.trim_end_matches(')').split(',').collect();
            got == format!("{{\n    \"predictions\": [{}\n    ]\n}}", values.join(", "))
        } else {
            let exact = case.basis.starts_with("2.5.1") && !order_is_free(note) && !expected.contains(" floats>");
            got == *expected || (!exact && same_json(expected, &got))
        };
        if holds { Ok(()) } else { Err(format!("answered\n{got}\ninstead of\n{expected}")) }
    }
}

/// Whether the note says that members may come in another order.
fn order_is_free(note: &str) -> bool {
    note.contains("key order") || note.contains("returned per name")
}

/// Writes `<HxWxC …>` out as nested lists.
fn written_out(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((size, behind)) = after.split_once('>') else { break };
        let size = size.split(' ').next().unwrap_or_default();
        let sizes: Option<Vec<usize>> = size.split('x').map(|part| part.parse().ok()).collect();
        let Some(sizes) = sizes.filter(|sizes| sizes.len() == 3) else { break };
        text.push_str(before);
        let pixel = format!("[{}]", vec!["7"; sizes[2]].join(","));
        let row = format!("[{}]", vec![pixel.as_str(); sizes[1]].join(","));
        text.push_str(&format!("[{}]", vec![row.as_str(); sizes[0]].join(",")));
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// Whether two texts are the same value. `<N floats>` as a list's only element stands for N numbers.
fn same_json(expected: &str, got: &str) -> bool {
    let expected = expected.replace("<1000 floats>", "\"<1000 floats>\"");
    match (parse(expected.as_bytes()), parse(got.as_bytes())) {
        (Ok(expected), Ok(got)) => same(expected.root(), got.root()),
        _ => false,
    }
}

fn same(expected: Value<'_>, got: Value<'_>) -> bool {
    match expected.kind() {
        Kind::Array => {
            let expected: Vec<_> = expected.elements().collect();
            let got: Vec<_> = got.elements().collect();
            if let [only] = expected.as_slice()
                && only.bytes() == Some(b"<1000 floats>")
            {
                return got.len() == 1000 && got.iter().all(|value| value.kind() == Kind::Number);
            }
            expected.len() == got.len() && expected.iter().zip(&got).all(|(expected, got)| same(*expected, *got))
        }
        Kind::Object => {
            expected.member_count() == got.member_count()
                && expected.members().all(|(name, value)| {
                    got.members().any(|(other, candidate)| name == other && same(value, candidate))
                })
        }
        Kind::Number => {
            let (Some(expected), Some(got)) = (expected.double(), got.double()) else { return false };
            expected.total_cmp(&got).is_eq() || (expected.is_nan() && got.is_nan())
        }
        Kind::String => expected.bytes() == got.bytes(),
        kind => kind == got.kind(),
    }
}

fn build(signature: &ModelSignature, directory: &Path) {
    let dtype = |name: &String| {
        (1..=23)
            .filter_map(|number| DataType::try_from(number).ok())
            .find(|dtype| dtype.proto_name() == name)
            .unwrap_or_else(|| panic!("{name} is no element type"))
    };
    for version in &signature.versions {
        let directory = directory.join(version.to_string());
        match signature.kind.as_str() {
            "half_plus_two" => models::half_plus_two(&directory),
            "echo" => {
                let typed = |inputs: &BTreeMap<String, String>| {
                    inputs.iter().map(|(name, element)| (name.clone(), dtype(element))).collect()
                };
                let signatures =
                    signature.signatures.iter().map(|(name, inputs)| (name.clone(), typed(inputs))).collect();
                models::echo(&directory, &signatures);
            }
            other => panic!("there is no model of the kind {other}"),
        }
    }
}

fn model_config(signature: &ModelSignature, directory: &Path) -> String {
    let versions: Vec<String> = signature.versions.iter().map(|version| format!("versions: {version}")).collect();
    let labels: Vec<String> = signature
        .labels
        .iter()
        .map(|(label, version)| format!("version_labels {{ key: '{label}' value: {version} }}"))
        .collect();
    format!(
        "config {{ name: '{}' base_path: '{}' model_platform: 'tensorflow' model_version_policy {{ specific {{ {} }} }} {} \
         }}\n",
        signature.model,
        directory.display(),
        versions.join(" "),
        labels.join(" ")
    )
}
