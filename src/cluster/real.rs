//! What minikube and other real clusters share: Istio by its own installer, the ways in, the gate.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::api::{Api, ApiError, ObjectRef};
use super::claim::ServingImage;
use super::context::Context;
use super::gate::consistent_probes;
use super::ingress::{self, WayIn};
use super::keeper::Keeper;
use super::minikube::Minikube;
use super::provider::{ClusterError, Entrance, Gate, MeshStanding, Provider, Standing};
use super::removal::Removal;
use super::settings::{IngressMode, Settings};
use crate::download::{Downloader, Patience, Progress as Transfer};
use crate::istio::{self, InstallError, Installer, Release, ReleaseError, SURVIVORS};
use crate::objects::{Gvk, meta};
use crate::state::Home;
use crate::tools::{Tool, Trace, find, first_version};
use crate::traffic::Ingress;
use crate::ui::{Environment, Progress};

/// How long an Istio namespace may take to empty itself.
const EMPTY_WITHIN: Duration = Duration::from_mins(2);
/// How often kubectl's word is looked for that it forwards.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Where Istio lives.
pub(super) const ISTIO: &str = "istio-system";

/// Which real cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealChoice {
    /// minikube, by the program's file.
    Minikube(PathBuf),
    /// A context of the kubeconfig, with the lab's namespace there.
    Context(String, String),
}

/// A real cluster.
pub fn real(
    choice: RealChoice,
    home: Home,
    lab: LabTraits,
    environment: Environment,
    trace: Trace,
    program: PathBuf,
    settings: Settings,
) -> Box<dyn Provider> {
    let real = Real::new(home, lab, environment, trace, program, settings);
    match choice {
        RealChoice::Minikube(file) => Box::new(Minikube::new(real, file)),
        RealChoice::Context(name, namespace) => Box::new(Context::new(real, name, namespace)),
    }
}

/// What of the lab a real cluster has to know.
#[derive(Debug, Clone)]
pub struct LabTraits {
    /// The Istio release that is installed where there is none, such as `1.12.7`.
    pub istio: String,
    /// The Kubernetes that is started where there is none, such as `v1.24.3`.
    pub kubernetes: String,
    /// Namespace and name of the ingress service, and the name of its port.
    pub ingress: (String, String, String),
    /// A path to probe routes with.
    pub path: String,
    /// The models' names.
    pub models: Vec<String>,
    /// What serves them.
    pub serving: ServingImage,
}

/// A real cluster's common part.
#[derive(Debug)]
pub(super) struct Real {
    pub(super) home: Home,
    pub(super) lab: LabTraits,
    pub(super) environment: Environment,
    pub(super) trace: Trace,
    /// This program, for the keeper.
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
    settings: Mutex<Settings>,
}

impl Real {
    pub(super) fn new(
        home: Home,
        lab: LabTraits,
        environment: Environment,
        trace: Trace,
        program: PathBuf,
        settings: Settings,
    ) -> Self {
        let kubeconfig = home.kubeconfig();
        Self { home, lab, environment, trace, program, kubeconfig, settings: Mutex::new(settings) }
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept, and keeps it before anything else happens.
    pub(super) fn keep(&self, change: impl FnOnce(&mut Settings)) -> Result<(), ClusterError> {
        let mut settings = self.settings();
        change(&mut settings);
        settings.save(&self.home).map_err(|error| ClusterError::NotKept(error.to_string()))
    }

    pub(super) fn keeper(&self) -> Keeper {
        Keeper::of(&self.home)
    }

    /// Ends what keeps the way in open; what could not be ended is named.
    pub(super) async fn close(&self) -> Result<Vec<String>, ClusterError> {
        self.keeper().stop().await.map_err(|error| ClusterError::NotKept(error.to_string()))
    }

    /// Whether requests can enter: the way is there, and the gateway answers through it.
    pub(super) async fn entrance(&self) -> Result<Entrance, ClusterError> {
        let api = Api::connect(&self.kubeconfig).await?;
        let ingress = match self.way_in(&api).await? {
            WayIn::Open(ingress) => ingress,
            WayIn::Pending => return Ok(Entrance::Shut("the ingress gateway has no external address".to_owned())),
            WayIn::Missing(why) => return Ok(Entrance::Shut(why)),
        };
        let mode = self.settings().ingress;
        // kubectl ends a port-forward on whose other side nothing listens yet, so it is not tried: kubectl's own
        // word that it listens has to do.
        if mode == IngressMode::PortForward {
            return Ok(Entrance::Open);
        }
        let (namespace, name, _) = &self.lab.ingress;
        let service = ingress::service(&api, namespace, name).await?.unwrap_or_default();
        Ok(ingress::entrance(&service, &ingress, mode).await)
    }

    /// Whether the API server answers; `label` names the cluster.
    pub(super) async fn answers(&self, label: String) -> Result<Standing, ClusterError> {
        let api = Api::connect(&self.kubeconfig).await?;
        Ok(match api.server_version().await {
            Ok(_) => Standing::Runs { api: label },
            Err(error) => Standing::Down(error.to_string()),
        })
    }

    /// The models' directory as the node sees it: the home's own where nothing else was found out.
    pub(super) fn models_on_node(&self) -> PathBuf {
        self.settings().models_on_node.clone().unwrap_or_else(|| self.home.models())
    }

    /// A program on PATH, with the lab's kubeconfig.
    pub(super) fn tool(&self, name: &str) -> Option<Tool> {
        let program = find(name, &self.environment)?;
        Some(Tool::new(program, &self.environment, self.trace.clone()).with("KUBECONFIG", &self.kubeconfig))
    }

    /// How much of a mesh is there. What is there is Istio's own matter: nothing of it is held against a manifest.
    pub(super) async fn mesh_standing(&self, api: &Api) -> Result<MeshStanding, ClusterError> {
        Ok(MeshStanding { missing: self.missing_of_mesh(api).await?, ..MeshStanding::default() })
    }

    /// For a person who looks for a fault.
    pub(super) fn facts(&self) -> Value {
        serde_json::json!({"settings": *self.settings(), "way_in": self.keeper().running(), "way_in_log": self.keeper().last_words(20)})
    }

    /// What of a mesh is missing, by name.
    async fn missing_of_mesh(&self, api: &Api) -> Result<Vec<String>, ClusterError> {
        let (namespace, service, _) = &self.lab.ingress;
        let wanted = [
            ObjectRef::new("apps/v1", "Deployment", Some(ISTIO), "istiod"),
            ObjectRef::new("v1", "Service", Some(namespace), service),
            ObjectRef::new(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                None,
                "virtualservices.networking.istio.io",
            ),
            ObjectRef::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "gateways.networking.istio.io"),
            ObjectRef::new(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                None,
                "destinationrules.networking.istio.io",
            ),
        ];
        let mut missing = Vec::new();
        for reference in wanted {
            match api.get(&reference).await {
                Ok(Some(object)) if reference.name == "istiod" => self.note_version(&object)?,
                // Whoever may not read definitions may still use them.
                Ok(Some(_)) | Err(ApiError::Refused { code: 403, .. }) => {}
                Ok(None) => missing.push(reference.label()),
                Err(error) => return Err(error.into()),
            }
        }
        // A revision or another name of istiod is an Istio all the same, when its definitions and its gateway are there.
        let only_istiod = missing.len() == 1 && missing[0].contains("istiod");
        if only_istiod {
            let deployments = api.list(&Gvk::new("apps", "v1", "Deployment"), Some(ISTIO), "app=istiod").await?;
            if let Some(found) = deployments.first() {
                self.note_version(found)?;
                missing.clear();
            }
        }
        Ok(missing)
    }

    /// Remembers how an Istio that is there differs from the lab's.
    fn note_version(&self, istiod: &Value) -> Result<(), ClusterError> {
        let label = meta::label(istiod, "operator.istio.io/version").and_then(first_version);
        let image = || {
            let containers = meta::list_at(istiod, &["spec", "template", "spec", "containers"]);
            first_version(containers.first()?["image"].as_str()?.rsplit(':').next()?)
        };
        let Some(found) = label.or_else(image) else { return Ok(()) };
        let differs = (found.to_string() != self.lab.istio)
            .then(|| format!("Istio {found}, and the lab was written for {}", self.lab.istio));
        if self.settings().mesh_differs == differs {
            Ok(())
        } else {
            self.keep(|settings| settings.mesh_differs = differs)
        }
    }

    /// The installer of the lab's release, downloaded when it is not in the cache.
    async fn installer(&self, progress: &Progress) -> Result<Installer, ClusterError> {
        let mirror = self.settings().istio_url.clone();
        let release = Release::new(&self.lab.istio, mirror.as_deref()).map_err(mesh_error)?;
        let downloader =
            Downloader::new(Patience::ASKED_FOR).map_err(|error| ClusterError::NotKept(error.to_string()))?;
        let awaited = format!("downloading {}", release.archive_name());
        let notes = progress.clone();
        let mut tell = move |transfer: Transfer| {
            let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
            let seen = transfer.total.map_or_else(
                || megabytes(transfer.received),
                |total| format!("{} of {}", megabytes(transfer.received), megabytes(total)),
            );
            notes.awaiting(awaited.clone(), Some(seen));
        };
        let cache = self.home.cache();
        if let Some(shared) = self.settings().downloads.clone() {
            istio::take_from(&release, &shared, &cache).map_err(|error| ClusterError::NotKept(error.to_string()))?;
        }
        let fetched = istio::fetch(&release, &cache, &downloader, &self.environment, &self.trace, &mut tell);
        let fetched = fetched.await.map_err(mesh_error)?;
        let tool = Tool::new(&fetched.istioctl, &self.environment, self.trace.clone());
        Ok(Installer::new(tool, &fetched.folder, &self.kubeconfig))
    }

    /// Installs Istio. Returns the namespace when the lab made it: everything else of the mesh is Istio's own uninstall's.
    pub(super) async fn install_mesh(&self, api: &Api, progress: &Progress) -> Result<Vec<Value>, ClusterError> {
        let reference = ObjectRef::new("v1", "Namespace", None, ISTIO);
        let was_there = api.get(&reference).await?.is_some();
        let installer = self.installer(progress).await?;
        // Kept before the first object is made, so that a run that is cut off knows what to take away.
        self.keep(|settings| settings.made_mesh = true)?;
        let set = self.settings().istio_set.clone();
        progress.awaiting(format!("installing Istio {}", self.lab.istio), None);
        let _ = installer
            .install(&set, progress)
            .await
            .map_err(|error| ClusterError::Mesh(Box::new(MeshError::Install(error))))?;
        if was_there {
            return Ok(Vec::new());
        }
        Ok(api.get(&reference).await?.into_iter().collect())
    }

    /// Takes away the Istio that the lab installed, the webhooks that survive its own uninstall included; returns what was
    /// removed, by label. One that was there before stays.
    pub(super) async fn remove_mesh(&self, api: &Api, progress: &Progress) -> Result<Vec<String>, ClusterError> {
        if !self.settings().made_mesh {
            return Ok(Vec::new());
        }
        progress.awaiting("removing Istio", None);
        let installer = self.installer(progress).await?;
        installer.uninstall().await.map_err(|error| ClusterError::Mesh(Box::new(MeshError::Install(error))))?;
        let mut removed = vec![format!("Istio {}", self.lab.istio)];
        for (kind, name) in SURVIVORS {
            let reference = ObjectRef::new("admissionregistration.k8s.io/v1", kind, None, name);
            if api.delete(&reference, None).await? {
                removed.push(reference.label());
            }
        }
        let namespace = ObjectRef::new("v1", "Namespace", None, ISTIO);
        progress.awaiting("waiting for Istio's namespace to go", None);
        let gone = match api.remove(&namespace, None, EMPTY_WITHIN).await? {
            Removal::Gone => true,
            Removal::Absent | Removal::AnotherOne => false,
            Removal::Lingers => {
                return Err(ClusterError::NamespaceStuck(ISTIO.to_owned()));
            }
        };
        if gone {
            removed.push(namespace.label());
        }
        self.keep(|settings| settings.made_mesh = false)?;
        Ok(removed)
    }

    /// Where requests enter, by the way that was asked for.
    pub(super) async fn way_in(&self, api: &Api) -> Result<WayIn, ClusterError> {
        let (namespace, name, port) = &self.lab.ingress;
        let Some(service) = ingress::service(api, namespace, name).await? else {
            return Ok(WayIn::Missing(format!("Service {namespace}/{name} does not exist")));
        };
        let mode = self.mode(api, &service).await?;
        let mut way = match mode {
            IngressMode::Auto | IngressMode::LoadBalancer => ingress::load_balancer(&service, port),
            IngressMode::NodePort => ingress::node_port(api, &service, port).await?,
            IngressMode::PortForward => match self.forwarded_port() {
                Some(port) => WayIn::Open(Ingress { host: "127.0.0.1".to_owned(), port, host_header: None }),
                None => WayIn::Pending,
            },
        };
        if let WayIn::Open(ingress) = &mut way {
            ingress.host_header.clone_from(&self.settings().ingress_host);
        }
        Ok(way)
    }

    /// Where requests enter, once they can.
    pub(super) async fn ingress(&self, api: &Api) -> Result<Option<Ingress>, ClusterError> {
        match self.way_in(api).await? {
            WayIn::Open(ingress) => Ok(Some(ingress)),
            WayIn::Pending => Ok(None),
            WayIn::Missing(why) => Err(ClusterError::IngressUnfit(why)),
        }
    }

    /// The way that was asked for; where it was left open, it is chosen once and kept.
    async fn mode(&self, api: &Api, service: &Value) -> Result<IngressMode, ClusterError> {
        let asked = self.settings().ingress;
        if asked != IngressMode::Auto {
            return Ok(asked);
        }
        let chosen = ingress::choose(api, service, &self.lab.ingress.2).await?;
        self.trace.read(&format!("way in: {chosen:?}"));
        self.keep(|settings| settings.ingress = chosen)?;
        Ok(chosen)
    }

    /// The local port in what `kubectl port-forward` last said: `Forwarding from 127.0.0.1:41234 -> 8080`.
    fn forwarded_port(&self) -> Option<u16> {
        self.keeper().running()?;
        let words = self.keeper().last_words(200);
        let line = words.iter().rev().find_map(|line| line.strip_prefix("Forwarding from 127.0.0.1:"))?;
        line.split(' ').next()?.parse().ok()
    }

    /// Starts what a way in needs: nothing, or kubectl's port-forward.
    pub(super) async fn open(&self, api: &Api) -> Result<(), ClusterError> {
        let (namespace, name, port) = &self.lab.ingress;
        let Some(service) = ingress::service(api, namespace, name).await? else {
            return Err(ClusterError::IngressUnfit(format!("Service {namespace}/{name} does not exist")));
        };
        match self.mode(api, &service).await? {
            IngressMode::PortForward => self.forward(&service, port).await,
            _ => match self.way_in(api).await? {
                WayIn::Missing(why) => Err(ClusterError::IngressUnfit(why)),
                WayIn::Open(_) | WayIn::Pending => Ok(()),
            },
        }
    }

    async fn forward(&self, service: &Value, port: &str) -> Result<(), ClusterError> {
        let kubectl = find("kubectl", &self.environment).ok_or_else(|| {
            ClusterError::IngressUnfit("a port-forward needs kubectl, which is not on PATH".to_owned())
        })?;
        let (namespace, name, _) = &self.lab.ingress;
        let ports = meta::list_at(service, &["spec", "ports"]);
        let number = ports.iter().find(|candidate| candidate["name"] == port).and_then(|port| port["port"].as_u64());
        let number = number.ok_or_else(|| ClusterError::IngressUnfit(format!("it has no port named `{port}`")))?;
        let command = [
            kubectl.display().to_string(),
            format!("--kubeconfig={}", self.kubeconfig.display()),
            "port-forward".to_owned(),
            format!("--namespace={namespace}"),
            "--address=127.0.0.1".to_owned(),
            format!("service/{name}"),
            // Port 0: whichever is free; kubectl says which.
            format!(":{number}"),
        ];
        self.start_keeper(&command).await?;
        let started = std::time::Instant::now();
        while self.forwarded_port().is_none() {
            if started.elapsed() > Duration::from_secs(20) {
                return Err(ClusterError::TunnelEnded {
                    log: self.keeper().last_words(5),
                    file: self.keeper().log().to_owned(),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(super) async fn start_keeper(&self, command: &[String]) -> Result<(), ClusterError> {
        let tool = Tool::new(&self.program, &self.environment, self.trace.clone()).with("KUBECONFIG", &self.kubeconfig);
        let started = self.keeper().start(&self.program, &self.home, command, tool.environment()).await;
        started.map_err(|error| ClusterError::TunnelEnded {
            log: std::iter::once(error.to_string()).chain(self.keeper().last_words(5)).collect(),
            file: self.keeper().log().to_owned(),
        })
    }

    /// Waits until routes are live, by a run of probes.
    pub(super) async fn gate(&self, within: Duration) -> Result<Gate, ClusterError> {
        let api = Api::connect(&self.kubeconfig).await?;
        match self.way_in(&api).await? {
            WayIn::Open(ingress) => consistent_probes(&ingress, &self.lab.path, within).await,
            WayIn::Pending => Err(ClusterError::NotRunning("the ingress gateway has no external address".to_owned())),
            WayIn::Missing(why) => Err(ClusterError::IngressUnfit(why)),
        }
    }

    /// What the mesh is called in the output.
    pub(super) fn mesh_name(&self, release: &str) -> String {
        let settings = self.settings();
        match (&settings.mesh_differs, settings.made_mesh) {
            (Some(differs), _) => format!("{differs}; used as it is"),
            (None, true) => format!("Istio {release}"),
            (None, false) => format!("Istio {release}, which was there before"),
        }
    }
}

/// Why a mesh is not there.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The release could not be brought.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// istioctl gave up.
    #[error(transparent)]
    Install(#[from] InstallError),
}

fn mesh_error(error: ReleaseError) -> ClusterError {
    ClusterError::Mesh(Box::new(MeshError::Release(error)))
}

/// Whether an address belongs to this machine: then it can be bound.
pub(super) fn is_local(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| std::net::TcpListener::bind((address, 0)).is_ok())
}

/// The folder's files below it, by relative path, with their SHA-256.
pub(super) fn hashes(folder: &Path) -> std::io::Result<std::collections::BTreeMap<String, String>> {
    use sha2::{Digest, Sha256};
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(&inside)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut digest = Sha256::new();
            let mut file = std::fs::File::open(&path)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match std::io::Read::read(&mut file, &mut buffer)? {
                    0 => break,
                    count => digest.update(&buffer[..count]),
                }
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            found
                .insert(name, digest.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
        }
    }
    Ok(found)
}

/// What a listing in `sha256sum`'s form lacks of the wanted files, or has otherwise.
pub(super) fn differences(
    wanted: &std::collections::BTreeMap<String, String>,
    listing: &str,
    folder: &str,
) -> Vec<String> {
    let found: std::collections::BTreeMap<&str, &str> = listing
        .lines()
        .filter_map(|line| {
            let (digest, path) = line.trim().split_once(char::is_whitespace)?;
            let path = path.trim_start().trim_start_matches('*');
            Some((path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/').trim_start_matches("./"), digest))
        })
        .collect();
    wanted
        .iter()
        .filter_map(|(name, digest)| match found.get(name.as_str()) {
            Some(there) if there == digest => None,
            Some(_) => Some(format!("{folder}/{name} differs from the lab's")),
            None => Some(format!("{folder}/{name} is not on the node")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_compared_by_hash() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("1/variables")).unwrap();
        std::fs::write(folder.path().join("1/saved_model.pb"), "abc").unwrap();
        std::fs::write(folder.path().join("1/variables/variables.index"), "").unwrap();
        let wanted = hashes(folder.path()).unwrap();
        assert_eq!(wanted["1/saved_model.pb"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let lines: Vec<String> = wanted.iter().map(|(name, digest)| format!("{digest}  /m/{name}")).collect();
        let listing = lines.join("\n");
        assert!(differences(&wanted, &listing, "/m").is_empty());
        assert_eq!(differences(&wanted, "", "/m").len(), 2);
        let changed = listing.replace("ba7816bf", "00000000");
        assert_eq!(differences(&wanted, &changed, "/m"), ["/m/1/saved_model.pb differs from the lab's"]);
        assert!(is_local("127.0.0.1") && !is_local("203.0.113.7") && !is_local("name"));
    }
}
