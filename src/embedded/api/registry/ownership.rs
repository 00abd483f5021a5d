//! `metadata.managedFields`: who set which field, as server-side apply needs to know.
//!
//! Requests are recorded; what the daemon's own controllers and its kubelet write is not, so that their many small
//! writes stay cheap. They write nothing that a manifest says.

use jiff::Timestamp;
use serde_json::Value;

use super::rules::{self, Part};
use crate::embedded::api::catalog::Resource;
use crate::objects::fields::{Managers, Place, Writer};
use crate::objects::meta;

/// Who owns the fields that a write sets.
#[derive(Clone, Debug, Default)]
pub enum Ownership {
    /// Nobody is recorded: the daemon itself writes.
    #[default]
    Unrecorded,
    /// This one.
    By(Author),
    /// As the object's `managedFields` say: it was applied.
    Settled,
}

/// Somebody who writes through the API.
#[derive(Clone, Debug)]
pub struct Author {
    /// The manager's name; the user agent's first word where the client gives none.
    pub manager: String,
    /// The version in which the object was sent.
    pub api_version: String,
    /// The subresource that was written; empty for the object itself.
    pub subresource: String,
}

impl Author {
    pub(super) fn writer<'a>(&'a self, now: &'a str) -> Writer<'a> {
        let Self { manager, api_version, subresource } = self;
        Writer { manager, api_version, subresource, now }
    }
}

/// The root of the resource's type.
pub(super) fn place(resource: &Resource) -> Place<'_> {
    match &resource.versions[resource.storage].schema {
        Some(schema) => Place::custom(schema),
        None => Place::builtin(&resource.storage_gvk()),
    }
}

/// What a writer of the main part cannot set.
fn reset(resource: &Resource, part: Part) -> &'static [&'static str] {
    if part == Part::Main && resource.has_status() { &["status"] } else { &[] }
}

/// The object without what a writer of this part cannot set.
pub(super) fn settable(resource: &Resource, part: Part, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        match part {
            Part::Status => {
                fields.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            }
            Part::Main | Part::Whole => fields.retain(|key, _| !reset(resource, part).contains(&key.as_str())),
        }
    }
    object
}

/// Takes the record out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove("managedFields")
}

/// Puts a record into an object.
pub(super) fn put(object: &mut Value, owners: Option<Value>) {
    match owners {
        Some(owners) => {
            rules::metadata(object).insert("managedFields".to_owned(), owners);
        }
        None => {
            take(object);
        }
    }
}

/// The owners of a new object, which has been decoded and given its defaults and nothing else. Its own record is taken.
pub(super) fn at_creation(resource: &Resource, object: &mut Value, ownership: &Ownership) -> Option<Value> {
    let given = take(object);
    match ownership {
        Ownership::Unrecorded => None,
        Ownership::Settled => given,
        Ownership::By(author) => {
            let now = meta::time_text(Timestamp::now());
            let mut managers = given.as_ref().and_then(Managers::decode).unwrap_or_default();
            managers.update(None, object, place(resource), author.writer(&now), reset(resource, Part::Main));
            managers.encode()
        }
    }
}

/// Records a change. `given` is the record that the client sent, if it did.
pub(super) fn at_change(
    resource: &Resource,
    part: Part,
    old: &Value,
    new: &mut Value,
    given: Option<Value>,
    ownership: &Ownership,
) {
    let author = match ownership {
        Ownership::Unrecorded => return,
        Ownership::Settled => return put(new, given),
        Ownership::By(author) => author,
    };
    let recorded = || Managers::decode(&old["metadata"]["managedFields"]).unwrap_or_default();
    let mut managers = match given.filter(|_| part == Part::Main) {
        Some(given) if is_reset(&given) => Managers::default(),
        // Clients that know nothing of the record send none, or one that cannot be read.
        Some(given) => Managers::decode(&given).filter(|given| !given.is_empty()).unwrap_or_else(recorded),
        None => recorded(),
    };
    let now = meta::time_text(Timestamp::now());
    managers.update(Some(old), new, place(resource), author.writer(&now), reset(resource, part));
    put(new, managers.encode());
}

/// An empty list, or one empty entry, asks for the record to be dropped.
fn is_reset(given: &Value) -> bool {
    given.as_array().is_some_and(|entries| match entries.as_slice() {
        [] => true,
        [only] => only.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    })
}
