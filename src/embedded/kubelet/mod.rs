//! The embedded cluster's kubelet: looks after the pods that were given the node.
//!
//! Every pod has a worker task. A container is a child process of the daemon running this same binary, with its
//! address and mounts handed over in its sandbox ([`crate::process::Sandbox`]); Istio's control plane is a part of the
//! daemon ([`ControlPlane`]). Workers write pod statuses and events in the kubelet's own words and restart what fails
//! with its back-off. Children end with the daemon; the next daemon finds their pods in storage and starts them anew,
//! with the same names and one restart more. [`Kubelet::run`] is started by the daemon.

mod backoff;
mod container;
mod environment;
mod exec;
mod images;
mod logs;
mod probes;
mod processes;
mod run;
mod status;
mod volumes;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::api::{Registry, Status};
use super::controllers::NODE_NAME;
use super::network::{AddressBlock, PodAddresses};
use crate::objects::meta;
use worker::{PodUpdate, PodWorker, Shared};

pub use exec::ContainerAccess;
pub use logs::LogStore;
pub use processes::{ContainerProcess, ProcessTable};
pub use run::ControlPlane;

/// What the kubelet needs to know besides the objects.
pub struct KubeletOptions {
    /// The lab's addresses.
    pub block: AddressBlock,
    /// The program file that containers run; this process's own otherwise.
    pub binary: Option<PathBuf>,
    /// Where logs lie, one directory a pod.
    pub logs: PathBuf,
    /// Where volumes lie, one directory a pod.
    pub volumes: PathBuf,
    /// The socket that gateways and sidecars get their configuration from.
    pub mesh_socket: PathBuf,
    /// What stands behind Istio's control plane image.
    pub control_plane: Option<Arc<dyn ControlPlane>>,
}

/// The kubelet of the one node.
pub struct Kubelet {
    shared: Arc<Shared>,
    sources_changed: watch::Sender<u64>,
}

impl Kubelet {
    /// A kubelet that stops when `stopping` is cancelled.
    pub fn new(registry: Registry, options: KubeletOptions, stopping: CancellationToken) -> Self {
        let (sources_changed, receiver) = watch::channel(0);
        let shared = Shared {
            registry,
            addresses: PodAddresses::new(options.block),
            logs: LogStore::new(options.logs),
            binary: options.binary,
            volumes: options.volumes,
            mesh_socket: options.mesh_socket,
            control_plane: options.control_plane,
            stopping,
            sources_changed: receiver,
            processes: ProcessTable::default(),
        };
        Self { shared: Arc::new(shared), sources_changed }
    }

    /// The logs of all containers.
    pub fn logs(&self) -> LogStore {
        self.shared.logs.clone()
    }

    /// The way into running containers.
    pub fn access(&self) -> ContainerAccess {
        ContainerAccess::new(self.shared.registry.clone(), self.shared.processes.clone())
    }

    /// The processes of running containers.
    pub fn processes(&self) -> ProcessTable {
        self.shared.processes.clone()
    }

    /// Says of the containers that an earlier daemon ran that they are not ready: they ended with it. Until this is said,
    /// a Deployment looks ready by what was true then.
    pub async fn disown_earlier_runs(&self) -> Result<(), Status> {
        let registry = &self.shared.registry;
        let (pods, _) = registry.list("pods", None)?;
        for pod in pods.iter().filter(|pod| is_ours(pod)) {
            let changed = registry.modify("pods", meta::namespace(pod), meta::name(pod), |stored| {
                for container in stored["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
                    container["ready"] = false.into();
                }
                for condition in stored["status"]["conditions"].as_array_mut().into_iter().flatten() {
                    if matches!(condition["type"].as_str(), Some("Ready" | "ContainersReady")) {
                        condition["status"] = "False".into();
                    }
                }
            });
            match changed.await {
                Ok(_) => {}
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    /// Looks after the node's pods until the daemon stops; returns when all containers have ended.
    pub async fn run(self) {
        let registry = self.shared.registry.clone();
        let mut pods = registry.watch("pods", None);
        let mut maps = registry.watch("configmaps", None);
        let mut secrets = registry.watch("secrets", None);
        // Before any new pod asks for an address, the old ones have theirs.
        for address in pods.list.iter().filter_map(|pod| pod["status"]["podIP"].as_str()?.parse().ok()) {
            self.shared.addresses.reserve(address);
        }
        let mut workers = JoinSet::new();
        let mut known: HashMap<String, watch::Sender<PodUpdate>> = HashMap::new();
        let stopping = self.shared.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                event = pods.next() => {
                    let pod = Arc::clone(event.object());
                    let uid = meta::uid(&pod).to_owned();
                    if event.is_deleted() {
                        if let Some(updates) = known.remove(&uid) {
                            updates.send_replace(PodUpdate::Gone);
                        }
                    } else if let Some(updates) = known.get(&uid) {
                        updates.send_replace(PodUpdate::Present(pod));
                    } else if is_ours(&pod) {
                        let (updates, receiver) = watch::channel(PodUpdate::Present(Arc::clone(&pod)));
                        known.insert(uid, updates);
                        workers.spawn(PodWorker::new(Arc::clone(&self.shared), pod, receiver).run());
                    }
                }
                _ = maps.next() => self.sources_changed.send_modify(|count| *count += 1),
                _ = secrets.next() => self.sources_changed.send_modify(|count| *count += 1),
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
            }
        }
        while workers.join_next().await.is_some() {}
    }
}

/// Whether the pod was given this node and still has something to run.
fn is_ours(pod: &Value) -> bool {
    let finished = super::controllers::pod_facts::is_finished(pod);
    pod["spec"]["nodeName"] == NODE_NAME && (!finished || meta::is_terminating(pod))
}
