//! The control plane's loop: watch, wait for quiet, take everything in, tell the proxies.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::MeshAdmission;
use super::session;
use super::status::MeshStatus;
use super::{ISTIO_NAMESPACE, root_certificate};
use crate::embedded::api::Registry;
use crate::embedded::kubelet::ControlPlane;
use crate::routing::snapshot::Snapshot;
use crate::routing::{GatewayWorkload, MeshObjects, compile};

/// A change is taken in after this much quiet, as istiod does.
const QUIET: Duration = Duration::from_millis(100);
/// But no later than this after the first change.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

const GATEWAYS: &str = "gateways.networking.istio.io";
const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";
const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";
const WATCHED: [&str; 7] =
    [GATEWAYS, VIRTUAL_SERVICES, DESTINATION_RULES, "services", "endpoints", "pods", "configmaps"];

/// Everything that the control plane has taken in, with the revision that it made.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) revision: u64,
    pub(super) objects: Arc<MeshObjects>,
}

/// The mesh, shared by cloning.
#[derive(Clone)]
pub struct Mesh(Arc<Shared>);

struct Shared {
    registry: Registry,
    socket: PathBuf,
    status: Mutex<MeshStatus>,
}

impl Mesh {
    /// A mesh that does nothing until it runs. Proxies connect to `socket`.
    pub fn new(registry: Registry, socket: PathBuf) -> Self {
        Self(Arc::new(Shared { registry, socket, status: Mutex::default() }))
    }

    /// What it knows and who has been told.
    pub fn status(&self) -> MeshStatus {
        self.lock().clone()
    }

    /// The part of it that is asked about writes.
    pub fn admission(&self) -> MeshAdmission {
        MeshAdmission::new(self.clone())
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Changes what the status tells.
    pub(super) fn lock(&self) -> MutexGuard<'_, MeshStatus> {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the control plane until `stopping` is cancelled or its socket fails.
    ///
    /// # Errors
    /// The socket cannot be bound, or fails.
    pub async fn run(&self, stopping: CancellationToken) -> std::io::Result<()> {
        match std::fs::remove_file(&self.0.socket) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&self.0.socket)?;
        let (worlds, world) = watch::channel(World { revision: 1, objects: Arc::new(self.gather()) });
        self.note_world(&world.borrow().clone());
        let mut tasks = JoinSet::new();
        let changed = Arc::new(Notify::new());
        for resource in WATCHED {
            let (mut watch, changed) = (self.0.registry.watch(resource, None), changed.clone());
            tasks.spawn(async move {
                loop {
                    watch.next().await;
                    changed.notify_one();
                }
            });
        }
        let mesh = self.clone();
        tasks.spawn(async move { mesh.take_in_changes(&changed, &worlds).await });
        let registry = self.0.registry.clone();
        tasks.spawn(async move { root_certificate::publish(registry).await });
        self.lock().running = true;
        let outcome = self.accept(&listener, &world, &stopping).await;
        tasks.shutdown().await;
        *self.lock() = MeshStatus::default();
        outcome
    }

    async fn accept(
        &self,
        listener: &UnixListener,
        world: &watch::Receiver<World>,
        stopping: &CancellationToken,
    ) -> std::io::Result<()> {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    sessions.spawn(session::serve(self.clone(), stream, world.clone()));
                }
                Some(_) = sessions.join_next() => {}
            }
        }
        sessions.shutdown().await;
        Ok(())
    }

    async fn take_in_changes(&self, changed: &Notify, worlds: &watch::Sender<World>) {
        loop {
            changed.notified().await;
            let first = Instant::now();
            while first.elapsed() < LONGEST_WAIT {
                if tokio::time::timeout(QUIET, changed.notified()).await.is_err() {
                    break;
                }
            }
            let objects = Arc::new(self.gather());
            let revision = worlds.borrow().revision + 1;
            let world = World { revision, objects };
            self.note_world(&world);
            worlds.send_replace(world);
        }
    }

    fn note_world(&self, world: &World) {
        let versions = compile(&world.objects, &GatewayWorkload::default()).objects;
        let mut status = self.lock();
        status.revision = world.revision;
        status.objects = versions;
    }

    /// Everything as it is stored now; a resource that is not served yet has no objects.
    fn gather(&self) -> MeshObjects {
        let list =
            |resource: &str| self.0.registry.list(resource, None).map(|(objects, _)| objects).unwrap_or_default();
        MeshObjects {
            gateways: list(GATEWAYS),
            virtual_services: list(VIRTUAL_SERVICES),
            destination_rules: list(DESTINATION_RULES),
            services: list("services"),
            endpoints: list("endpoints"),
            pods: list("pods"),
            access_log: self.wants_access_log(),
        }
    }

    /// `accessLogFile` in the mesh's configuration.
    fn wants_access_log(&self) -> bool {
        let Ok(map) = self.0.registry.get("configmaps", Some(ISTIO_NAMESPACE), "istio") else { return false };
        let text = map["data"]["mesh"].as_str().unwrap_or_default();
        let mesh: Value = serde_yaml::from_str(text).unwrap_or_default();
        mesh["accessLogFile"].as_str().is_some_and(|file| !file.is_empty())
    }
}

impl World {
    /// The tables for a gateway.
    pub(super) fn snapshot(&self, workload: &GatewayWorkload) -> Snapshot {
        Snapshot { revision: self.revision, ..compile(&self.objects, workload) }
    }
}

impl ControlPlane for Mesh {
    fn run(&self, _address: Ipv4Addr, stop: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mesh = self.clone();
        Box::pin(async move {
            if let Err(error) = Mesh::run(&mesh, stop).await {
                tracing::warn!("the mesh's control plane ended: {error}");
            }
        })
    }
}
