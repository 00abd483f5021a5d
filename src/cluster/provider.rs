//! What a cluster must supply.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::api::{Api, ApiError};
use crate::ui::Progress;

/// What `--cluster` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterChoice {
    /// The best that this machine offers.
    Auto,
    /// The lab's own cluster.
    Embedded,
    /// A minikube profile.
    Minikube,
    /// A context of the kubeconfig.
    Context(String),
}

impl std::str::FromStr for ClusterChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "embedded" => Ok(Self::Embedded),
            "minikube" => Ok(Self::Minikube),
            _ => match text.strip_prefix("context:") {
                Some(name) if !name.is_empty() => Ok(Self::Context(name.to_owned())),
                _ => Err("expected `auto`, `embedded`, `minikube` or `context:NAME`".to_owned()),
            },
        }
    }
}

/// Whether a cluster runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// It runs and answers.
    Runs {
        /// Where its API is, such as `127.77.0.2:6443`.
        api: String,
    },
    /// It does not run, or not as this program needs it; the text says why it must be started.
    Down(String),
}

/// How much of a mesh is there.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct MeshStanding {
    /// Its objects, as they are.
    pub objects: Vec<Value>,
    /// Objects that are missing, by label.
    pub missing: Vec<String>,
    /// Objects that somebody changed: label and fields.
    pub changed: Vec<String>,
}

impl MeshStanding {
    /// Whether the mesh is whole and as it was installed.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty()
    }
}

/// A route object and the version of it that must be live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteVersion {
    /// The kind.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// metadata.resourceVersion as the API answered.
    pub resource_version: String,
}

/// How it is known that a route is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// Which means told so, for the report.
    pub by: String,
    /// What was seen.
    pub seen: String,
}

/// Why a cluster did not do what it was asked for.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// Its process ended, or did not become ready.
    #[error("{what}")]
    NotStarted {
        /// What happened.
        what: String,
        /// The last lines that it wrote.
        log: Vec<String>,
        /// Where it writes.
        log_file: PathBuf,
    },
    /// No block of addresses is free.
    #[error("{0}")]
    AddressesTaken(String),
    /// Somebody listens on all addresses at a port that the cluster needs.
    #[error("{0}")]
    PortHeld(String),
    /// It does not run.
    #[error("{0}")]
    NotRunning(String),
    /// The gateway did not take over a route in time.
    #[error("after {waited:.1?} the gateway still has version {seen}, and is to have {wanted}")]
    RouteNotLive {
        /// The version that the gateway has, or none.
        seen: String,
        /// What is waited for.
        wanted: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// Its API refused something.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A cluster that the lab can run on.
pub trait Provider: Send + Sync {
    /// Its short name, as `--cluster` and the state know it.
    fn name(&self) -> &'static str;

    /// The kubeconfig to use, and to hand to the learner's tools.
    fn kubeconfig(&self) -> &Path;

    /// Where it keeps what helps to understand a failure.
    fn logs(&self) -> PathBuf;

    /// Whether it runs.
    fn probe(&self) -> BoxFuture<'_, Result<Standing, ClusterError>>;

    /// Starts it, or mends what does not run, and waits until its API answers.
    fn start<'a>(&'a self, progress: &'a Progress) -> BoxFuture<'a, Result<(), ClusterError>>;

    /// Stops it and waits until its processes are gone, those too that an earlier run left behind; what could not be
    /// ended is named.
    fn stop(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>>;

    /// What the output calls its mesh, such as `Istio 1.12.7 semantics (embedded mesh)`.
    fn mesh_name(&self, release: &str) -> String;

    /// What is there of the mesh, what is missing, and what was changed.
    fn probe_mesh<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<MeshStanding, ClusterError>>;

    /// Takes the mesh away again, as far as the lab installed it, and waits until it is gone; returns what was removed,
    /// by label.
    fn remove_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>>;

    /// Installs what is missing, mends what was changed, and returns the objects that it made.
    fn install_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>>;

    /// Whether something gives the ingress service its external address.
    fn probe_tunnel(&self) -> BoxFuture<'_, Result<bool, ClusterError>>;

    /// Starts or stops it.
    fn set_tunnel(&self, running: bool) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// The directory that pods mount models from, as the node sees it.
    fn models_on_node(&self) -> PathBuf;

    /// Waits until the gateway routes by these versions.
    fn routes_live<'a>(
        &'a self,
        routes: &'a [RouteVersion],
        patience: Duration,
    ) -> BoxFuture<'a, Result<Gate, ClusterError>>;

    /// What it tells of itself, for a person who looks for a fault: addresses, processes, what proxies have acknowledged.
    fn facts(&self) -> BoxFuture<'_, Value>;

    /// The processes that it runs, as far as they are on this machine.
    fn processes(&self) -> BoxFuture<'_, Result<Vec<u32>, ClusterError>>;

    /// Addresses, or ranges of them, that clients must not reach through a proxy.
    fn direct_addresses(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>>;
}
