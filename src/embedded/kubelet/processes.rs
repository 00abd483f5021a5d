//! Which process stands behind which container, for the daemon's status, and what commands in it would see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exec::ContainerPlace;
use crate::objects::meta;

/// The process of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The process number.
    pub pid: u32,
}

/// A running container: its process, where it has one of its own, and its inside.
#[derive(Debug, Clone)]
struct Running {
    process: Option<ContainerProcess>,
    place: Arc<ContainerPlace>,
}

/// All running containers by their pod's uid and their own name, shared by cloning.
#[derive(Debug, Clone, Default)]
pub struct ProcessTable(Arc<Mutex<BTreeMap<(String, String), Running>>>);

impl ProcessTable {
    /// All processes, in no meaningful order.
    pub fn list(&self) -> Vec<ContainerProcess> {
        self.lock().values().filter_map(|running| running.process.clone()).collect()
    }

    /// The inside of a container.
    pub(super) fn place(&self, pod: &str, container: &str) -> Option<Arc<ContainerPlace>> {
        self.lock().get(&(pod.to_owned(), container.to_owned())).map(|running| Arc::clone(&running.place))
    }

    /// The insides of all of a pod's containers.
    pub(super) fn places(&self, pod: &str) -> Vec<Arc<ContainerPlace>> {
        let running = self.lock();
        running.iter().filter(|((uid, _), _)| uid == pod).map(|(_, running)| Arc::clone(&running.place)).collect()
    }

    pub(super) fn started(&self, pod: &Value, container: &str, pid: Option<u32>, place: ContainerPlace) {
        let process = pid.map(|pid| ContainerProcess {
            namespace: meta::namespace(pod).unwrap_or_default().to_owned(),
            pod: meta::name(pod).to_owned(),
            container: container.to_owned(),
            pid,
        });
        self.lock().insert(key(pod, container), Running { process, place: Arc::new(place) });
    }

    pub(super) fn ended(&self, pod: &Value, container: &str) {
        self.lock().remove(&key(pod, container));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(pod: &Value, container: &str) -> (String, String) {
    (meta::uid(pod).to_owned(), container.to_owned())
}
