//! The mesh of the embedded cluster: what Istio 1.12.7's control plane does, as a task of the daemon.
//!
//! While the `istiod` pod runs, [`Mesh`] watches the registry, waits for quiet, compiles the route tables of every gateway that is
//! connected and pushes them; a proxy's acknowledgement is what the engine's gate asks for ([`MeshStatus`]). [`MeshAdmission`]
//! stands where the webhooks stand: it injects sidecars and judges Istio's objects. [`install_objects`] is what an installation
//! leaves behind.

mod admission;
mod discovery;
mod injection;
mod install;
mod root_certificate;
mod session;
mod status;

pub use admission::MeshAdmission;
pub use discovery::Mesh;
pub use install::{InstallDataError, install_objects};
pub use status::{MeshStatus, ProxyStatus};

/// Where the control plane lives.
const ISTIO_NAMESPACE: &str = "istio-system";

#[cfg(test)]
mod tests;
