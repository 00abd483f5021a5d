//! Cluster providers: what supplies a kubeconfig, a mesh, a reachable ingress, placed models and a gate for routes.
//!
//! [`Provider`] is everything that may differ between clusters; no stage asks which one it runs on. [`Api`] speaks to
//! any cluster through its kubeconfig: objects are JSON values, and what it applies is interchangeable with
//! `kubectl apply`. Only [`embedded`] knows the box. [`minikube`] and [`context`] drive real clusters and share Istio's
//! installer, the ways in, the keeper of a tunnel and the gate of probes; [`real()`] makes them.

mod api;
mod apply;
mod claim;
pub mod context;
pub mod embedded;
mod exact;
mod exec;
mod gate;
mod ingress;
mod keeper;
mod kubeconfig;
pub mod minikube;
mod provider;
mod real;
mod removal;
mod settings;
mod survey;

pub use api::{Api, ApiError, ObjectRef, Watched};
pub use apply::{Applied, Comparison, Preview};
pub use claim::{ServingImage, claim_of};
pub use context::models_need_claims;
pub use keeper::Keeper;
pub use kubeconfig::ContextError;
pub use provider::{
    ClusterChoice, ClusterError, ClusterPlan, Entrance, Gate, MeshStanding, Provider, RouteVersion, Standing,
};
pub use real::{LabTraits, MeshError, RealChoice, real};
pub use removal::Removal;
pub use settings::{IngressMode, Settings};
pub use survey::Kind;
