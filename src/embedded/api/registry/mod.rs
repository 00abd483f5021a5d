//! The registry: every reading and writing of objects, by requests and by the daemon's own parts alike.
//!
//! `write` carries a creation or change through decoding, admission, validation and storage; `rules` knows what each
//! kind does with metadata, status and generation; `delete` knows finalizers, grace and propagation. Objects are kept
//! in their resource's storage version; whoever reads in another version converts.

mod apply;
mod bootstrap;
mod convert;
mod custom;
mod decode;
mod delete;
mod events;
mod ownership;
mod patch;
mod rules;
mod services;
mod watch;
mod write;

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::admission::Admission;
use super::catalog::{Catalog, Resource};
use super::status::Status;
use crate::embedded::store::{Key, Store, WriteError};

pub(in crate::embedded::api) use apply::Applied;
pub(in crate::embedded::api) use convert::to_version;
pub use delete::{DeleteOptions, Deletion, Propagation};
pub use ownership::{Author, Ownership};
pub(in crate::embedded::api) use rules::Part;
pub use services::ServiceRange;
pub use watch::{Watch, WatchEvent};
pub(in crate::embedded::api) use write::Target;
pub use write::{WriteOptions, Written};

/// The resource that defines resources.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What differs from lab to lab.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where Services get their ClusterIPs from; the first address is the `kubernetes` Service's.
    pub services: ServiceRange,
}

/// The objects of the cluster, shared by cloning.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    catalog: tokio::sync::watch::Sender<Arc<Catalog>>,
    admission: RwLock<Vec<Arc<dyn Admission>>>,
    options: RegistryOptions,
    /// Held from the choice of an address or port until it is stored, so that none is given twice.
    allocation: tokio::sync::Mutex<()>,
}

impl Registry {
    /// A registry over this store, with the resources that its CustomResourceDefinitions define.
    pub fn new(store: Store, options: RegistryOptions) -> Self {
        let (definitions, _) = store.list(DEFINITIONS, None);
        let catalog = Catalog::new(definitions.iter().map(|definition| &**definition));
        Self(Arc::new(Inner {
            store,
            catalog: tokio::sync::watch::Sender::new(Arc::new(catalog)),
            admission: RwLock::default(),
            options,
            allocation: tokio::sync::Mutex::default(),
        }))
    }

    /// Adds a party that is asked about every write from now on, after those that are there already.
    pub fn add_admission(&self, admission: Arc<dyn Admission>) {
        self.0.admission.write().unwrap_or_else(PoisonError::into_inner).push(admission);
    }

    /// The resources that are served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.borrow())
    }

    /// Tells whenever the resources that are served have changed. A definition's own event comes before that.
    pub fn catalog_changes(&self) -> tokio::sync::watch::Receiver<Arc<Catalog>> {
        self.0.catalog.subscribe()
    }

    /// The storage below.
    pub(in crate::embedded::api) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Why storage refuses writes at the moment, if it does.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.0.store.trouble()
    }

    fn admission(&self) -> Vec<Arc<dyn Admission>> {
        self.0.admission.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resource with this full name (`pods`, `deployments.apps`).
    ///
    /// # Errors
    /// 404 when it is not served (now).
    pub fn resource(&self, full_name: &str) -> Result<Arc<Resource>, Status> {
        self.catalog().get(full_name).cloned().ok_or_else(Status::no_such_resource)
    }

    /// One object, in its storage version.
    ///
    /// # Errors
    /// 404 when the resource or the object does not exist.
    pub fn get(&self, resource: &str, namespace: Option<&str>, name: &str) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        self.get_in(&resource, namespace, name)
    }

    fn get_in(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Result<Arc<Value>, Status> {
        let key = Key::new(&resource.full_name(), namespace, name);
        self.0.store.get(&key).ok_or_else(|| Status::not_found(resource, name))
    }

    /// All objects of a resource, or those in one namespace, and the revision of that state.
    ///
    /// # Errors
    /// 404 when the resource does not exist.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Result<(Vec<Arc<Value>>, u64), Status> {
        let resource = self.resource(resource)?;
        Ok(self.0.store.list(&resource.full_name(), namespace))
    }

    /// Follows a resource: first everything that is there, as `Added`, then every change.
    ///
    /// A resource that is not defined (yet) shows its objects once it is.
    pub fn watch(&self, resource: &str, namespace: Option<&str>) -> Watch {
        Watch::new(self.0.store.clone(), resource, namespace)
    }

    /// Makes the catalog follow the CustomResourceDefinitions that are stored.
    fn refresh_catalog(&self) {
        // Read under the lock, so that of two that come together the later one is not overwritten.
        self.0.catalog.send_modify(|catalog| {
            let (definitions, _) = self.0.store.list(DEFINITIONS, None);
            *catalog = Arc::new(Catalog::new(definitions.iter().map(|definition| &**definition)));
        });
    }
}

/// What a client hears of a write that storage did not carry out.
fn storage_status(resource: &Resource, name: &str, error: &WriteError) -> Status {
    match error {
        WriteError::Exists(_) => Status::already_exists(resource, name),
        WriteError::Conflict { found: None, .. } => Status::not_found(resource, name),
        WriteError::Conflict { .. } => Status::modified(resource, name),
        WriteError::ReadOnly(reason) => Status::plain(500, &**reason),
        WriteError::Closed => Status::new(503, "ServiceUnavailable", "the API server is shutting down"),
    }
}

#[cfg(test)]
mod tests;
