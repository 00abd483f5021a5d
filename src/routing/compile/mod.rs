//! From all objects of a mesh to the snapshot of one gateway workload (specification section 3).
//!
//! Objects that do not decode are left out, as the real control plane leaves them out; admission keeps them from being stored.

mod clusters;
mod listeners;
mod routes;
mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::model::{self, DestinationRule, Gateway, VirtualService};
use super::snapshot::{ObjectVersion, Snapshot};
pub(crate) use services::ServiceIndex;

/// The pods that a snapshot is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayWorkload {
    /// Namespace of the pods.
    pub namespace: String,
    /// Labels of the pods.
    pub labels: BTreeMap<String, String>,
}

/// Everything that route tables are made of, as stored.
#[derive(Debug, Clone, Default)]
pub struct MeshObjects {
    /// `networking.istio.io` Gateways of all namespaces.
    pub gateways: Vec<Arc<Value>>,
    /// VirtualServices of all namespaces.
    pub virtual_services: Vec<Arc<Value>>,
    /// DestinationRules of all namespaces.
    pub destination_rules: Vec<Arc<Value>>,
    /// Services of all namespaces.
    pub services: Vec<Arc<Value>>,
    /// Endpoints of all namespaces.
    pub endpoints: Vec<Arc<Value>>,
    /// Pods of all namespaces; only their names, addresses and labels matter.
    pub pods: Vec<Arc<Value>>,
    /// Whether proxies log requests.
    pub access_log: bool,
}

/// An object decoded, with what ordering and visibility need.
struct Decoded<T> {
    namespace: String,
    name: String,
    /// Creation time in whole seconds as RFC 3339 text, which sorts like the time.
    created: String,
    spec: T,
}

impl<T: DeserializeOwned + Default> Decoded<T> {
    fn of(object: &Value) -> Option<Self> {
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            created: text("/metadata/creationTimestamp"),
            spec: model::decode_spec(object).ok()?,
        })
    }

    /// All objects that decode, oldest first, ties by `name.namespace`.
    fn sorted(objects: &[Arc<Value>]) -> Vec<Self> {
        let mut decoded: Vec<Self> = objects.iter().filter_map(|object| Self::of(object)).collect();
        decoded.sort_by_cached_key(|object| (object.created.clone(), format!("{}.{}", object.name, object.namespace)));
        decoded
    }
}

/// How far an `exportTo` list lets an object be seen from a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Visibility {
    Private,
    Exported,
    Public,
}

fn visibility(export_to: &[String], own: &str, from: &str) -> Option<Visibility> {
    if export_to.is_empty() || export_to.iter().any(|entry| entry == "*") {
        return Some(Visibility::Public);
    }
    if own == from && export_to.iter().any(|entry| entry == "." || entry == own) {
        return Some(Visibility::Private);
    }
    export_to.iter().any(|entry| entry == from).then_some(Visibility::Exported)
}

/// Compiles the snapshot of a gateway workload; its revision is left at 0 for the caller to set.
pub fn compile(objects: &MeshObjects, workload: &GatewayWorkload) -> Snapshot {
    let services = ServiceIndex::new(objects);
    let gateways = Decoded::<Gateway>::sorted(&objects.gateways);
    let virtual_services = Decoded::<VirtualService>::sorted(&objects.virtual_services);
    let rules = Decoded::<DestinationRule>::sorted(&objects.destination_rules);
    Snapshot {
        revision: 0,
        access_log: objects.access_log,
        listeners: listeners::build(&gateways, &virtual_services, &services, workload),
        clusters: clusters::build(&services, &rules, workload),
        objects: versions(objects),
    }
}

fn versions(objects: &MeshObjects) -> Vec<ObjectVersion> {
    let kinds = [
        ("Gateway", &objects.gateways),
        ("VirtualService", &objects.virtual_services),
        ("DestinationRule", &objects.destination_rules),
    ];
    let mut versions: Vec<ObjectVersion> =
        kinds.iter().flat_map(|(kind, list)| list.iter().map(move |object| version(kind, object))).collect();
    versions.sort();
    versions
}

fn version(kind: &str, object: &Value) -> ObjectVersion {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    ObjectVersion {
        kind: kind.to_owned(),
        namespace: text("namespace"),
        name: text("name"),
        resource_version: text("resourceVersion"),
    }
}

#[cfg(test)]
mod tests;
