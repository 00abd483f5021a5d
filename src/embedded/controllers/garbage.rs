//! The garbage collector: what becomes of objects whose owners are deleted, in the background, in the foreground, or
//! orphaned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::queue::ObjectKey;
use crate::embedded::api::{DeleteOptions, Propagation, Registry, Status};
use crate::objects::meta;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// The wait before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Something that may leave garbage behind.
#[derive(Debug, Clone)]
enum Trace {
    /// An object is gone; its dependents may be garbage, and its owners may wait for it.
    Gone(Arc<Value>),
    /// An object waits for its dependents to be deleted or let go.
    Waiting { resource: String, object: Arc<Value> },
    /// An object names owners, which may be gone already.
    Owned { resource: String, object: Arc<Value> },
}

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry) {
    let (traces, mut arriving) = mpsc::channel(256);
    let mut watchers =
        Watchers { registry: registry.clone(), traces: traces.clone(), tasks: JoinSet::new(), known: HashMap::new() };
    let mut catalog = registry.catalog_changes();
    watchers.cover_all();
    loop {
        let trace = tokio::select! {
            trace = arriving.recv() => trace,
            Ok(()) = catalog.changed() => {
                watchers.cover_all();
                continue;
            }
        };
        let Some(trace) = trace else { return };
        if let Err(status) = follow(&registry, &trace).await {
            tracing::debug!("garbage collection: {}", status.message);
            let traces = traces.clone();
            watchers.tasks.spawn(async move {
                tokio::time::sleep(RETRY).await;
                let _ = traces.send(trace).await;
            });
        }
        while watchers.tasks.try_join_next().is_some() {}
    }
}

/// One task for each resource, turning its events into traces.
struct Watchers {
    registry: Registry,
    traces: mpsc::Sender<Trace>,
    tasks: JoinSet<()>,
    known: HashMap<String, tokio::task::AbortHandle>,
}

impl Watchers {
    fn cover_all(&mut self) {
        let resources: Vec<String> = self.registry.catalog().iter().map(|resource| resource.full_name()).collect();
        self.known.retain(|resource, task| {
            let served = resources.contains(resource);
            if !served {
                task.abort();
            }
            served
        });
        for resource in resources {
            // Events own nothing and are owned by nothing, and there are many.
            if resource == "events" || resource == "events.events.k8s.io" || self.known.contains_key(&resource) {
                continue;
            }
            let watching = watch_one(self.registry.clone(), resource.clone(), self.traces.clone());
            self.known.insert(resource, self.tasks.spawn(watching));
        }
    }
}

async fn watch_one(registry: Registry, resource: String, traces: mpsc::Sender<Trace>) {
    let mut watch = registry.watch(&resource, None);
    loop {
        let event = watch.next().await;
        let trace = if event.is_deleted() {
            Some(Trace::Gone(Arc::clone(event.object())))
        } else if event.old().is_none() || meta::is_terminating(event.object()) {
            trace_of(&resource, Arc::clone(event.object()))
        } else {
            None
        };
        if let Some(trace) = trace
            && traces.send(trace).await.is_err()
        {
            return;
        }
    }
}

fn trace_of(resource: &str, object: Arc<Value>) -> Option<Trace> {
    let waits =
        meta::is_terminating(&object) && meta::finalizers(&object).any(|one| one == FOREGROUND || one == ORPHAN);
    if waits {
        Some(Trace::Waiting { resource: resource.to_owned(), object })
    } else if meta::owner_references(&object).is_empty() {
        None
    } else {
        Some(Trace::Owned { resource: resource.to_owned(), object })
    }
}

async fn follow(registry: &Registry, trace: &Trace) -> Result<(), Status> {
    match trace {
        Trace::Gone(object) => {
            for (resource, dependent) in dependents(registry, object)? {
                collect_if_orphaned(registry, &resource, &dependent).await?;
            }
            for reference in meta::owner_references(object) {
                if let Some((resource, owner)) = find_owner(registry, object, reference)
                    && let Some(Trace::Waiting { .. }) = trace_of(&resource, Arc::clone(&owner))
                {
                    release_when_alone(registry, &resource, &owner).await?;
                }
            }
            Ok(())
        }
        Trace::Waiting { resource, object } => release_when_alone(registry, resource, object).await,
        Trace::Owned { resource, object } => collect_if_orphaned(registry, resource, object).await,
    }
}

/// Everything that names this object as an owner.
fn dependents(registry: &Registry, owner: &Value) -> Result<Vec<(String, Arc<Value>)>, Status> {
    let uid = meta::uid(owner);
    let mut found = vec![];
    for resource in registry.catalog().iter() {
        let full_name = resource.full_name();
        // What is in a namespace owns only things of the same namespace.
        let (objects, _) = registry.list(&full_name, meta::namespace(owner).filter(|_| resource.namespaced))?;
        let names = |object: &Value| meta::owner_references(object).iter().any(|one| one["uid"] == *uid);
        found.extend(objects.into_iter().filter(|object| names(object)).map(|object| (full_name.clone(), object)));
    }
    Ok(found)
}

/// The object that a reference of `dependent` means, if it still exists.
fn find_owner(registry: &Registry, dependent: &Value, reference: &Value) -> Option<(String, Arc<Value>)> {
    let kind = reference["kind"].as_str()?;
    let group = reference["apiVersion"].as_str()?.rsplit_once('/').map_or("", |(group, _)| group);
    let catalog = registry.catalog();
    let resource = catalog.iter().find(|resource| resource.kind == kind && resource.group == group)?;
    let namespace = meta::namespace(dependent).filter(|_| resource.namespaced);
    let owner = registry.get(&resource.full_name(), namespace, reference["name"].as_str()?).ok()?;
    (owner["metadata"]["uid"] == reference["uid"]).then(|| (resource.full_name(), owner))
}

/// Deletes an object none of whose owners exists any more.
async fn collect_if_orphaned(registry: &Registry, resource: &str, object: &Value) -> Result<(), Status> {
    let key = ObjectKey::of(object);
    let current = match registry.get(resource, key.scope(), &key.name) {
        Ok(current) if meta::uid(&current) == meta::uid(object) => current,
        Ok(_) => return Ok(()),
        Err(status) if status.is_not_found() => return Ok(()),
        Err(status) => return Err(status),
    };
    let references = meta::owner_references(&current);
    let owned = references.iter().any(|reference| find_owner(registry, &current, reference).is_some());
    if references.is_empty() || owned || meta::is_terminating(&current) {
        return Ok(());
    }
    delete(registry, resource, &key, Propagation::Background).await
}

/// Takes the finalizer off an object whose dependents are dealt with; begins to deal with them otherwise.
async fn release_when_alone(registry: &Registry, resource: &str, object: &Value) -> Result<(), Status> {
    let key = ObjectKey::of(object);
    let finalizers: Vec<&str> = meta::finalizers(object).collect();
    let mut blocked = false;
    for (dependent_resource, dependent) in dependents(registry, object)? {
        let dependent_key = ObjectKey::of(&dependent);
        if finalizers.contains(&ORPHAN) {
            let uid = meta::uid(object).to_owned();
            let released = registry.modify(&dependent_resource, dependent_key.scope(), &dependent_key.name, |stored| {
                if let Some(references) = stored["metadata"]["ownerReferences"].as_array_mut() {
                    references.retain(|reference| reference["uid"] != *uid);
                }
            });
            ignore_missing(released.await.map(drop))?;
        } else {
            let references = meta::owner_references(&dependent);
            blocked |= references
                .iter()
                .any(|one| one["uid"] == object["metadata"]["uid"] && one["blockOwnerDeletion"] == true);
            if !meta::is_terminating(&dependent) {
                delete(registry, &dependent_resource, &dependent_key, Propagation::Foreground).await?;
            }
        }
    }
    if blocked && !finalizers.contains(&ORPHAN) {
        // Each dependent tells when it is gone; one that went at once has told already.
        let left = dependents(registry, object)?;
        if left.iter().any(|(_, dependent)| {
            meta::owner_references(dependent)
                .iter()
                .any(|one| one["uid"] == object["metadata"]["uid"] && one["blockOwnerDeletion"] == true)
        }) {
            return Ok(());
        }
    }
    let released = registry.modify(resource, key.scope(), &key.name, |stored| {
        meta::remove_finalizer(stored, FOREGROUND);
        meta::remove_finalizer(stored, ORPHAN);
    });
    ignore_missing(released.await.map(drop))
}

async fn delete(registry: &Registry, resource: &str, key: &ObjectKey, how: Propagation) -> Result<(), Status> {
    let options = DeleteOptions { propagation: Some(how), ..DeleteOptions::default() };
    ignore_missing(registry.delete(resource, key.scope(), &key.name, options).await.map(drop))
}

fn ignore_missing(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.is_not_found() => Ok(()),
        other => other,
    }
}
