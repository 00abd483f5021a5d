//! One file a step kind: how it looks at the world, changes it and judges it.
//!
//! A step that changes something has a probe and an apply: [`probe`] looks and changes nothing, [`apply`] changes what
//! is needed, and the probe's second look is the proof. A step that only judges (a rollout, a prediction, a sample of
//! traffic) answers [`Probe::Judge`], and [`judge`] gives the verdict. The engine in [`mod@crate::run`] calls them; steps know
//! nothing of order, records or screens. The second look makes every step safe to repeat.

mod asking;
mod choices;
mod cluster;
mod hints;
mod manifest;
mod mesh;
mod model;
mod namespace;
mod picture;
mod place;
mod predict;
mod preflight;
mod rollout;
mod routes;
mod settle;
mod traffic;
mod tunnel;
mod undo;
mod work_folder;
mod world;

use serde_json::Value;

use crate::doctor::{Failure, Reason};
use crate::lab::StepSpec;

pub use asking::Asking;
pub use choices::{Choices, PictureChoice};
pub use hints::{facts, hints, look, prediction, with_cause};
pub use model::{Placed, place as place_model, weights_of};
pub use picture::{choose as choose_picture, file_of as picture_file, of as picture_of};
pub use undo::{GONE_WITHIN, Undo, Undone};
pub use work_folder::unchanged as unchanged_work_files;
pub use world::{IngressAddress, Memory, World, ingress_of};

/// What a look at the world found.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// For the stage's line; none when it goes without saying.
    pub text: Option<String>,
    /// For the evidence.
    pub facts: Value,
    /// Objects of the cluster that the step vouches for.
    pub objects: Vec<Value>,
    /// What a person should know although nothing failed.
    pub warnings: Vec<Failure>,
}

impl Seen {
    fn new(text: impl Into<String>, facts: Value) -> Self {
        Self { text: Some(text.into()), facts, ..Self::default() }
    }

    fn quiet(facts: Value) -> Self {
        Self { facts, ..Self::default() }
    }

    fn with_objects(mut self, objects: Vec<Value>) -> Self {
        self.objects = objects;
        self
    }
}

/// The result of a probe.
#[derive(Debug)]
#[must_use]
pub enum Probe {
    /// It is so already.
    Satisfied(Seen),
    /// It is not; told as the failure that this is when nothing may be changed.
    Needed(Failure),
    /// There is nothing to change, only to judge.
    Judge,
}

/// What an apply changed.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Change {
    /// For the stage's line, in place of what the probe then sees.
    pub text: Option<String>,
    /// Objects that were not there before, as the API answered.
    pub created: Vec<Value>,
    /// Files that were replaced, with the place where the old one is kept.
    pub kept_files: Vec<(String, String)>,
}

/// Looks whether the step is true already.
pub async fn probe(step: &StepSpec, world: &World<'_>) -> Result<Probe, Failure> {
    match step {
        StepSpec::Cluster(spec) => cluster::probe(spec, world).await,
        StepSpec::WorkFolder => work_folder::probe(world),
        StepSpec::Mesh(spec) => mesh::probe(spec, world).await,
        StepSpec::Tunnel => tunnel::probe(world).await,
        StepSpec::Model(spec) => place::probe(spec, world).await,
        StepSpec::Namespace(spec) => namespace::probe(spec, world).await,
        StepSpec::Apply(spec) => manifest::probe(spec, world).await,
        StepSpec::Preflight
        | StepSpec::Rollout(_)
        | StepSpec::RoutesLive
        | StepSpec::Predict(_)
        | StepSpec::Traffic(_) => Ok(Probe::Judge),
    }
}

/// Makes the step true.
pub async fn apply(step: &StepSpec, world: &World<'_>) -> Result<Change, Failure> {
    match step {
        StepSpec::Cluster(_) => cluster::apply(world).await,
        StepSpec::WorkFolder => work_folder::apply(world),
        StepSpec::Mesh(_) => mesh::apply(world).await,
        StepSpec::Tunnel => tunnel::apply(world).await,
        StepSpec::Model(spec) => place::apply(spec, world).await,
        StepSpec::Namespace(spec) => namespace::apply(spec, world).await,
        StepSpec::Apply(spec) => manifest::apply(spec, world).await,
        StepSpec::Rollout(spec) => rollout::apply(spec, world).await,
        StepSpec::Preflight | StepSpec::RoutesLive | StepSpec::Predict(_) | StepSpec::Traffic(_) => {
            Ok(Change::default())
        }
    }
}

/// The objects that [`apply`] is going to make, by label: those whose absence the probe's failure tells of.
pub async fn about_to_make(step: &StepSpec, missing: &Failure, world: &World<'_>) -> Result<Vec<String>, Failure> {
    Ok(match step {
        StepSpec::Apply(apply) if missing.reason == Reason::ObjectMissing => {
            world.lab.manifests.get(&apply.manifest).map(|manifest| manifest.key.label()).into_iter().collect()
        }
        StepSpec::Namespace(spec) if missing.reason == Reason::ObjectMissing => {
            vec![format!("Namespace {}", spec.name)]
        }
        // What is missing of the mesh is named one by one.
        StepSpec::Mesh(_) if missing.reason == Reason::MeshNotReady => missing.observed.clone(),
        StepSpec::Model(spec) => place::about_to_make(spec, world).await?,
        _ => Vec::new(),
    })
}

/// Gives the verdict of a step that only judges; the others are judged by their probe.
pub async fn judge(step: &StepSpec, world: &World<'_>) -> Result<Seen, Failure> {
    match step {
        StepSpec::Preflight => preflight::judge(world).await,
        StepSpec::Rollout(spec) => rollout::judge(spec, world).await,
        StepSpec::RoutesLive => routes::judge(world).await,
        StepSpec::Predict(spec) => predict::judge(spec, world).await,
        StepSpec::Traffic(spec) => traffic::judge(spec, world).await,
        StepSpec::Cluster(_)
        | StepSpec::WorkFolder
        | StepSpec::Mesh(_)
        | StepSpec::Tunnel
        | StepSpec::Model(_)
        | StepSpec::Namespace(_)
        | StepSpec::Apply(_) => match probe(step, world).await? {
            Probe::Satisfied(seen) => Ok(seen),
            Probe::Needed(failure) => Err(failure),
            Probe::Judge => Ok(Seen::default()),
        },
    }
}

/// Whether what a judging step found can be mended by its [`apply`]: pods that were made before their namespace asked for
/// sidecars get none later, and have to be made anew.
pub fn can_mend(step: &StepSpec, found: &Failure) -> bool {
    matches!(step, StepSpec::Rollout(_)) && found.reason == Reason::SidecarMissing
}

/// Waits until the gateway routes by everything that stages up to the one of `world` have applied.
pub async fn await_routes(world: &World<'_>) -> Result<(), Failure> {
    routes::judge(world).await.map(drop)
}

/// Whether a step changes nothing, and only judges what others made.
pub fn only_judges(step: &StepSpec) -> bool {
    matches!(
        step,
        StepSpec::Preflight | StepSpec::Rollout(_) | StepSpec::RoutesLive | StepSpec::Predict(_) | StepSpec::Traffic(_)
    )
}

/// The kind of a step, as events and evidence name it.
pub fn kind(step: &StepSpec) -> &'static str {
    match step {
        StepSpec::Preflight => "preflight",
        StepSpec::Cluster(_) => "cluster",
        StepSpec::WorkFolder => "work_folder",
        StepSpec::Mesh(_) => "mesh",
        StepSpec::Tunnel => "tunnel",
        StepSpec::Model(_) => "model",
        StepSpec::Namespace(_) => "namespace",
        StepSpec::Apply(_) => "apply",
        StepSpec::Rollout(_) => "rollout",
        StepSpec::RoutesLive => "routes_live",
        StepSpec::Predict(_) => "predict",
        StepSpec::Traffic(_) => "traffic",
    }
}

/// What a step works on, for the live line: `Deployment tf-serving/x`.
pub fn subject(step: &StepSpec, world: &World<'_>) -> String {
    match step {
        StepSpec::Preflight => "checks of this machine".to_owned(),
        StepSpec::Cluster(_) => format!("the {} cluster", world.provider.name()),
        StepSpec::WorkFolder => "the work folder".to_owned(),
        StepSpec::Mesh(spec) => format!("Istio {}", spec.istio),
        StepSpec::Tunnel => "the tunnel".to_owned(),
        StepSpec::Model(spec) => format!("model {}", spec.name),
        StepSpec::Namespace(spec) => format!("Namespace {}", spec.name),
        StepSpec::Apply(spec) => spec.manifest.clone(),
        StepSpec::Rollout(spec) => format!("Deployment {}/{}", spec.namespace, spec.deployment),
        StepSpec::RoutesLive => "the gateway's routes".to_owned(),
        StepSpec::Predict(_) => "a prediction".to_owned(),
        StepSpec::Traffic(spec) => format!("{} requests", spec.requests),
    }
}
