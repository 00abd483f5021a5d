//! Patches: the three formats that the API server takes, applied to objects.
//!
//! [`json_merge_patch`] is RFC 7386, [`json_patch`] RFC 6902, [`strategic_merge_patch`] Kubernetes' own format, which
//! merges lists by what their items are called. The reverse, making patches, is in [`crate::objects::apply`].

mod json_merge;
mod json_patch;
mod lists;
mod patch;
mod strategic;

pub use json_merge::{create_json_merge_patch, json_merge_patch};
pub use json_patch::{JsonPatchError, json_patch};
pub use patch::{Patch, PatchType};
pub use strategic::{StrategicMergeError, strategic_merge_patch};

pub(super) use lists::{by_order, same_order};
pub(super) use strategic::{Mode, merge_maps};

/// The words with a meaning of their own in a strategic merge patch.
pub(super) mod directive {
    /// Says how the object that carries it is patched: `replace`, `delete`.
    pub(in crate::objects) const PATCH: &str = "$patch";
    /// Lists the keys that may stay in the object.
    pub(in crate::objects) const RETAIN_KEYS: &str = "$retainKeys";
    /// Prefix: values to remove from the set of plain values that the rest of the key names.
    pub(in crate::objects) const DELETE_FROM_SET: &str = "$deleteFromPrimitiveList/";
    /// Prefix: the order of the list that the rest of the key names.
    pub(in crate::objects) const SET_ORDER: &str = "$setElementOrder/";
}
