//! Cluster providers: what supplies a kubeconfig, a mesh, a reachable ingress, placed models and a gate for routes.
//!
//! [`Provider`] is everything that may differ between clusters; no stage asks which one it runs on. [`Api`] speaks to
//! any cluster through its kubeconfig: objects are JSON values, and what it applies is interchangeable with
//! `kubectl apply`. Only [`embedded`] knows the box.

mod api;
mod apply;
pub mod embedded;
mod exact;
mod provider;
mod removal;
mod survey;

pub use api::{Api, ApiError, ObjectRef, Watched};
pub use apply::{Applied, Comparison, Preview};
pub use provider::{ClusterChoice, ClusterError, Gate, MeshStanding, Provider, RouteVersion, Standing};
pub use removal::Removal;
pub use survey::Kind;
