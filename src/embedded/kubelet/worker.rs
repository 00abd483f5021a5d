//! The life of one pod on the node, from its first volume to its last container's end.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::container::{Container, Note, Slot};
use super::environment::Sources;
use super::logs::LogStore;
use super::run::ControlPlane;
use super::status::{ContainerState, PodFacts, pod_status};
use super::volumes::PodVolumes;
use crate::embedded::api::{Registry, Status};
use crate::embedded::clock;
use crate::embedded::network::PodAddresses;
use crate::objects::meta;

/// The component that the kubelet's events name.
pub(super) const COMPONENT: &str = "kubelet";
/// The container whose presence means that the application hides behind it.
const SIDECAR: &str = "istio-proxy";
/// The first wait after a volume could not be made; it doubles.
const FIRST_MOUNT_RETRY: Duration = Duration::from_millis(500);
/// The longest such wait.
const LONGEST_MOUNT_RETRY: Duration = Duration::from_secs(122);
/// How soon a status that could not be written, because the disk is full, is written again.
const STATUS_RETRY: Duration = Duration::from_secs(1);
/// How long children have when the daemon stops; whoever is not gone by then is killed.
const DAEMON_STOP_GRACE: Duration = Duration::from_millis(600);

/// What all pods of the node share.
pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) addresses: PodAddresses,
    pub(super) logs: LogStore,
    /// The program file that containers run; this process's own otherwise.
    pub(super) binary: Option<PathBuf>,
    /// Where the volumes of pods lie.
    pub(super) volumes: PathBuf,
    /// The socket that gateways and sidecars get their configuration from.
    pub(super) mesh_socket: PathBuf,
    pub(super) control_plane: Option<Arc<dyn ControlPlane>>,
    /// Cancelled when the daemon stops.
    pub(super) stopping: CancellationToken,
    /// Bumped when a ConfigMap or Secret changes.
    pub(super) sources_changed: watch::Receiver<u64>,
    /// The process numbers of running containers, by pod uid and container, for the daemon's status.
    pub(super) processes: super::ProcessTable,
}

/// What the worker is told of its pod's object.
#[derive(Debug, Clone)]
pub(super) enum PodUpdate {
    /// This is its state.
    Present(Arc<Value>),
    /// It was removed, containers or not.
    Gone,
}

/// ConfigMaps, Secrets and claims of one namespace.
pub(super) struct NamespaceSources<'a> {
    pub(super) registry: &'a Registry,
    pub(super) namespace: &'a str,
}

impl Sources for NamespaceSources<'_> {
    fn config_map(&self, name: &str) -> Option<Arc<Value>> {
        self.registry.get("configmaps", Some(self.namespace), name).ok()
    }

    fn secret(&self, name: &str) -> Option<Arc<Value>> {
        self.registry.get("secrets", Some(self.namespace), name).ok()
    }

    fn claim(&self, name: &str) -> Option<Arc<Value>> {
        self.registry.get("persistentvolumeclaims", Some(self.namespace), name).ok()
    }

    fn volume(&self, name: &str) -> Option<Arc<Value>> {
        self.registry.get("persistentvolumes", None, name).ok()
    }
}

/// The worker of one pod.
pub(super) struct PodWorker {
    shared: Arc<Shared>,
    pod: Arc<Value>,
    updates: watch::Receiver<PodUpdate>,
    notes: mpsc::UnboundedReceiver<Note>,
    init: Vec<Container>,
    containers: Vec<Container>,
    start_time: Option<Timestamp>,
    address: Option<Ipv4Addr>,
    volumes: Option<PodVolumes>,
    mount_retry: Option<(Instant, Duration)>,
    /// When a status that could not be written is tried again: nothing else may happen to the pod until then.
    status_retry: Option<Instant>,
    /// When the containers of a pod that is being deleted are killed.
    kill_at: Option<Instant>,
    gone: bool,
}

impl PodWorker {
    /// A worker for a pod that the node was given, perhaps by an earlier daemon.
    pub(super) fn new(shared: Arc<Shared>, pod: Arc<Value>, updates: watch::Receiver<PodUpdate>) -> Self {
        let (sender, notes) = mpsc::unbounded_channel();
        let status = &pod["status"];
        let start_time = clock::parse(status["startTime"].as_str());
        let make = |list: &str, statuses: &str, is_init: bool| -> Vec<Container> {
            let specs = pod["spec"][list].as_array().into_iter().flatten();
            specs
                .enumerate()
                .map(|(index, spec)| {
                    let known = status[statuses].as_array().into_iter().flatten();
                    let known =
                        known.into_iter().find(|one| one["name"] == spec["name"]).filter(|_| start_time.is_some());
                    Container::new(Slot { is_init, index }, spec, known, sender.clone())
                })
                .collect()
        };
        let init = make("initContainers", "initContainerStatuses", true);
        let containers = make("containers", "containerStatuses", false);
        Self {
            shared,
            pod,
            updates,
            notes,
            init,
            containers,
            start_time,
            address: None,
            volumes: None,
            mount_retry: None,
            status_retry: None,
            kill_at: None,
            gone: false,
        }
    }

    /// Looks after the pod until it is gone or the daemon stops.
    pub(super) async fn run(mut self) {
        let stopping = self.shared.stopping.clone();
        let mut sources = self.shared.sources_changed.clone();
        loop {
            let deadline = self.advance().await;
            self.publish().await;
            if self.gone {
                break;
            }
            let sleep = async {
                match [deadline, self.status_retry].into_iter().flatten().min() {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return self.stop_with_daemon().await,
                changed = self.updates.changed() => {
                    if changed.is_err() {
                        return self.stop_with_daemon().await;
                    }
                    let update = self.updates.borrow_and_update().clone();
                    self.take_update(update);
                }
                Some(note) = self.notes.recv() => {
                    let is_end = matches!(note, Note::Ended { .. });
                    self.take_note(note).await;
                    // Watchers see that a container ended, also when the next one starts at once.
                    if is_end {
                        self.publish().await;
                    }
                }
                Ok(()) = sources.changed() => {
                    for container in self.init.iter_mut().chain(&mut self.containers) {
                        container.sources_changed();
                    }
                    if let Some((at, _)) = &mut self.mount_retry {
                        *at = Instant::now();
                    }
                }
                () = sleep => {}
            }
        }
        self.clean_up();
    }

    fn take_update(&mut self, update: PodUpdate) {
        match update {
            PodUpdate::Present(pod) => {
                let version = |pod: &Value| meta::resource_version(pod).and_then(|text| text.parse::<u64>().ok());
                if version(&pod) >= version(&self.pod) {
                    self.pod = pod;
                }
            }
            PodUpdate::Gone => {
                for container in self.init.iter().chain(&self.containers) {
                    container.kill();
                }
                self.gone = true;
            }
        }
    }

    async fn take_note(&mut self, note: Note) {
        let slot = note.slot();
        let list = if slot.is_init { &mut self.init } else { &mut self.containers };
        if let Some(container) = list.get_mut(slot.index) {
            let (shared, pod) = (Arc::clone(&self.shared), Arc::clone(&self.pod));
            container.take_note(&shared, &pod, note, self.kill_at.is_some()).await;
        }
    }

    /// Does what can be done now; returns when to look again if nothing happens before.
    async fn advance(&mut self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        if meta::is_terminating(&self.pod) {
            return self.advance_termination().await;
        }
        if self.start_time.is_none() {
            self.start_time = Some(Timestamp::now());
            let reason = if self.init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
            for container in self.init.iter_mut().chain(&mut self.containers) {
                container.record.state = ContainerState::Waiting { reason: reason.to_owned(), message: String::new() };
            }
            self.publish().await;
        }
        if let Some(wait) = self.set_up().await {
            return Some(wait);
        }
        self.advance_containers().await
    }

    /// Makes the volumes and gets an address; returns when to try again if that fails.
    async fn set_up(&mut self) -> Option<Instant> {
        if self.volumes.is_none() {
            if let Some((at, _)) = self.mount_retry
                && at > Instant::now()
            {
                return Some(at);
            }
            let directory = self.volume_directory();
            let namespace = meta::namespace(&self.pod).unwrap_or_default();
            let sources = NamespaceSources { registry: &self.shared.registry, namespace };
            match PodVolumes::make(&directory, &self.pod, &sources) {
                Ok(volumes) => self.volumes = Some(volumes),
                Err(failure) => {
                    let text = failure.to_string();
                    self.shared.registry.event(&self.pod, "Warning", "FailedMount", &text, COMPONENT).await;
                    let wait =
                        self.mount_retry.map_or(FIRST_MOUNT_RETRY, |(_, wait)| (wait * 2).min(LONGEST_MOUNT_RETRY));
                    let at = Instant::now() + wait;
                    self.mount_retry = Some((at, wait));
                    return Some(at);
                }
            }
        }
        if self.address.is_none() {
            let pool = &self.shared.addresses;
            let before = self.pod["status"]["podIP"].as_str().and_then(|text| text.parse().ok());
            // An address from before was reserved for this pod when the daemon started.
            let kept = before.filter(|address| pool.block().pod_number(*address).is_some());
            self.address = kept.or_else(|| pool.allocate());
            if self.address.is_none() {
                let text = "Failed to create pod sandbox: no pod address is free";
                self.shared.registry.event(&self.pod, "Warning", "FailedCreatePodSandBox", text, COMPONENT).await;
                return Some(Instant::now() + Duration::from_secs(10));
            }
        }
        None
    }

    async fn advance_containers(&mut self) -> Option<Instant> {
        let (Some(volumes), Some(address)) = (&self.volumes, self.address) else { return None };
        let injected = self.containers.iter().any(|container| container.record.name == SIDECAR);
        let block = self.shared.addresses.block();
        let place = |name: &str| if injected && name != SIDECAR { block.hidden(address) } else { address };
        // The containers ask for the address before the status was written for the first time.
        let mut pod = Value::clone(&self.pod);
        pod["status"]["podIP"] = address.to_string().into();
        pod["status"]["hostIP"] = block.node().to_string().into();
        let policy = self.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
        for container in &mut self.init {
            if container.record.has_completed() {
                continue;
            }
            // An init container that fails is tried again unless the pod may never restart anything.
            let again = policy != "Never";
            let bind = place(&container.record.name);
            return container.advance(&self.shared, &pod, volumes, bind, address, again).await;
        }
        let mut soonest = None;
        for container in &mut self.containers {
            let again = match (policy, &container.record.state) {
                ("Never", _) => false,
                ("OnFailure", ContainerState::Terminated(ended)) => ended.code != 0,
                _ => true,
            };
            let bind = place(&container.record.name);
            let at = container.advance(&self.shared, &pod, volumes, bind, address, again).await;
            soonest = [soonest, at].into_iter().flatten().min();
        }
        soonest
    }

    /// Ends the containers of a pod that is being deleted: asked first, killed when the grace period is over.
    async fn advance_termination(&mut self) -> Option<Instant> {
        let grace = self.pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
        let now = Instant::now();
        let first = self.kill_at.is_none();
        let at = self.kill_at.map_or(now + Duration::from_secs(grace), |at| at.min(now + Duration::from_secs(grace)));
        self.kill_at = Some(at);
        for container in self.init.iter_mut().chain(&mut self.containers) {
            container.stop_probes();
            if !container.is_alive() {
                continue;
            }
            if first {
                let text = format!("Stopping container {}", container.record.name);
                let registry = &self.shared.registry;
                registry
                    .container_event(&self.pod, &container.record.name, "Normal", "Killing", &text, COMPONENT)
                    .await;
                container.terminate();
            }
            if at <= now {
                container.kill();
            }
        }
        if self.init.iter().chain(&self.containers).any(Container::is_alive) {
            // After the kill the end of each container is the next event.
            return (at > now).then_some(at);
        }
        self.publish().await;
        let (namespace, name) = (meta::namespace(&self.pod).unwrap_or_default(), meta::name(&self.pod));
        match self.shared.registry.finalize_pod(namespace, name, meta::uid(&self.pod)).await {
            Ok(_) => self.gone = true,
            Err(status) if status.is_not_found() || status.is_conflict() => self.gone = true,
            Err(status) => {
                tracing::warn!("pod {namespace}/{name} cannot be removed: {}", status.message);
                return Some(now + Duration::from_secs(1));
            }
        }
        None
    }

    /// Writes the status if it differs from what is stored.
    async fn publish(&mut self) {
        self.status_retry = None;
        let Some(start_time) = self.start_time else { return };
        if self.gone {
            return;
        }
        let init: Vec<_> = self.init.iter().map(|container| container.record.clone()).collect();
        let containers: Vec<_> = self.containers.iter().map(|container| container.record.clone()).collect();
        let host_ip = self.shared.addresses.block().node().to_string();
        let pod_ip = self.address.map(|address| address.to_string());
        let uid = meta::uid(&self.pod).to_owned();
        let compute = |pod: &Value| {
            pod_status(&PodFacts {
                pod,
                init: &init,
                containers: &containers,
                host_ip: host_ip.clone(),
                pod_ip: pod_ip.clone(),
                start_time,
            })
        };
        if compute(&self.pod) == self.pod["status"] {
            return;
        }
        let (namespace, name) = (meta::namespace(&self.pod).map(str::to_owned), meta::name(&self.pod).to_owned());
        let written = self.shared.registry.modify("pods", namespace.as_deref(), &name, |stored| {
            if meta::uid(stored) == uid {
                stored["status"] = compute(stored);
            }
        });
        match written.await {
            Ok(pod) if meta::uid(&pod) == uid => self.pod = pod,
            // A namesake stands in the pod's place; its own object is gone.
            Ok(_) => self.take_update(PodUpdate::Gone),
            Err(status) if status.is_not_found() => self.take_update(PodUpdate::Gone),
            Err(status) => {
                report_unwritten(&name, &status);
                self.status_retry = Some(Instant::now() + STATUS_RETRY);
            }
        }
    }

    async fn stop_with_daemon(mut self) {
        for container in self.init.iter_mut().chain(&mut self.containers) {
            container.stop_probes();
            container.terminate();
        }
        let all_gone = async {
            while self.init.iter().chain(&self.containers).any(Container::is_alive) {
                let Some(note) = self.notes.recv().await else { return };
                let slot = note.slot();
                let list = if slot.is_init { &mut self.init } else { &mut self.containers };
                if let Some(container) = list.get_mut(slot.index) {
                    container.note_end(&note);
                }
            }
        };
        // Whoever is left is killed when the containers are dropped.
        let _ = tokio::time::timeout(DAEMON_STOP_GRACE, all_gone).await;
    }

    fn volume_directory(&self) -> PathBuf {
        self.shared.volumes.join(meta::uid(&self.pod))
    }

    fn clean_up(&self) {
        if let Some(address) = self.address {
            self.shared.addresses.release(address);
        }
        let directory = self.volume_directory();
        if let Err(error) = std::fs::remove_dir_all(&directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("volumes in {} cannot be removed: {error}", directory.display());
        }
        self.shared.logs.remove_pod(meta::uid(&self.pod));
    }
}

fn report_unwritten(name: &str, status: &Status) {
    tracing::warn!("the status of pod {name} could not be written: {}", status.message);
}

/// The environment of a container as the process gets it: its own variables, and what our programs need to know.
pub(super) fn process_environment(
    shared: &Shared,
    pod: &Value,
    container: &str,
    address: Ipv4Addr,
    variables: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut all = variables;
    all.insert("HOSTNAME".to_owned(), meta::name(pod).to_owned());
    all.insert("POD_NAME".to_owned(), meta::name(pod).to_owned());
    all.insert("POD_NAMESPACE".to_owned(), meta::namespace(pod).unwrap_or_default().to_owned());
    all.insert("CANARY_LAB_MESH_SOCKET".to_owned(), shared.mesh_socket.to_string_lossy().into_owned());
    if container == SIDECAR {
        let application = json!({
            "application": shared.addresses.block().hidden(address).to_string(),
            "ports": application_ports(pod),
        });
        all.insert("CANARY_LAB_SIDECAR".to_owned(), application.to_string());
    }
    all.into_iter().collect()
}

/// The ports that the containers beside the sidecar declare.
fn application_ports(pod: &Value) -> Vec<u64> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let others = containers.filter(|container| container["name"] != SIDECAR);
    let ports = others.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let mut numbers: Vec<u64> = ports.filter_map(|port| port["containerPort"].as_u64()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
