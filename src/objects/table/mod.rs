//! What `kubectl get` shows: columns and cells that the API server computes for each kind (`meta.k8s.io` Tables).
//!
//! Columns of priority 1 show with `-o wide`. Texts are those of Kubernetes 1.24's printers.

mod age;
mod cluster;
mod columns;
mod custom;
mod pod;
mod service;
mod workload;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use age::{age, human_duration, since};
pub use custom::CustomColumns;
pub use pod::pod_status;

use super::{Gvk, meta};

/// A column of a Table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnDefinition {
    /// Heading; kubectl prints it in capitals.
    pub name: String,
    /// OpenAPI type of the cells: `string`, `integer`, `date`.
    #[serde(rename = "type")]
    pub kind: String,
    /// OpenAPI format; `name` marks the column that names the object.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 shows always, 1 with `-o wide`.
    pub priority: i32,
}

/// The columns of a built-in kind; for other kinds name and creation time.
pub fn columns(gvk: &Gvk) -> Vec<ColumnDefinition> {
    columns::of(gvk)
}

/// An object's cells, one for each of [`columns`].
pub fn cells(gvk: &Gvk, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![Value::from(meta::name(object))];
    cells.extend(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::cells(object, now),
        ("", "Service") => service::service(object, now),
        ("", "Endpoints") => service::endpoints(object, now),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(object, now),
        ("apps", "Deployment") => workload::deployment(object, now),
        ("apps", "ReplicaSet") => workload::replica_set(object, now),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(object, now),
        ("policy", "PodDisruptionBudget") => workload::disruption_budget(object, now),
        ("", "Namespace") => cluster::namespace(object, now),
        ("", "Node") => cluster::node(object, now),
        ("", "ConfigMap") => cluster::config_map(object, now),
        ("", "Secret") => cluster::secret(object, now),
        ("", "ServiceAccount") => cluster::service_account(object, now),
        ("", "PersistentVolume") => cluster::persistent_volume(object, now),
        ("", "PersistentVolumeClaim") => cluster::persistent_volume_claim(object, now),
        ("coordination.k8s.io", "Lease") => cluster::lease(object, now),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => cluster::role_binding(object, now),
        ("admissionregistration.k8s.io", _) => cluster::webhooks(object, now),
        // Events name themselves in the last column.
        ("", "Event") => return cluster::event(object, now),
        _ => vec![Value::from(meta::text_at(object, &["metadata", "creationTimestamp"]).unwrap_or_default())],
    });
    cells
}

#[cfg(test)]
mod tests;
