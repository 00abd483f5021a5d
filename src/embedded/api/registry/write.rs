use std::sync::Arc;

use serde_json::{Value, json};

use super::ownership::{self, Ownership};
use super::rules::{self, Part};
use super::{DEFINITIONS, Registry, custom, decode, services, storage_status};
use crate::embedded::api::admission::{AdmissionRequest, Operation};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::embedded::store::{Effect, Expect, Key, WriteError, revision_of};
use crate::objects::defaults::admit_pod;
use crate::objects::meta;

/// Attempts of a change that does not name a revision, when others change the object at the same time.
pub(super) const ATTEMPTS: usize = 20;

/// How a write is to be carried out.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Everything is checked and nothing is stored.
    pub dry_run: bool,
    /// Who owns the fields that are set.
    pub ownership: Ownership,
}

/// A write that was carried out.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object as it is stored now, in its storage version.
    pub object: Arc<Value>,
    /// What the client is to be warned of.
    pub warnings: Vec<String>,
}

/// Held while a Service takes addresses and ports.
type Allocation<'a> = tokio::sync::MutexGuard<'a, ()>;

/// Where a change applies.
#[derive(Clone, Copy)]
pub(in crate::embedded::api) struct Target<'a> {
    pub(in crate::embedded::api) resource: &'a Arc<Resource>,
    pub(in crate::embedded::api) namespace: Option<&'a str>,
    pub(in crate::embedded::api) name: &'a str,
}

impl Registry {
    /// Stores a new object. Its `apiVersion` may be any that the resource has; without one, the stored version is meant.
    ///
    /// # Errors
    /// 404 for a missing namespace, 409 when the name is taken, 422 for an invalid object, or what admission says.
    pub async fn create(&self, resource: &str, namespace: Option<&str>, object: Value) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        Ok(self.create_with(&resource, namespace, object, &WriteOptions::default()).await?.object)
    }

    /// Replaces an object, but for its status where that is a subresource. An object that carries a `resourceVersion`
    /// replaces only that state.
    ///
    /// # Errors
    /// 404, 409 when the object has changed since, 422, or what admission says.
    pub async fn update(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.update_part(resource, namespace, name, Part::Main, object).await
    }

    /// Replaces an object's status.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn update_status(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        self.update_part(resource, namespace, name, Part::Status, object).await
    }

    async fn update_part(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        part: Part,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        let target = Target { resource: &resource, namespace, name };
        Ok(self.replace(target, part, object, &WriteOptions::default()).await?.object)
    }

    /// Reads, changes and stores an object, status included, again from the start when somebody else was faster.
    /// Admission is not asked: this is for the daemon's own parts.
    ///
    /// # Errors
    /// 404 when the object is gone, 500 when storage refuses.
    pub async fn modify(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        mut change: impl FnMut(&mut Value),
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        let target = Target { resource: &resource, namespace, name };
        let make = |old: &Value| {
            let mut new = old.clone();
            change(&mut new);
            Ok(new)
        };
        Ok(self.change(target, Part::Whole, &WriteOptions::default(), make).await?.object)
    }

    pub(in crate::embedded::api) async fn create_with(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        if meta::resource_version(&object).is_some_and(|version| version != "0") {
            return Err(Status::plain(500, "resourceVersion should not be set on objects to be created"));
        }
        decode::check_depth(&object)?;
        decode::settle_kind(resource, &mut object)?;
        decode::normalize(resource, &mut object);
        rules::settle_namespace(resource, namespace, &mut object)?;
        rules::settle_name(&mut object);
        rules::label_namespace(resource, &mut object);
        let owners = ownership::at_creation(resource, &mut object, &options.ownership);
        let name = meta::name(&object).to_owned();
        let namespace_object = self.creation_namespace(resource, namespace, &name)?;
        let gvk = resource.storage_gvk();
        let full_name = resource.full_name();
        let suffix = rules::random_suffix();
        if full_name == "pods" {
            admit_pod(&mut object, &suffix);
        }
        let mut request = AdmissionRequest {
            operation: Operation::Create,
            gvk: &gvk,
            resource: &full_name,
            namespace,
            name: &name,
            object: None,
            old_object: None,
            namespace_object,
            dry_run: options.dry_run,
        };
        let admission = self.admission();
        for party in &admission {
            party.mutate(&request, &mut object)?;
        }
        decode::normalize(resource, &mut object);
        rules::prepare_creation(resource, &mut object);
        ownership::put(&mut object, owners);
        if full_name == "pods" {
            // Again, because containers that were injected meanwhile get the token and count for the class, too.
            object["status"] = json!({"phase": "Pending"});
            admit_pod(&mut object, &suffix);
        }
        let errors = decode::validate_creation(resource, &object);
        if !errors.is_empty() {
            return Err(Status::invalid(&gvk, &name, &errors));
        }
        let _allocation = match full_name.as_str() {
            "services" => {
                let guard = self.0.allocation.lock().await;
                services::allocate(self, &gvk, None, &mut object)?;
                Some(guard)
            }
            _ => None,
        };
        if full_name == DEFINITIONS {
            custom::establish(&self.catalog(), &mut object);
        }
        request.object = Some(&object);
        let mut warnings = Vec::new();
        for party in &admission {
            warnings.extend(party.validate(&request)?);
        }
        drop(request);
        let key = Key::new(&full_name, namespace.filter(|_| resource.namespaced), &name);
        if options.dry_run {
            if self.0.store.get(&key).is_some() {
                return Err(Status::already_exists(resource, &name));
            }
            return Ok(Written { object: Arc::new(object), warnings });
        }
        let written = self.0.store.write(key, Expect::Absent, Effect::Put(object)).await;
        let object = written.map_err(|error| storage_status(resource, &name, &error))?;
        if full_name == DEFINITIONS {
            self.refresh_catalog();
        }
        Ok(Written { object, warnings })
    }

    pub(in crate::embedded::api) async fn replace(
        &self,
        target: Target<'_>,
        part: Part,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        decode::settle_kind(target.resource, &mut object)?;
        decode::normalize(target.resource, &mut object);
        let given = object["metadata"]["name"].as_str().unwrap_or_default();
        if given != target.name {
            return Err(Status::bad_request(if given.is_empty() {
                "the name of the object (based on URL) was undeterminable: name must be provided".to_owned()
            } else {
                format!("the name of the object ({given}) does not match the name on the URL ({})", target.name)
            }));
        }
        rules::settle_namespace(target.resource, target.namespace, &mut object)?;
        self.change(target, part, options, |old| {
            check_preconditions(target, old, &object)?;
            Ok(object.clone())
        })
        .await
    }

    /// Carries a change through: `make` computes the new state from the present one, and is asked again when somebody
    /// else was faster, unless the new state names the revision that it replaces.
    pub(in crate::embedded::api) async fn change(
        &self,
        target: Target<'_>,
        part: Part,
        options: &WriteOptions,
        mut make: impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Written, Status> {
        let Target { resource, namespace, name } = target;
        let full_name = resource.full_name();
        let key = Key::new(&full_name, namespace.filter(|_| resource.namespaced), name);
        let mut last = Status::modified(resource, name);
        for _ in 0..ATTEMPTS {
            let old = self.0.store.get(&key).ok_or_else(|| Status::not_found(resource, name))?;
            let mut new = make(&old)?;
            decode::check_depth(&new)?;
            let given = ownership::take(&mut new);
            rules::prepare_change(resource, part, &old, &mut new);
            ownership::at_change(resource, part, &old, &mut new, given, &options.ownership);
            let (warnings, allocation) = match part {
                Part::Whole => (Vec::new(), self.allocate(resource, &old, &mut new).await?),
                Part::Main => self.admit_change(target, options, &old, &mut new).await?,
                Part::Status => (judge_change(target, &old, &new).map(|()| Vec::new())?, None),
            };
            if full_name == DEFINITIONS && part == Part::Main {
                custom::establish(&self.catalog(), &mut new);
            }
            if rules::is_same(&old, &new) {
                return Ok(Written { object: old, warnings });
            }
            if options.dry_run {
                return Ok(Written { object: Arc::new(new), warnings });
            }
            let finished = rules::is_finished(resource, &new);
            let effect = if finished { Effect::Remove(new) } else { Effect::Put(new) };
            let outcome = self.0.store.write(key.clone(), Expect::Revision(revision_of(&old)), effect).await;
            drop(allocation);
            match outcome {
                Ok(object) => {
                    if full_name == DEFINITIONS {
                        self.refresh_catalog();
                    }
                    return Ok(Written { object, warnings });
                }
                Err(error @ WriteError::Conflict { .. }) => last = storage_status(resource, name, &error),
                Err(error) => return Err(storage_status(resource, name, &error)),
            }
        }
        Err(last)
    }

    /// What webhooks are asked about: a change of the main resource, not of its status.
    async fn admit_change(
        &self,
        target: Target<'_>,
        options: &WriteOptions,
        old: &Value,
        new: &mut Value,
    ) -> Result<(Vec<String>, Option<Allocation<'_>>), Status> {
        let Target { resource, namespace, name } = target;
        let gvk = resource.storage_gvk();
        let full_name = resource.full_name();
        let mut request = AdmissionRequest {
            operation: Operation::Update,
            gvk: &gvk,
            resource: &full_name,
            namespace,
            name,
            object: None,
            old_object: Some(old),
            namespace_object: namespace.and_then(|namespace| self.get("namespaces", None, namespace).ok()),
            dry_run: options.dry_run,
        };
        let admission = self.admission();
        for party in &admission {
            party.mutate(&request, new)?;
        }
        decode::normalize(resource, new);
        // Which node port a Service keeps is told by the ports that it really asks for.
        let allocation = self.allocate(resource, old, new).await?;
        judge_change(target, old, new)?;
        let mut warnings = Vec::new();
        if !rules::is_same(old, new) {
            request.object = Some(new);
            for party in &admission {
                warnings.extend(party.validate(&request)?);
            }
        }
        Ok((warnings, allocation))
    }

    /// Gives a changed Service its addresses and ports; they are nobody else's while the guard lives.
    async fn allocate(
        &self,
        resource: &Resource,
        old: &Value,
        new: &mut Value,
    ) -> Result<Option<Allocation<'_>>, Status> {
        if resource.full_name() != "services" {
            return Ok(None);
        }
        let guard = self.0.allocation.lock().await;
        services::allocate(self, &resource.storage_gvk(), Some(old), new)?;
        Ok(Some(guard))
    }

    /// The namespace that a new object goes into.
    fn creation_namespace(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        let Some(namespace) = namespace.filter(|_| resource.namespaced) else { return Ok(None) };
        let object = self.get("namespaces", None, namespace)?;
        if !meta::is_terminating(&object) {
            return Ok(Some(object));
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = Status::forbidden(resource, name, &why);
        if let Some(details) = &mut status.details {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        Err(status)
    }
}

/// Whether the new state is valid, and may follow the old one.
fn judge_change(target: Target<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    let errors = decode::validate_change(target.resource, old, new);
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&target.resource.storage_gvk(), target.name, &errors)) }
}

/// Checks the revision and uid that a replacing object names.
fn check_preconditions(target: Target<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    let Target { resource, name, .. } = target;
    let uid = meta::uid(new);
    if !uid.is_empty() && uid != meta::uid(old) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta::uid(old));
        return Err(Status::conflict(resource, name, &why));
    }
    match meta::resource_version(new) {
        None | Some("0") if resource.custom => {
            let error = crate::objects::FieldError::invalid(
                "metadata.resourceVersion",
                "0x0",
                "must be specified for an update",
            );
            Err(Status::invalid(&resource.storage_gvk(), name, &[error]))
        }
        None | Some("0") => Ok(()),
        Some(version) => {
            let Ok(version) = version.parse::<u64>() else {
                return Err(Status::plain(500, format!("strconv.ParseUint: parsing {version:?}: invalid syntax")));
            };
            if version == revision_of(old) { Ok(()) } else { Err(Status::modified(resource, name)) }
        }
    }
}
