//! What the API server fills in when a field is absent, per built-in kind, as Kubernetes 1.24 does.
//!
//! Filling in is idempotent and keeps what is there. Kinds without defaults, and custom resources, pass unchanged (those
//! have [their schema's](super::schema)). What only happens to a pod at its creation is in [`admit_pod`].

mod admission;
mod cluster;
mod fill;
mod pod;
mod service;
mod workload;

use serde_json::Value;

pub use admission::admit_pod;

use super::Gvk;

/// Fills the defaults of the object's kind in.
pub fn apply_defaults(gvk: &Gvk, object: &mut Value) {
    let Value::Object(object) = object else { return };
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::pod(object),
        ("", "Service") => service::service(object),
        ("", "Endpoints") => service::endpoints(object),
        ("", "Namespace") => cluster::namespace(object),
        ("", "Secret") => cluster::secret(object),
        ("", "Event") => cluster::event(object),
        ("", "PersistentVolume") => cluster::persistent_volume(object),
        ("", "PersistentVolumeClaim") => cluster::persistent_volume_claim(object),
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "ReplicaSet") => workload::replica_set(object),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(object, &gvk.version),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(object),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => cluster::webhooks(object, true),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => cluster::webhooks(object, false),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => cluster::custom_resource_definition(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => cluster::role_binding(object),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
