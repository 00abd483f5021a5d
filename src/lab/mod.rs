//! A lab as data: the schema of `lab.yaml`, its strict loader, and the lab that is embedded in the binary.
//!
//! A lab names models, an ingress, a request and stages; a stage is a list of steps of the kinds that [`StepSpec`]
//! names, with their parameters. Nothing unknown is accepted: a misspelt key is an error that names file, line and the
//! nearest key that exists ([`LabError`]). Manifests lie beside the lab and have one variable, `${MODELS}`; an
//! [`Adaptation`] puts a lab into another namespace, or gives it another image or more replicas.

mod adapt;
mod builtin;
mod error;
mod guide;
mod loading;
mod manifest;
mod schema;

pub use adapt::Adaptation;
pub use builtin::{Source, builtin_files};
pub use error::LabError;
pub use guide::{Guide, Onward, Question, StageGuide};
pub use loading::Lab;
pub use manifest::{Manifest, ManifestKey};
pub use schema::{
    Apply, ClusterSpec, IngressSpec, LabSpec, MeshSpec, ModelSpec, ModelStep, NamespaceSpec, Picture, Predict,
    RequestSpec, Rollout, StageSpec, StepSpec, Traffic,
};
