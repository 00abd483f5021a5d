//! What `kubectl apply` does, on any cluster: create with the record of what was applied, or patch three-way.

use serde_json::Value;

use super::api::{Api, ApiError, ObjectRef};
use crate::objects::apply::{LAST_APPLIED, annotated, original_of, three_way};
use crate::objects::merge::Patch;

/// The field manager under which kubectl applies, so that kubectl and the lab see each other's changes as their own.
pub(super) const MANAGER: &str = "kubectl-client-side-apply";

/// The same manager, for a request that the server answers as if it had done it.
const DRY_RUN: &str = "kubectl-client-side-apply&dryRun=All";

/// What an apply did; each carries the object as it is now.
#[derive(Debug, Clone)]
#[must_use]
pub enum Applied {
    /// It was not there.
    Created(Value),
    /// It was otherwise.
    Configured(Value),
    /// It was so already.
    Unchanged(Value),
}

/// How an object compares with its manifest.
#[derive(Debug, Clone)]
#[must_use]
pub enum Comparison {
    /// It is not there.
    Missing,
    /// It is what the manifest makes (but perhaps for the record of what was applied).
    Same(Value),
    /// Somebody changed these fields, or added them.
    Different {
        /// The object as it is.
        live: Value,
        /// Paths of the fields that differ, such as `spec.http`.
        fields: Vec<String>,
    },
}

/// What an apply would make of an object, by the server's own word.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The object as it is; none when it is not there.
    pub live: Option<Value>,
    /// The object as it would be, with every default.
    pub merged: Value,
}

impl Api {
    /// Asks the server what an apply would make of the object; nothing is changed.
    pub async fn preview(&self, manifest: &Value) -> Result<Preview, ApiError> {
        let reference = reference(manifest)?;
        let Some(live) = self.get(&reference).await? else {
            let merged = self.create(&annotated(manifest), DRY_RUN).await?;
            return Ok(Preview { live: None, merged });
        };
        let patch = patch_for(&reference, manifest, &live)?;
        if patch.is_empty() {
            return Ok(Preview { merged: live.clone(), live: Some(live) });
        }
        let merged = self.patch(&reference, patch.content_type.media_type(), &patch.body, DRY_RUN).await?;
        Ok(Preview { live: Some(live), merged })
    }

    /// Makes the object what the manifest says, as `kubectl apply` would.
    pub async fn apply(&self, manifest: &Value) -> Result<Applied, ApiError> {
        let reference = reference(manifest)?;
        let Some(live) = self.get(&reference).await? else {
            match self.create(&annotated(manifest), MANAGER).await {
                Ok(object) => return Ok(Applied::Created(object)),
                // Somebody else was faster: then it is a matter of patching.
                Err(error) if error.is_already_there() => {}
                Err(error) => return Err(error),
            }
            let live = self.get(&reference).await?;
            let live = live.ok_or_else(|| ApiError::Unexpected(format!("{} comes and goes", reference.label())))?;
            return self.patch_towards(&reference, manifest, &live).await;
        };
        self.patch_towards(&reference, manifest, &live).await
    }

    async fn patch_towards(&self, reference: &ObjectRef, manifest: &Value, live: &Value) -> Result<Applied, ApiError> {
        let patch = patch_for(reference, manifest, live)?;
        if patch.is_empty() {
            return Ok(Applied::Unchanged(live.clone()));
        }
        let object = self.patch(reference, patch.content_type.media_type(), &patch.body, MANAGER).await?;
        Ok(Applied::Configured(object))
    }

    /// Looks whether the object is as the manifest alone makes it: whether an apply would change anything, and whether
    /// there is anything that an apply would leave although the manifest does not have it.
    pub async fn compare(&self, manifest: &Value) -> Result<Comparison, ApiError> {
        let reference = reference(manifest)?;
        let Some(live) = self.get(&reference).await? else { return Ok(Comparison::Missing) };
        let mut body = patch_for(&reference, manifest, &live)?.body;
        forget_record(&mut body);
        let mut fields = Vec::new();
        changed_fields(&body, String::new(), &mut fields);
        if fields.is_empty() {
            fields = self.deviations(manifest, &live).await?;
        }
        Ok(if fields.is_empty() { Comparison::Same(live) } else { Comparison::Different { live, fields } })
    }
}

fn reference(manifest: &Value) -> Result<ObjectRef, ApiError> {
    ObjectRef::of(manifest)
        .ok_or_else(|| ApiError::Unexpected("a manifest without apiVersion, kind or name".to_owned()))
}

fn patch_for(reference: &ObjectRef, manifest: &Value, live: &Value) -> Result<Patch, ApiError> {
    three_way(&reference.gvk, original_of(live).as_ref(), manifest, live)
        .map_err(|error| ApiError::Unexpected(error.to_string()))
}

/// Takes the record of what was applied out of a patch, and the mappings that are empty then.
fn forget_record(patch: &mut Value) {
    let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.shift_remove("annotations");
        }
    }
}

/// The paths of a patch down to where it sets something that is not a mapping; list directives are named by their list.
fn changed_fields(patch: &Value, path: String, fields: &mut Vec<String>) {
    match patch {
        Value::Object(members) => {
            for (key, value) in members {
                let key = key.strip_prefix("$setElementOrder/").unwrap_or(key);
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                changed_fields(value, path, fields);
            }
        }
        _ if !fields.contains(&path) => fields.push(path),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_of_the_record_alone_is_no_difference() {
        let mut patch = json!({"metadata": {"annotations": {LAST_APPLIED: "x"}}});
        forget_record(&mut patch);
        let mut fields = Vec::new();
        changed_fields(&patch, String::new(), &mut fields);
        assert!(fields.is_empty(), "{fields:?}");
    }

    #[test]
    fn changed_fields_are_named_by_path() {
        let mut fields = Vec::new();
        let patch =
            json!({"spec": {"http": [1], "template": {"spec": {"$setElementOrder/containers": [], "containers": []}}}});
        changed_fields(&patch, String::new(), &mut fields);
        assert_eq!(fields, ["spec.http", "spec.template.spec.containers"]);
    }
}
