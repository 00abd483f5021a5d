//! Changes in the cluster behind the lab's back.

use std::time::Duration;

use canary_lab::cluster::{Api, ObjectRef, Removal};
use serde_json::Value;

use super::bench::Bench;

/// Names an object: apiVersion, kind, namespace and name.
pub(crate) type Named<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

/// The cluster of a lab, through its kubeconfig.
pub(crate) struct Cluster {
    runtime: tokio::runtime::Runtime,
    api: Api,
    /// The field manager of what is written.
    manager: &'static str,
}

impl Cluster {
    pub(crate) fn of(bench: &Bench) -> Self {
        Self::managed_by(bench, "a-test")
    }

    pub(crate) fn managed_by(bench: &Bench, manager: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let api = runtime.block_on(Api::connect(&bench.home().join("kubeconfig"))).unwrap();
        Self { runtime, api, manager }
    }

    pub(crate) fn get(&self, object: Named<'_>) -> Option<Value> {
        self.runtime.block_on(self.api.get(&reference(object))).unwrap()
    }

    pub(crate) fn create(&self, object: &Value) {
        self.runtime.block_on(self.api.create(object, self.manager)).unwrap();
    }

    /// Merges a JSON patch document into the object.
    pub(crate) fn patch(&self, object: Named<'_>, patch: &str) {
        let patch: Value = serde_json::from_str(patch).unwrap();
        let reference = reference(object);
        let patched = self.api.patch(&reference, "application/merge-patch+json", &patch, self.manager);
        self.runtime.block_on(patched).unwrap_or_else(|error| panic!("{object:?}: {error}"));
    }

    /// Deletes the object and waits until it is gone.
    pub(crate) fn delete(&self, object: Named<'_>) {
        let _ = self.delete_within(object, Duration::from_mins(1));
    }

    /// Deletes the object; how that had ended when it was gone or the time was up.
    pub(crate) fn delete_within(&self, object: Named<'_>, limit: Duration) -> Removal {
        let reference = reference(object);
        let removal = self.api.remove(&reference, None, limit);
        self.runtime.block_on(removal).unwrap_or_else(|error| panic!("{object:?}: {error}"))
    }

    /// Asks for the object's end; whether it was there.
    pub(crate) fn begin_to_delete(&self, object: Named<'_>) -> bool {
        self.runtime.block_on(self.api.delete(&reference(object), None)).unwrap()
    }
}

fn reference((api_version, kind, namespace, name): Named<'_>) -> ObjectRef {
    ObjectRef::new(api_version, kind, namespace, name)
}
