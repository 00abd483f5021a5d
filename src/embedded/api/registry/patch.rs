use serde_json::Value;

use super::rules::Part;
use super::write::{Target, WriteOptions, Written};
use super::{Registry, convert, decode};
use crate::embedded::api::status::Status;
use crate::embedded::store::revision_of;
use crate::objects::decode::check_types;
use crate::objects::merge::{JsonPatchError, Patch, PatchType, json_merge_patch, json_patch, strategic_merge_patch};
use crate::objects::{FieldError, Gvk, go_json, meta};

impl Registry {
    /// Patches an object; with a subresource, that part of it.
    ///
    /// # Errors
    /// 404, 409 when the patch names a revision that is no longer stored, 415 for a strategic patch of a custom
    /// resource, 422 when the patch does not apply or its result is invalid, or what admission says.
    pub async fn patch(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
        patch: Patch,
        subresource: Option<&str>,
    ) -> Result<std::sync::Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        let version = resource.versions[resource.storage].name.clone();
        let part = if subresource == Some("status") { Part::Status } else { Part::Main };
        let target = Target { resource: &resource, namespace, name };
        Ok(self.patch_with(target, &version, part, &patch, &WriteOptions::default()).await?.object)
    }

    /// Patches the object as it looks in one version.
    pub(in crate::embedded::api) async fn patch_with(
        &self,
        target: Target<'_>,
        version: &str,
        part: Part,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let Target { resource, name, .. } = target;
        let gvk = resource.gvk(version);
        self.change(target, part, options, |old| {
            let mut new = convert::to_version(resource, version, old).into_owned();
            apply(&mut new, patch, &gvk)?;
            check_types(&gvk, &new).map_err(|error| {
                let error = FieldError::invalid_text("patch", &go_json::to_string(&new), &error.to_string());
                Status::invalid(&Gvk::new("", "", ""), "", &[error])
            })?;
            let given = meta::name(&new);
            if given != name {
                return Err(Status::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
            if new["metadata"]["namespace"] != old["metadata"]["namespace"] {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            let revision = meta::resource_version(&new).and_then(|version| version.parse::<u64>().ok());
            if revision.is_some_and(|revision| revision != revision_of(old)) {
                return Err(Status::modified(resource, name));
            }
            decode::settle_kind(resource, &mut new)?;
            decode::normalize(resource, &mut new);
            Ok(new)
        })
        .await
    }
}

fn apply(object: &mut Value, patch: &Patch, gvk: &Gvk) -> Result<(), Status> {
    match patch.content_type {
        PatchType::Json => json_patch(object, &patch.body).map_err(|error| match error {
            JsonPatchError::Malformed(_) => Status::bad_request(error.to_string()),
            _ => rejected(),
        }),
        PatchType::Merge => {
            if !patch.body.is_object() {
                return Err(Status::plain(500, "Invalid JSON Patch"));
            }
            json_merge_patch(object, &patch.body);
            Ok(())
        }
        PatchType::Strategic => {
            strategic_merge_patch(object, &patch.body, gvk).map_err(|error| Status::bad_request(error.to_string()))
        }
    }
}

/// What kube-apiserver says of a JSON patch that does not apply.
fn rejected() -> Status {
    let mut status = Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
    status.details = Some(Box::new(serde_json::json!({})));
    status
}
