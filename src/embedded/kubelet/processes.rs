//! Which process stands behind which container, for the daemon's status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The processes of all running containers, shared by cloning.
#[derive(Debug, Clone, Default)]
pub struct ProcessTable(Arc<Mutex<BTreeMap<(String, String), ContainerProcess>>>);

impl ProcessTable {
    /// All of them, in no meaningful order.
    pub fn list(&self) -> Vec<ContainerProcess> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn started(&self, pod: &Value, container: &str, pid: u32) {
        let process = ContainerProcess {
            namespace: meta::namespace(pod).unwrap_or_default().to_owned(),
            pod: meta::name(pod).to_owned(),
            container: container.to_owned(),
            pid,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key(pod, container), process);
    }

    pub(super) fn ended(&self, pod: &Value, container: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(pod, container));
    }
}

fn key(pod: &Value, container: &str) -> (String, String) {
    (meta::uid(pod).to_owned(), container.to_owned())
}
