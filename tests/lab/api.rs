//! The cluster as a learner's tools change it: objects by the names of their resources.

use std::time::Duration;

use canary_lab::cluster::Removal;
use serde_json::{Value, json};

use super::bench::Bench;
use super::kubernetes::{self, Named};

/// The cluster of a bench.
pub(crate) struct Cluster(kubernetes::Cluster);

impl Cluster {
    /// The running cluster of the bench's lab, changed as by an editor.
    pub(crate) fn of(bench: &Bench) -> Self {
        Self(kubernetes::Cluster::managed_by(bench, "kubectl-edit"))
    }

    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Value {
        self.0.get(named(kind, namespace, name)).unwrap()
    }

    pub(crate) fn create(&self, kind: &str, namespace: &str, object: &Value) {
        let mut object = plain(object);
        if kind != "namespaces" {
            object["metadata"]["namespace"] = namespace.into();
        }
        let (api_version, kind, ..) = named(kind, namespace, "");
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        self.0.create(&object);
    }

    /// Gives the object the other's specification (or data); lists are replaced as a whole.
    pub(crate) fn replace(&self, kind: &str, namespace: &str, object: &Value) {
        let mut patch = json!({});
        for part in ["spec", "data"] {
            if let Some(value) = object.get(part) {
                patch[part] = value.clone();
            }
        }
        self.patch(kind, namespace, object["metadata"]["name"].as_str().unwrap(), &patch);
    }

    pub(crate) fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) {
        self.0.patch(named(kind, namespace, name), &patch.to_string());
    }

    /// Deletes an object and, unless it is a namespace, waits until it is gone: its dependents go first, so another of
    /// its name could not be made at once.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let object = named(kind, namespace, name);
        if kind == "namespaces" {
            assert!(self.0.begin_to_delete(object), "{name}");
        } else {
            assert_eq!(self.0.delete_within(object, Duration::from_secs(30)), Removal::Gone, "{name}");
        }
    }

    /// Whether an object is really gone, as a namespace is after everything in it.
    pub(crate) fn is_gone(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.0.get(named(kind, namespace, name)).is_none()
    }
}

fn named<'a>(resource: &str, namespace: &'a str, name: &'a str) -> Named<'a> {
    let (api_version, kind) = match resource {
        "gateways" => ("networking.istio.io/v1alpha3", "Gateway"),
        "virtualservices" => ("networking.istio.io/v1alpha3", "VirtualService"),
        "destinationrules" => ("networking.istio.io/v1alpha3", "DestinationRule"),
        "services" => ("v1", "Service"),
        "configmaps" => ("v1", "ConfigMap"),
        "namespaces" => ("v1", "Namespace"),
        "deployments" => ("apps/v1", "Deployment"),
        other => panic!("{other}"),
    };
    (api_version, kind, Some(namespace).filter(|_| kind != "Namespace"), name)
}

/// The object without what the server keeps books by.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| ["name", "labels", "annotations", "finalizers"].contains(&key.as_str()));
    object.as_object_mut().unwrap().remove("status");
    object
}
