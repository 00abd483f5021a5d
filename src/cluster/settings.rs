//! What was asked of a cluster that is not the lab's own, and what the lab made there: kept beside the cluster's files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::state::{Home, write_atomically};

/// The version of the file.
const VERSION: u32 = 1;

/// How requests enter a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IngressMode {
    /// The address of the ingress service's load balancer where there is one, else its node port, else a port-forward.
    #[default]
    Auto,
    /// The address that a load balancer, or `minikube tunnel`, gives the ingress service.
    LoadBalancer,
    /// The port that every node has for the ingress service.
    NodePort,
    /// A port of this machine, forwarded by kubectl through the cluster's API.
    PortForward,
}

impl std::str::FromStr for IngressMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "load-balancer" => Ok(Self::LoadBalancer),
            "node-port" => Ok(Self::NodePort),
            "port-forward" => Ok(Self::PortForward),
            _ => Err("expected `load-balancer`, `node-port`, `port-forward` or `auto`".to_owned()),
        }
    }
}

/// What was asked, and what was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    version: u32,
    /// The provider that was chosen, `minikube` or `context`, from before anything of it stands.
    pub provider: Option<String>,
    /// The context of the kubeconfig that the lab stands on.
    pub context: Option<String>,
    /// The Kubernetes that minikube is to start, such as `v1.24.3`.
    pub kubernetes: Option<String>,
    /// minikube's driver.
    pub driver: Option<String>,
    /// How many seconds `minikube start` may take, where it is not the usual time.
    pub start_within: Option<u64>,
    /// Whether minikube is told `--force`.
    pub force: bool,
    /// A mirror of Istio's releases.
    pub istio_url: Option<String>,
    /// A folder of downloaded files that several labs share.
    pub downloads: Option<PathBuf>,
    /// `--set` values for istioctl.
    pub istio_set: Vec<String>,
    /// How requests enter.
    pub ingress: IngressMode,
    /// The lab's namespace, where it is not the lab's own choice.
    pub namespace: Option<String>,
    /// The host name that the routes are for, where it is not every name.
    pub ingress_host: Option<String>,
    /// The model server's image.
    pub serving_image: Option<String>,
    /// The Secret that the image is pulled with.
    pub pull_secret: Option<String>,
    /// Replicas by model.
    pub replicas: BTreeMap<String, u32>,
    /// Resources by model, each by its path below `resources`, such as `requests.cpu`.
    pub resources: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the models lie on the node, where that is not where they lie here.
    pub models_on_node: Option<PathBuf>,
    /// Whether the models lie in PersistentVolumeClaims, because no disk of a node can be reached.
    pub models_claim: bool,
    /// The kubeconfig that the context was taken from.
    pub kubeconfig: Option<PathBuf>,
    /// The minikube profile that is used.
    pub profile: Option<String>,
    /// The profile that the lab made, or was about to make.
    pub made_profile: Option<String>,
    /// Whether the lab installed Istio, or was about to.
    pub made_mesh: bool,
    /// What was different about an Istio that was there before.
    pub mesh_differs: Option<String>,
}

impl Settings {
    /// The settings of a home; those of a home without any are empty.
    pub fn load(home: &Home) -> io::Result<Self> {
        match std::fs::read(file(home)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            // A home below a file is no home either; whoever prepares it says so.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            Err(error) => Err(error),
        }
    }

    /// What was asked for, without what was found or made since: for a lab whose cluster has gone.
    #[must_use]
    pub fn as_asked(&self) -> Self {
        Self { profile: None, made_profile: None, made_mesh: false, mesh_differs: None, ..self.clone() }
    }

    /// Whether a cluster has left anything in the home but these settings.
    pub fn has_company(home: &Home) -> bool {
        let entries = std::fs::read_dir(home.cluster()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path != file(home))
    }

    /// Keeps them.
    pub fn save(&self, home: &Home) -> io::Result<()> {
        let path = file(home);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let whole = Self { version: VERSION, ..self.clone() };
        write_atomically(&path, &serde_json::to_vec_pretty(&whole)?)
    }
}

fn file(home: &Home) -> PathBuf {
    home.cluster().join("provider.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_a_foreign_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        assert_eq!(Settings::load(&home).unwrap(), Settings::default());
        let settings = Settings { ingress: IngressMode::NodePort, made_mesh: true, ..Settings::default() };
        settings.save(&home).unwrap();
        let loaded = Settings::load(&home).unwrap();
        assert_eq!((loaded.ingress, loaded.made_mesh, loaded.version), (IngressMode::NodePort, true, VERSION));
        assert!(!Settings::has_company(&home));
        std::fs::write(home.cluster().join("tunnel.log"), "").unwrap();
        assert!(Settings::has_company(&home));
        let asked = loaded.as_asked();
        assert_eq!((asked.ingress, asked.made_mesh), (IngressMode::NodePort, false));
        std::fs::write(file(&home), r#"{"version":1,"anything":1}"#).unwrap();
        assert!(Settings::load(&home).is_err());
    }
}
