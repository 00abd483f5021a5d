use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::write::{ATTEMPTS, Target};
use super::{DEFINITIONS, Registry, rules, storage_status};
use crate::embedded::api::admission::{AdmissionRequest, Operation};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::embedded::store::{Effect, Expect, Key, WriteError, revision_of};
use crate::objects::meta;

/// Kept until everything that the object owns is gone; the garbage collector's business.
const FOREGROUND: &str = "foregroundDeletion";
/// Kept until the objects that it owns have forgotten it; the garbage collector's business.
const ORPHAN: &str = "orphan";
/// Namespaces that a cluster cannot be without.
const LASTING_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay and have no owner any more.
    Orphan,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds that a pod gets to end; 0 removes it at once. Without it, the pod's own.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of owned objects; without it, they are deleted in the background.
    pub propagation: Option<Propagation>,
    /// Only an object with this uid is meant.
    pub uid: Option<String>,
    /// Only this state of the object is meant.
    pub resource_version: Option<String>,
    /// Everything is checked and nothing is deleted.
    pub dry_run: bool,
}

/// What has become of an object that was to be deleted.
#[derive(Clone, Debug)]
#[must_use]
pub enum Deletion {
    /// It is gone; this was its last state.
    Gone(Arc<Value>),
    /// It is marked, and goes once its grace period and its finalizers are through.
    Pending(Arc<Value>),
}

impl Deletion {
    /// The object's state when it was deleted, or as it is now.
    pub fn object(&self) -> &Arc<Value> {
        match self {
            Self::Gone(object) | Self::Pending(object) => object,
        }
    }
}

enum Plan {
    Remove(Value),
    Mark(Value),
    Nothing,
}

impl Registry {
    /// Deletes an object, or marks it for deletion when a grace period or finalizers hold it.
    ///
    /// # Errors
    /// 404, 409 when a precondition does not hold, or what admission says.
    pub async fn delete(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Deletion, Status> {
        let resource = self.resource(resource)?;
        self.delete_in(Target { resource: &resource, namespace, name }, &options).await
    }

    /// Removes a pod whose containers have ended; the kubelet's last word. A pod of another uid is left alone.
    ///
    /// # Errors
    /// 404 when the pod is gone, 409 when another one has its name.
    pub async fn finalize_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<Deletion, Status> {
        let options =
            DeleteOptions { grace_period_seconds: Some(0), uid: Some(uid.to_owned()), ..DeleteOptions::default() };
        self.delete("pods", Some(namespace), name, options).await
    }

    pub(in crate::embedded::api) async fn delete_in(
        &self,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Deletion, Status> {
        let Target { resource, namespace, name } = target;
        let full_name = resource.full_name();
        let key = Key::new(&full_name, namespace.filter(|_| resource.namespaced), name);
        if full_name == DEFINITIONS && !options.dry_run {
            Box::pin(self.clear_definition(target, options)).await?;
        }
        let mut last = Status::modified(resource, name);
        for _ in 0..ATTEMPTS {
            let old = self.0.store.get(&key).ok_or_else(|| Status::not_found(resource, name))?;
            check_preconditions(resource, name, &old, options)?;
            self.judge_deletion(target, &old, options.dry_run)?;
            let plan = plan(resource, &old, options);
            if options.dry_run {
                return Ok(match plan {
                    Plan::Remove(object) => Deletion::Gone(Arc::new(object)),
                    Plan::Mark(object) => Deletion::Pending(Arc::new(object)),
                    Plan::Nothing => Deletion::Pending(old),
                });
            }
            let (effect, gone) = match plan {
                Plan::Remove(object) => (Effect::Remove(object), true),
                Plan::Mark(object) => (Effect::Put(object), false),
                Plan::Nothing => return Ok(Deletion::Pending(old)),
            };
            match self.0.store.write(key.clone(), Expect::Revision(revision_of(&old)), effect).await {
                Ok(object) if gone => {
                    if full_name == DEFINITIONS {
                        self.refresh_catalog();
                    }
                    return Ok(Deletion::Gone(object));
                }
                Ok(object) => return Ok(Deletion::Pending(object)),
                Err(error @ WriteError::Conflict { .. }) => last = storage_status(resource, name, &error),
                Err(error) => return Err(storage_status(resource, name, &error)),
            }
        }
        Err(last)
    }

    fn judge_deletion(&self, target: Target<'_>, old: &Value, dry_run: bool) -> Result<(), Status> {
        let Target { resource, namespace, name } = target;
        if resource.group.is_empty() && resource.kind == "Namespace" && LASTING_NAMESPACES.contains(&name) {
            return Err(Status::forbidden(resource, name, "this namespace may not be deleted"));
        }
        let (gvk, full_name) = (resource.storage_gvk(), resource.full_name());
        let request = AdmissionRequest {
            operation: Operation::Delete,
            gvk: &gvk,
            resource: &full_name,
            namespace,
            name,
            object: None,
            old_object: Some(old),
            namespace_object: namespace.and_then(|namespace| self.get("namespaces", None, namespace).ok()),
            dry_run,
        };
        for party in self.admission() {
            party.validate(&request)?;
        }
        Ok(())
    }

    /// Deletes the objects that a definition defines, which would be out of reach without it.
    async fn clear_definition(&self, target: Target<'_>, options: &DeleteOptions) -> Result<(), Status> {
        let definition = self.get_in(target.resource, None, target.name)?;
        check_preconditions(target.resource, target.name, &definition, options)?;
        let Ok(resource) = self.resource(target.name) else { return Ok(()) };
        let (objects, _) = self.0.store.list(&resource.full_name(), None);
        for object in objects {
            let target = Target { resource: &resource, namespace: meta::namespace(&object), name: meta::name(&object) };
            match self.delete_in(target, &DeleteOptions::default()).await {
                Ok(_) => {}
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }
}

fn check_preconditions(resource: &Resource, name: &str, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let uid = meta::uid(old);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
        return Err(Status::conflict(resource, name, &why));
    }
    let version = meta::resource_version(old).unwrap_or_default();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {version}"
        );
        return Err(Status::conflict(resource, name, &why));
    }
    Ok(())
}

fn plan(resource: &Resource, old: &Value, options: &DeleteOptions) -> Plan {
    let mut new = old.clone();
    match options.propagation {
        Some(Propagation::Foreground) => {
            meta::remove_finalizer(&mut new, ORPHAN);
            meta::add_finalizer(&mut new, FOREGROUND);
        }
        Some(Propagation::Orphan) => {
            meta::remove_finalizer(&mut new, FOREGROUND);
            meta::add_finalizer(&mut new, ORPHAN);
        }
        Some(Propagation::Background) => {
            meta::remove_finalizer(&mut new, ORPHAN);
            meta::remove_finalizer(&mut new, FOREGROUND);
        }
        None => {}
    }
    let grace = grace_seconds(resource, old, options);
    let earlier = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if !meta::is_terminating(old) || earlier.is_some_and(|earlier| grace < earlier) {
        let deadline = Timestamp::now() + SignedDuration::from_secs(grace);
        let generation = meta::generation(old);
        let first = !meta::is_terminating(old);
        let metadata = rules::metadata(&mut new);
        metadata.insert("deletionTimestamp".to_owned(), meta::time_text(deadline).into());
        // Namespaces have no grace period, and show none.
        if resource.kind != "Namespace" {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        }
        if first && generation > 0 {
            metadata.insert("generation".to_owned(), (generation + 1).into());
        }
    }
    if resource.group.is_empty() && resource.kind == "Namespace" {
        new["status"]["phase"] = "Terminating".into();
    }
    if rules::is_finished(resource, &new) {
        // Watchers and the client are shown the object as it was, unless it had been marked before.
        return Plan::Remove(if meta::is_terminating(old) { new } else { old.clone() });
    }
    if rules::is_same(old, &new) { Plan::Nothing } else { Plan::Mark(new) }
}

/// Only pods have a grace period, and of these only such as a node may be running.
fn grace_seconds(resource: &Resource, old: &Value, options: &DeleteOptions) -> i64 {
    if !resource.group.is_empty() || resource.kind != "Pod" {
        return 0;
    }
    let own = old["spec"]["terminationGracePeriodSeconds"].as_i64();
    let grace = options.grace_period_seconds.or(own).unwrap_or(30).max(0);
    let scheduled = old["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let ended = matches!(old["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if scheduled && !ended { grace } else { 0 }
}
