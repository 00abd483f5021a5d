//! The cluster as a learner's tools change it: objects through the API, by the kubeconfig of the home.

use std::time::Duration;

use canary_lab::cluster::{Api, ObjectRef};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::bench::{Bench, eventually};

/// The cluster of a bench.
pub(crate) struct Cluster {
    api: Api,
    runtime: Runtime,
}

/// The field manager of an editor.
const MANAGER: &str = "kubectl-edit";

impl Cluster {
    pub(crate) fn of(bench: &Bench) -> Self {
        let runtime = Runtime::new().unwrap();
        let api = runtime.block_on(Api::connect(&bench.home().join("kubeconfig"))).unwrap();
        Self { api, runtime }
    }

    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Value {
        self.runtime.block_on(self.api.get(&reference(kind, namespace, name))).unwrap().unwrap()
    }

    pub(crate) fn create(&self, kind: &str, namespace: &str, object: &Value) {
        let mut object = plain(object);
        if kind != "namespaces" {
            object["metadata"]["namespace"] = namespace.into();
        }
        let named = reference(kind, namespace, object["metadata"]["name"].as_str().unwrap());
        object["apiVersion"] = named.gvk.api_version().into();
        object["kind"] = named.gvk.kind.clone().into();
        self.runtime.block_on(self.api.create(&object, MANAGER)).unwrap();
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
        let object = reference(kind, namespace, name);
        self.runtime.block_on(self.api.patch(&object, "application/merge-patch+json", patch, MANAGER)).unwrap();
    }

    /// Deletes an object and, unless it is a namespace, waits until it is gone: its dependents go first, so another of
    /// its name could not be made at once.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        assert!(self.runtime.block_on(self.api.delete(&reference(kind, namespace, name), None)).unwrap(), "{name}");
        if kind != "namespaces" {
            eventually("a deleted object goes", Duration::from_secs(30), || self.is_gone(kind, namespace, name));
        }
    }

    /// Waits until an object is really gone, as a namespace is after everything in it.
    pub(crate) fn is_gone(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.runtime.block_on(self.api.get(&reference(kind, namespace, name))).unwrap().is_none()
    }
}

fn reference(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    let (version, kind) = match kind {
        "gateways" => ("networking.istio.io/v1alpha3", "Gateway"),
        "virtualservices" => ("networking.istio.io/v1alpha3", "VirtualService"),
        "destinationrules" => ("networking.istio.io/v1alpha3", "DestinationRule"),
        "services" => ("v1", "Service"),
        "configmaps" => ("v1", "ConfigMap"),
        "namespaces" => ("v1", "Namespace"),
        "deployments" => ("apps/v1", "Deployment"),
        other => panic!("{other}"),
    };
    ObjectRef::new(version, kind, Some(namespace).filter(|_| kind != "Namespace"), name)
}

/// The object without what the server keeps books by.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
    object.as_object_mut().unwrap().remove("status");
    object
}
