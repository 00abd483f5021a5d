//! What `kubectl apply` computes: the record of what was applied last, and the patch from what is there to what is wanted.
//!
//! The patch has three sources: `original` (applied last), `modified` (wanted now) and `current` (live). Fields that
//! `original` has and `modified` has not are removed; fields of `modified` that `current` has otherwise are set; all else
//! that lives in `current` stays.

use serde_json::{Map, Value};

use super::merge::{Mode, Patch, StrategicMergeError, merge_maps};
use super::{Gvk, go_json, is_builtin, meta};

mod diff;
mod json_three_way;

/// The annotation in which kubectl records what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why no patch could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The patch would change `apiVersion`, `kind` or the name, which no patch can.
    #[error("precondition failed for: {0}")]
    Precondition(String),
    /// The removals and the changes contradict each other.
    #[error("patch:\n{patch}\nconflicts with changes made from original to current:\n{changes}\n")]
    Conflict {
        /// The changes.
        patch: String,
        /// The removals.
        changes: String,
    },
    /// The objects cannot be merged by their kind's rules.
    #[error(transparent)]
    Merge(#[from] StrategicMergeError),
}

/// The bytes of the last-applied annotation for an object as the user wrote it (namespace filled in), newline included.
pub fn last_applied_annotation(modified: &Value) -> String {
    let mut recorded = modified.clone();
    let annotations = meta::at(&recorded, &["metadata", "annotations"]).and_then(Value::as_object).cloned();
    let mut annotations = annotations.unwrap_or_default();
    annotations.shift_remove(LAST_APPLIED);
    meta::set_at(&mut recorded, &["metadata", "annotations"], Value::Object(annotations));
    go_json::to_string(&recorded) + "\n"
}

/// The object as it is sent to be created: as the user wrote it, with the record of itself.
pub fn annotated(modified: &Value) -> Value {
    let mut object = modified.clone();
    let record = last_applied_annotation(modified);
    if meta::at(&object, &["metadata", "annotations"]).is_none() {
        meta::set_at(&mut object, &["metadata", "annotations"], Value::Object(Map::new()));
    }
    meta::set_annotation(&mut object, LAST_APPLIED, &record);
    object
}

/// What was applied last, as the live object records it.
pub fn original_of(current: &Value) -> Option<Value> {
    serde_json::from_str(meta::annotation(current, LAST_APPLIED)?).ok()
}

/// Makes the patch that `kubectl apply` would send: strategic for kinds that kubectl has types for, JSON merge for others
/// (custom resources and CustomResourceDefinitions). `modified` is what the user wrote, without the record; the patch
/// carries the new record. An [empty](Patch::is_empty) patch means that the object is unchanged.
///
/// # Errors
/// When the patch would rename the object or change its kind, or the objects are malformed.
pub fn three_way(gvk: &Gvk, original: Option<&Value>, modified: &Value, current: &Value) -> Result<Patch, ApplyError> {
    let modified = annotated(modified);
    let empty = Value::Object(Map::new());
    let original = original.unwrap_or(&empty);
    let patch = if is_builtin(gvk) && gvk.group != "apiextensions.k8s.io" {
        Patch::strategic(strategic(gvk, original, &modified, current)?)
    } else {
        Patch::merge(json_three_way::patch(original, &modified, current)?)
    };
    // An existing object's identity is no matter for a patch.
    let renames = [&["apiVersion"][..], &["kind"], &["metadata", "name"]];
    if renames.iter().any(|path| has_path(&patch.body, path)) {
        return Err(ApplyError::Precondition(go_json::display(&patch.body)));
    }
    Ok(patch)
}

fn has_path(value: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(value, |here, key| here.get(key)).is_some()
}

fn strategic(gvk: &Gvk, original: &Value, modified: &Value, current: &Value) -> Result<Value, ApplyError> {
    let place = super::schemas::TypeRef::of(gvk);
    let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let changes = diff::diff_maps(&map(current), &map(modified), place, diff::Wanted::CHANGES)?;
    let mut patch = diff::diff_maps(&map(original), &map(modified), place, diff::Wanted::REMOVALS)?;
    merge_maps(&mut patch, changes, place, Mode::Combine)?;
    Ok(Value::Object(patch))
}

#[cfg(test)]
mod tests;
