//! What a cluster must supply.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::api::{Api, ApiError, ObjectRef};
use super::kubeconfig::ContextError;
use super::minikube::MinikubeError;
use super::real::MeshError;
use crate::tools::{Call, Tool, ToolError};
use crate::traffic::Ingress;
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

/// Whether requests can enter a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Entrance {
    /// They can, as far as anything of the cluster says.
    Open,
    /// They cannot; the text says why.
    Shut(String),
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

/// What a cluster is going to be started with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterPlan {
    /// The Kubernetes version, where it is not the lab's own choice.
    pub kubernetes: Option<String>,
    /// minikube's driver.
    pub driver: Option<String>,
    /// Whether requests are going to enter through a tunnel.
    pub tunnel: bool,
    /// Whether versions that minikube calls too old are forced upon it.
    pub force: bool,
    /// What runs already and is going to be used as it is, so that nothing has to be started.
    pub stands: Option<String>,
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
    /// Another program did not do what it was asked.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The context cannot be taken over.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// minikube gave up.
    #[error(transparent)]
    Minikube(Box<MinikubeError>),
    /// minikube did not come to an end.
    #[error("`minikube start` did not end within {} s and was stopped", limit.as_secs())]
    StartHung {
        /// The profile.
        profile: String,
        /// How long was waited.
        limit: Duration,
        /// The last lines that it wrote.
        last: Vec<String>,
    },
    /// A minikube profile that is not the lab's is in the way.
    #[error("{0}")]
    ProfileUnfit(String),
    /// The profile is paused.
    #[error("profile `{0}` is paused")]
    ProfilePaused(String),
    /// The node of the profile has no disk left.
    #[error("profile `{0}` is out of disk")]
    ProfileFull(String),
    /// Istio was not installed.
    #[error(transparent)]
    Mesh(Box<MeshError>),
    /// The way in that was asked for does not exist.
    #[error("{0}")]
    IngressUnfit(String),
    /// The tunnel or port-forward does not stay up.
    #[error("the way in does not stay open")]
    TunnelEnded {
        /// Its last words.
        log: Vec<String>,
        /// Where all of them are.
        file: PathBuf,
    },
    /// The tunnel would ask for a password, and nobody could answer.
    #[error("`minikube tunnel` is going to ask for a password")]
    PasswordNeeded,
    /// The kubeconfig's user may not do what the lab needs.
    #[error("the kubeconfig's user lacks {} permissions", .0.len())]
    PermissionMissing(Vec<String>),
    /// A namespace that was deleted is still there.
    #[error("namespace {0} is still being deleted")]
    NamespaceStuck(String),
    /// It is not known where models can be put.
    #[error("{0}")]
    NodeUnknown(String),
    /// A model could not be put where pods mount it.
    #[error("model {model} was not placed")]
    NotPlaced {
        /// The model.
        model: String,
        /// What the program said that should have done it.
        said: Vec<String>,
    },
    /// Something of the lab's home could not be read or written.
    #[error("{0}")]
    NotKept(String),
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

    /// Whether something gives the ingress service its external address, and requests to it get through.
    fn probe_tunnel(&self) -> BoxFuture<'_, Result<Entrance, ClusterError>>;

    /// Whether that address is the work of the lab's own tunnel, which runs, so that both go together.
    fn holds_address(&self) -> bool {
        self.is_the_labs()
    }

    /// Starts or stops it. One that runs and through which nothing gets is started anew.
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

    /// What it is going to be started with, or what stands already, for the checks before.
    fn plan(&self) -> BoxFuture<'_, ClusterPlan> {
        Box::pin(std::future::ready(ClusterPlan::default()))
    }

    /// Whether the cluster is the lab's own in every part, so that its version is the lab's and nothing else lives there.
    fn is_the_labs(&self) -> bool {
        true
    }

    /// Whether the mesh is one that the lab installed, which [`Provider::remove_mesh`] takes away.
    fn made_mesh(&self) -> bool {
        self.is_the_labs()
    }

    /// Whether [`Provider::stop`] takes the cluster away with everything in it; else the lab's objects go one by one.
    fn stop_removes_everything(&self) -> bool {
        self.is_the_labs()
    }

    /// Where requests enter, for a cluster that knows another way than the ingress service's external address.
    fn ingress<'a>(&'a self, _api: &'a Api) -> BoxFuture<'a, Result<Option<Ingress>, ClusterError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The command that a person can run as tunnel on a terminal, because it may ask for a password.
    fn tunnel_on_terminal(&self) -> Option<(Tool, Call)> {
        None
    }

    /// The last words of what keeps the way in open.
    fn tunnel_words(&self) -> Vec<String> {
        Vec::new()
    }

    /// Puts a model's folder where pods mount it; returns objects that had to be made for it.
    fn place_model<'a>(
        &'a self,
        _api: &'a Api,
        _name: &'a str,
        _folder: &'a Path,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// What differs between a model's folder here and the place that pods mount; nothing when it is placed. A cluster
    /// whose node is this machine mounts the folder itself.
    fn probe_model<'a>(
        &'a self,
        _api: &'a Api,
        _name: &'a str,
        _folder: &'a Path,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The object that a model lies in for pods, where that is not a folder of the node.
    fn model_object(&self, _name: &str) -> Option<ObjectRef> {
        None
    }

    /// Takes away what a run that was cut off left behind while it placed models; returns it by label.
    fn sweep<'a>(&'a self, _api: &'a Api) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// What the kubeconfig's user may not do and the lab has to, in words; nothing where the cluster is the lab's own.
    fn missing_permissions<'a>(&'a self, _api: &'a Api) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
