//! The schema of `lab.yaml`, version 1.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A whole lab.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabSpec {
    /// The version of the schema: 1.
    pub version: u32,
    /// The lab's id.
    pub name: String,
    /// A heading.
    pub title: String,
    /// The folder of the manifests, relative to the lab's file.
    pub manifests: String,
    /// The folder of the model catalogue, relative to the lab's file; without it the one that the program carries.
    #[serde(default)]
    pub catalogue: Option<String>,
    /// The file of the guide's texts, relative to the lab's file.
    #[serde(default)]
    pub guide: Option<String>,
    /// The models by name; a name is also the version that answers are told apart by.
    pub models: BTreeMap<String, ModelSpec>,
    /// Where requests enter.
    pub ingress: IngressSpec,
    /// What is asked.
    pub request: RequestSpec,
    /// What is done, in order.
    pub stages: Vec<StageSpec>,
}

/// A model of the lab.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The entry of the model catalogue that it is built from.
    pub network: String,
}

/// The service whose external address requests are sent to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The name of the port.
    pub port: String,
}

/// What is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// The path of a prediction.
    pub path: String,
    /// The picture of a first prediction and of the work folder's request body.
    pub picture: Picture,
    /// The picture that traffic is sampled with.
    pub sample_picture: Picture,
}

/// A picture that the lab ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Picture {
    /// The portrait of Grace Hopper, 512 wide and 600 high.
    Portrait,
    /// A small one, so that hundreds of requests take seconds.
    Small,
}

/// One stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// The id that state, reports and `--until` use.
    pub id: String,
    /// A heading of at most twenty columns.
    pub title: String,
    /// What the stage is about, for a person.
    pub about: String,
    /// What a learner types for it, in the work folder.
    #[serde(default)]
    pub commands: Vec<String>,
    /// What is to be seen afterwards.
    pub expect: String,
    /// Seconds that the stage usually takes.
    #[serde(default)]
    pub typical_seconds: Option<f64>,
    /// What is done.
    pub steps: Vec<StepSpec>,
}

/// One step; in the file a mapping with the kind as its only key.
#[derive(Debug, Clone)]
pub enum StepSpec {
    /// Looks at this machine.
    Preflight,
    /// The cluster runs.
    Cluster(ClusterSpec),
    /// The tutorial's files lie in the work folder.
    WorkFolder,
    /// The mesh is installed.
    Mesh(MeshSpec),
    /// The ingress service has an external address.
    Tunnel,
    /// A model is built and placed.
    Model(ModelStep),
    /// A namespace exists, with labels.
    Namespace(NamespaceSpec),
    /// The object of a manifest is as the manifest says.
    Apply(Apply),
    /// A Deployment is ready.
    Rollout(Rollout),
    /// The gateway routes as the objects that were applied so far say.
    RoutesLive,
    /// One prediction, compared with what the SavedModel says.
    Predict(Predict),
    /// Many requests, judged by who answers.
    Traffic(Traffic),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepInFile {
    Preflight(Nothing),
    Cluster(ClusterSpec),
    WorkFolder(Nothing),
    Mesh(MeshSpec),
    Tunnel(Nothing),
    Model(ModelStep),
    Namespace(NamespaceSpec),
    Apply(Apply),
    Rollout(Rollout),
    RoutesLive(Nothing),
    Predict(Predict),
    Traffic(Traffic),
}

/// `{}`: a step without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<'de> Deserialize<'de> for StepSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_yaml::with::singleton_map::deserialize(deserializer)? {
            StepInFile::Preflight(Nothing {}) => Self::Preflight,
            StepInFile::Cluster(spec) => Self::Cluster(spec),
            StepInFile::WorkFolder(Nothing {}) => Self::WorkFolder,
            StepInFile::Mesh(spec) => Self::Mesh(spec),
            StepInFile::Tunnel(Nothing {}) => Self::Tunnel,
            StepInFile::Model(spec) => Self::Model(spec),
            StepInFile::Namespace(spec) => Self::Namespace(spec),
            StepInFile::Apply(spec) => Self::Apply(spec),
            StepInFile::Rollout(spec) => Self::Rollout(spec),
            StepInFile::RoutesLive(Nothing {}) => Self::RoutesLive,
            StepInFile::Predict(spec) => Self::Predict(spec),
            StepInFile::Traffic(spec) => Self::Traffic(spec),
        })
    }
}

/// Which cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// The version that the API server must report, such as `v1.24.3`.
    pub kubernetes: String,
}

/// Which mesh.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshSpec {
    /// The release, such as `1.12.7`.
    pub istio: String,
}

/// Which model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelStep {
    /// A name of [`LabSpec::models`].
    pub name: String,
}

/// Which namespace.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSpec {
    /// Its name.
    pub name: String,
    /// Labels that it must carry; others stay.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Which manifest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// A file of the manifests' folder.
    pub manifest: String,
}

/// Which Deployment, and what its pods must look like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub deployment: String,
    /// Containers of each pod, the sidecar included.
    #[serde(default)]
    pub containers: Option<usize>,
    /// How long it may take.
    #[serde(default = "a_minute", deserialize_with = "length_of_time")]
    pub within: Duration,
}

/// One prediction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predict {
    /// The model that must answer while the routes are this stage's.
    pub answered_by: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Many requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// How many.
    pub requests: u64,
    /// Headers of each.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Percent of the answers by model; the numbers add up to 100.
    pub shares: BTreeMap<String, u32>,
}

fn a_minute() -> Duration {
    Duration::from_mins(1)
}

/// `90s` or `2m`.
fn length_of_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => number.parse().ok().map(Duration::from_secs),
        Some((number, "m")) => number.parse().ok().map(Duration::from_mins),
        _ => None,
    };
    parsed.ok_or_else(|| de::Error::custom(format!("`{text}` is no length of time; write it like `90s` or `2m`")))
}
