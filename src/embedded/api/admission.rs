//! What may object to a write, or change it first, before it is stored.
//!
//! The mesh registers itself here where a real cluster would call webhooks: first everybody may mutate, then schemas
//! and built-in rules are checked, then everybody may refuse.

use std::sync::Arc;

use serde_json::Value;

use super::Status;
use crate::objects::Gvk;

/// What the request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A new state of an object.
    Update,
    /// The end of an object.
    Delete,
}

/// One write, as admission sees it.
#[derive(Clone, Debug)]
pub struct AdmissionRequest<'a> {
    /// What is about to happen.
    pub operation: Operation,
    /// The object's kind, in the version in which it is stored.
    pub gvk: &'a Gvk,
    /// The resource with its group, such as `pods` or `virtualservices.networking.istio.io`.
    pub resource: &'a str,
    /// The object's namespace; `None` for cluster-scoped ones.
    pub namespace: Option<&'a str>,
    /// The object's name.
    pub name: &'a str,
    /// The new state; `None` for deletions, and in [`Admission::mutate`], which is handed it separately.
    pub object: Option<&'a Value>,
    /// The state before; `None` for creations.
    pub old_object: Option<&'a Value>,
    /// The namespace's own object, for its labels.
    pub namespace_object: Option<Arc<Value>>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// A refusal; the message is what kubectl prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status code.
    pub code: u16,
    /// The Status' reason; webhooks often give none.
    pub reason: Option<String>,
    /// The whole message, the webhook's name included.
    pub message: String,
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        Self {
            code: denial.code,
            reason: denial.reason.unwrap_or_default().into(),
            message: denial.message,
            details: None,
        }
    }
}

/// A party that is asked about every write.
pub trait Admission: Send + Sync {
    /// Changes the object before it is validated. Called for creations and updates.
    ///
    /// # Errors
    /// A [`Denial`] refuses the write.
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Denial>;

    /// Judges the write and returns warnings for the client.
    ///
    /// # Errors
    /// A [`Denial`] refuses the write.
    fn validate(&self, request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denial>;
}
