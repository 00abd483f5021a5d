//! What the checks look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use tokio::sync::OnceCell;

use crate::cluster::{Api, ClusterPlan, Provider};
use crate::doctor::matrix::Matrix;
use crate::tools::{Call, Tool, ToolError, Trace, find, minikube};
use crate::ui::Environment;

/// How long a program may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kind of cluster that a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The lab's own.
    Embedded,
    /// A minikube profile.
    Minikube,
    /// A cluster that the kubeconfig reaches.
    Context,
}

impl Target {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Embedded, Self::Minikube, Self::Context];

    /// The kind of a provider's cluster, by the provider's name.
    pub fn of_provider(name: &str) -> Self {
        match name {
            "embedded" => Self::Embedded,
            "minikube" => Self::Minikube,
            _ => Self::Context,
        }
    }

    /// As `--cluster` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Minikube => "minikube",
            Self::Context => "context",
        }
    }
}

/// What a check needs to know of the lab.
#[derive(Debug, Clone, Default)]
pub struct LabFacts {
    /// The models' namespace.
    pub namespace: String,
    /// Namespace and name of the ingress service.
    pub ingress: (String, String),
    /// The models.
    pub models: Vec<ModelFacts>,
}

/// A model of the lab.
#[derive(Debug, Clone)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// The folder that holds its versions.
    pub folder: PathBuf,
}

/// The machine and the cluster, with what was learned of them on the way.
pub struct Subject<'a> {
    /// The lab's home.
    pub home: &'a Path,
    /// The environment variables.
    pub environment: &'a Environment,
    /// Which kind of cluster the lab is to run on.
    pub target: Target,
    /// The Kubernetes that is wanted, such as `v1.24.3`.
    pub kubernetes: String,
    /// The Istio that is wanted, such as `1.12.7`.
    pub istio: String,
    /// minikube's driver, if one was asked for.
    pub driver: Option<String>,
    /// Whether requests are to enter through a load balancer's address.
    pub tunnel: bool,
    /// Whether minikube is told to take a version that it calls too old.
    pub force: bool,
    /// What runs already and is used as it is; else the cluster has to be started.
    pub stands: Option<String>,
    /// Processes of the lab's own cluster.
    pub own_pids: Vec<u32>,
    /// Where commands are shown.
    pub trace: Trace,
    /// What is known of the lab.
    pub lab: LabFacts,
    /// The lab's cluster, if there is one.
    pub provider: Option<&'a dyn Provider>,
    api: OnceCell<Result<Arc<Api>, String>>,
    minikube: OnceCell<Option<(PathBuf, Option<Version>)>>,
    matrix: Option<Matrix>,
}

impl<'a> Subject<'a> {
    /// A machine on which a lab is to stand, with the versions of the tutorial.
    pub fn new(home: &'a Path, environment: &'a Environment, target: Target) -> Self {
        let matrix = Matrix::embedded().ok();
        let version =
            |pick: fn(&Matrix) -> &Version| matrix.as_ref().map(|matrix| pick(matrix).to_string()).unwrap_or_default();
        Self {
            home,
            environment,
            target,
            kubernetes: format!("v{}", version(|matrix| &matrix.lab.kubernetes)),
            istio: version(|matrix| &matrix.lab.istio),
            driver: None,
            tunnel: true,
            force: false,
            stands: None,
            own_pids: Vec::new(),
            trace: Trace::default(),
            lab: LabFacts::default(),
            provider: None,
            api: OnceCell::new(),
            minikube: OnceCell::new(),
            matrix,
        }
    }

    /// Takes over what the cluster is going to be started with, or what stands already.
    pub fn expect(&mut self, plan: &ClusterPlan) {
        if let Some(version) = &plan.kubernetes {
            self.kubernetes.clone_from(version);
        }
        self.driver.clone_from(&plan.driver);
        self.tunnel = plan.tunnel;
        self.force = plan.force;
        self.stands.clone_from(&plan.stands);
    }

    /// That the cluster need not be started, where it need not.
    pub(super) fn runs_already(&self) -> Option<String> {
        self.stands.as_ref().map(|what| format!("{what} runs Kubernetes {} already", self.kubernetes))
    }

    /// The version matrix; a test holds it valid.
    pub(super) fn matrix(&self) -> Option<&Matrix> {
        self.matrix.as_ref()
    }

    /// A program that is on PATH.
    pub(super) fn tool(&self, name: &str) -> Option<Tool> {
        find(name, self.environment).map(|program| Tool::new(program, self.environment, self.trace.clone()))
    }

    /// Runs a program for what it says of itself.
    pub(super) async fn ask(&self, tool: &Tool, args: &[&str]) -> Result<crate::tools::Ran, ToolError> {
        tool.run(Call::new(args, PATIENCE)).await
    }

    /// The minikube that the lab would use, and its version where it tells one.
    pub(super) async fn minikube(&self) -> Option<(PathBuf, Option<Version>)> {
        let found = self.minikube.get_or_init(|| async {
            let own = pinned_minikube(self.home);
            let program = if own.is_file() { Some(own) } else { find("minikube", self.environment) }?;
            let tool = Tool::new(&program, self.environment, self.trace.clone());
            let version = self.ask(&tool, &["version"]).await.ok().and_then(|ran| minikube::version(&ran));
            Some((program, version))
        });
        found.await.clone()
    }

    /// A client of the lab's cluster.
    pub(super) async fn api(&self) -> Result<Arc<Api>, String> {
        let api = self.api.get_or_init(|| async {
            let provider = self.provider.ok_or("there is no cluster of this lab yet")?;
            if !provider.kubeconfig().is_file() {
                return Err("there is no cluster of this lab yet".to_owned());
            }
            Api::connect(provider.kubeconfig()).await.map(Arc::new).map_err(|error| error.to_string())
        });
        api.await.clone()
    }
}

/// Where `doctor --fix minikube` puts its minikube.
pub fn pinned_minikube(home: &Path) -> PathBuf {
    home.join("cache").join("bin").join("minikube")
}
