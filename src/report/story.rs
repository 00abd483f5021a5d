//! What the records and the evidence of a home say, put in order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::lab::{Lab, StageSpec};
use crate::models::network::Network;
use crate::models::synthetic::Calibration;
use crate::state::{Home, StageStanding, State};
use crate::steps::picture_file;
use crate::traffic::rules;

/// A whole lab, told. Serialized it is the JSON report, version 1.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// The version of the format: 1.
    pub version: u32,
    /// The lab's id.
    pub lab: String,
    /// Its heading.
    pub title: String,
    /// When the report was made.
    pub made_at: Timestamp,
    /// Where and with what.
    pub environment: Environment,
    /// Every stage, in order.
    pub stages: Vec<Told>,
    /// The file of the picture that predictions ask about: a JPEG or PNG.
    #[serde(skip)]
    pub picture: Vec<u8>,
}

/// Where and with what a lab ran.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// This program's version.
    pub program: String,
    /// The cluster's provider, such as `embedded`.
    pub provider: Option<String>,
    /// Operating system and processor.
    pub machine: String,
    /// Processors that may be used.
    pub processors: usize,
    /// What was used, by name: Kubernetes, the mesh, the models with their digests.
    pub versions: Vec<Version>,
    /// How traffic was judged: the rules in force, by name.
    pub rules: BTreeMap<&'static str, String>,
}

/// One thing and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// What.
    pub what: String,
    /// Which.
    pub version: String,
}

/// One stage.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it is about.
    pub about: String,
    /// What a person types for it.
    pub commands: Vec<String>,
    /// What is to be seen.
    pub expect: String,
    /// `proven`, `failed`, `begun` or `not-begun`.
    pub standing: &'static str,
    /// What was shown, a line each.
    pub summary: Vec<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// In which run.
    pub run: Option<u32>,
    /// How long it took when it was worked on last, in milliseconds.
    pub took_ms: Option<u64>,
    /// Samples of traffic.
    pub divisions: Vec<Division>,
    /// The prediction.
    pub prediction: Option<Prediction>,
    /// The failure, as it was told.
    pub failure: Option<Value>,
    /// The evidence file, relative to the home.
    pub evidence_file: Option<String>,
    /// Its contents.
    pub evidence: Value,
}

/// One judged sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Division {
    /// Headers of each request, as `name: value`.
    pub headers: Vec<String>,
    /// `pass`, or what the evidence says.
    pub verdict: String,
    /// How many answers there were.
    pub size: u64,
    /// The versions: name, answers, wanted share, interval of the measured one (all shares 0..=1), and p.
    pub parts: Vec<Part>,
    /// Whether every answer had to come from one version.
    pub exact: bool,
    /// Where no stray came: the largest share of strays that the sample leaves possible.
    pub stray_bound: Option<f64>,
}

/// One version's part of a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The version.
    pub name: String,
    /// Its answers.
    pub hits: u64,
    /// The measured share.
    pub share: f64,
    /// The wanted share.
    pub wanted: f64,
    /// The 95 % interval.
    pub interval: (f64, f64),
    /// The exact two-sided p-value.
    pub p: f64,
}

/// One prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Who answered.
    pub answered_by: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where it was sent.
    pub url: String,
    /// The likeliest classes: number, name where one is known, probability 0..=1.
    pub classes: Vec<(u64, Option<String>, f64)>,
    /// What must be said beside the classes' names.
    pub caution: Option<&'static str>,
}

impl Story {
    /// Reads what the home has kept. Evidence that is gone is left out.
    pub fn gather(lab: &Lab, home: &Home, state: &State, now: Timestamp) -> Self {
        let stages: Vec<Told> = lab.spec.stages.iter().map(|stage| told(stage, home, state)).collect();
        let environment = Environment {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            provider: state.provider.clone(),
            machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            versions: versions(&stages),
            rules: rules::table().into_iter().map(|row| (row.rule, row.value)).collect(),
        };
        Self {
            version: 1,
            lab: lab.spec.name.clone(),
            title: lab.spec.title.clone(),
            made_at: now,
            environment,
            stages,
            picture: picture_file(home),
        }
    }

    /// How many stages are proven.
    pub fn proven(&self) -> usize {
        self.stages.iter().filter(|stage| stage.standing == "proven").count()
    }

    /// How long all stages took, in milliseconds.
    pub fn took_ms(&self) -> u64 {
        self.stages.iter().filter_map(|stage| stage.took_ms).sum()
    }
}

fn told(stage: &StageSpec, home: &Home, state: &State) -> Told {
    let record = state.stages.get(&stage.id);
    let evidence_file = record.and_then(|record| record.evidence.clone());
    let bytes = evidence_file.as_ref().and_then(|file| std::fs::read(home.root().join(file)).ok());
    let evidence: Value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let steps = evidence["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let seen = |kind: &'static str| steps.iter().filter(move |step| step["kind"] == kind).map(|step| &step["seen"]);
    Told {
        id: stage.id.clone(),
        title: stage.title.clone(),
        about: stage.about.clone(),
        commands: stage.commands.clone(),
        expect: stage.expect.clone(),
        standing: match record.map(|record| record.standing) {
            Some(StageStanding::Proven) => "proven",
            Some(StageStanding::Failed) => "failed",
            Some(StageStanding::Begun) => "begun",
            None => "not-begun",
        },
        summary: record.map(|record| record.summary.lines().map(str::to_owned).collect()).unwrap_or_default(),
        at: record.map(|record| record.at),
        run: record.map(|record| record.run),
        took_ms: record.and_then(|record| record.took_ms.or_else(|| evidence["took_ms"].as_u64())),
        divisions: seen("traffic").filter_map(division).collect(),
        prediction: seen("predict").find_map(prediction),
        failure: Some(evidence["failure"].clone()).filter(Value::is_object),
        evidence_file,
        evidence: evidence.clone(),
    }
}

fn division(seen: &Value) -> Option<Division> {
    let figures = seen["figures"].as_array()?;
    let number = |value: &Value| value.as_f64();
    let parts: Option<Vec<Part>> = figures
        .iter()
        .map(|figures| {
            Some(Part {
                name: figures["version"].as_str()?.to_owned(),
                hits: figures["hits"].as_u64()?,
                share: number(&figures["share"])?,
                wanted: number(&figures["wanted"])?,
                interval: (number(&figures["interval"][0])?, number(&figures["interval"][1])?),
                p: number(&figures["p"])?,
            })
        })
        .collect();
    let mut parts = parts?;
    parts.sort_by(|a, b| b.wanted.total_cmp(&a.wanted).then(a.name.cmp(&b.name)));
    let headers = seen["headers"].as_object().into_iter().flatten();
    Some(Division {
        headers: headers.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())).collect(),
        verdict: seen["verdict"].as_str().unwrap_or_default().to_owned(),
        size: figures.first()?["size"].as_u64()?,
        exact: parts.iter().any(|part| part.wanted >= 1.0),
        stray_bound: figures.iter().find_map(|figures| number(&figures["stray_bound"])),
        parts,
    })
}

fn prediction(seen: &Value) -> Option<Prediction> {
    Some(Prediction {
        answered_by: seen["answered_by"].as_str()?.to_owned(),
        seconds: seen["seconds"].as_f64()?,
        url: seen["url"].as_str()?.to_owned(),
        classes: crate::walk::proof::classes_of(seen)
            .into_iter()
            .map(|class| (class.number, class.label, class.probability))
            .collect(),
        caution: crate::walk::proof::caution(seen),
    })
}

/// What the evidence names: Kubernetes, the mesh, the models' weights.
fn versions(stages: &[Told]) -> Vec<Version> {
    let mut versions = Vec::new();
    for step in stages.iter().flat_map(|stage| stage.evidence["steps"].as_array().into_iter().flatten()) {
        let seen = &step["seen"];
        let version = match step["kind"].as_str().unwrap_or_default() {
            "cluster" => seen["version"].as_str().map(|version| ("Kubernetes".to_owned(), version.to_owned())),
            "mesh" => seen["mesh"].as_str().map(|mesh| ("mesh".to_owned(), mesh.to_owned())),
            "model" => seen["model"].as_str().map(|model| (format!("model {model}"), weights(seen))),
            _ => None,
        };
        versions.extend(version.map(|(what, version)| Version { what, version }));
    }
    versions
}

/// `synthetic weights, seed 7, 25,636,712 parameters, sha256 1f0a…`.
fn weights(seen: &Value) -> String {
    let record = &seen["record"];
    let mut text = format!("{} weights", seen["source"].as_str().unwrap_or("unknown"));
    let network = Network::ALL.into_iter().find(|network| record["network"] == network.id());
    let calibration = network.filter(|_| seen["source"] == "synthetic").map(Calibration::embedded);
    if let Some(Ok(calibration)) = calibration {
        text.push_str(&format!(", seed {}", calibration.bias_seed));
    }
    if let Some(parameters) = record["parameters"].as_u64() {
        text.push_str(&format!(", {} parameters", crate::ui::thousands(parameters)));
    }
    let files = record["files"].as_array().into_iter().flatten();
    let data = files.filter(|file| file["name"].as_str().is_some_and(|name| name.contains(".data-")));
    for file in data {
        text.push_str(&format!(", sha256 {}", file["sha256"].as_str().unwrap_or_default()));
    }
    text
}
