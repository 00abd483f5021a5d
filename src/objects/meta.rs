//! Reading and editing the metadata that every object has, and fields deeper inside.
//!
//! Readers are total: an absent or ill-typed field reads as absent. Writers create the objects on the way.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

/// The string at `path`, when there is one.
pub fn text_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(object, path)?.as_str()
}

/// The integer at `path`, when there is one.
pub fn integer_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path)?.as_i64()
}

/// The array at `path`; empty when it is absent.
pub fn list_at<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The value at `path` through nested objects; an explicit `null` reads as absent.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let mut here = object;
    for key in path {
        here = here.get(key)?;
    }
    (!here.is_null()).then_some(here)
}

/// Sets the value at `path`, creating objects on the way; whatever is no object there is replaced by one.
pub fn set_at(object: &mut Value, path: &[&str], value: Value) {
    *slot(object, path) = value;
}

/// Removes the value at `path` and returns it. Objects that become empty stay.
pub fn remove_at(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut here = object;
    for key in parents {
        here = here.get_mut(key)?;
    }
    here.as_object_mut()?.shift_remove(*last)
}

fn slot<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut here = object;
    for key in path {
        here = map_in(here).entry((*key).to_owned()).or_insert(Value::Null);
    }
    here
}

fn map_in(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("was made an object above"),
    }
}

/// `metadata.name`; empty when absent.
pub fn name(object: &Value) -> &str {
    text_at(object, &["metadata", "name"]).unwrap_or_default()
}

/// `metadata.generateName`, when set and not empty.
pub fn generate_name(object: &Value) -> Option<&str> {
    text_at(object, &["metadata", "generateName"]).filter(|prefix| !prefix.is_empty())
}

/// `metadata.namespace`, when set and not empty.
pub fn namespace(object: &Value) -> Option<&str> {
    text_at(object, &["metadata", "namespace"]).filter(|namespace| !namespace.is_empty())
}

/// `metadata.uid`; empty when absent.
pub fn uid(object: &Value) -> &str {
    text_at(object, &["metadata", "uid"]).unwrap_or_default()
}

/// `metadata.resourceVersion`, when set and not empty.
pub fn resource_version(object: &Value) -> Option<&str> {
    text_at(object, &["metadata", "resourceVersion"]).filter(|version| !version.is_empty())
}

/// `metadata.generation`; 0 when absent.
pub fn generation(object: &Value) -> i64 {
    integer_at(object, &["metadata", "generation"]).unwrap_or_default()
}

/// `metadata.labels`, when there are any.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    at(object, &["metadata", "labels"])?.as_object()
}

/// One label's value.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object)?.get(key)?.as_str()
}

/// One annotation's value.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    text_at(object, &["metadata", "annotations", key])
}

/// Sets one label.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    set_at(object, &["metadata", "labels", key], value.into());
}

/// Sets one annotation.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    set_at(object, &["metadata", "annotations", key], value.into());
}

/// Removes one annotation, and the annotations altogether when it was the last one.
pub fn remove_annotation(object: &mut Value, key: &str) {
    remove_at(object, &["metadata", "annotations", key]);
    if at(object, &["metadata", "annotations"]).and_then(Value::as_object).is_some_and(Map::is_empty) {
        remove_at(object, &["metadata", "annotations"]);
    }
}

/// `metadata.finalizers`; empty when absent.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list_at(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str)
}

/// Adds a finalizer unless it is there already.
pub fn add_finalizer(object: &mut Value, finalizer: &str) {
    if finalizers(object).any(|known| known == finalizer) {
        return;
    }
    let list = slot(object, &["metadata", "finalizers"]);
    match list {
        Value::Array(list) => list.push(finalizer.into()),
        other => *other = Value::Array(vec![finalizer.into()]),
    }
}

/// Removes a finalizer, and the list when it becomes empty.
pub fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let path = ["metadata", "finalizers"];
    let left: Vec<Value> =
        list_at(object, &path).iter().filter(|known| known.as_str() != Some(finalizer)).cloned().collect();
    if left.is_empty() {
        remove_at(object, &path);
    } else {
        set_at(object, &path, left.into());
    }
}

/// `metadata.ownerReferences`; empty when absent.
pub fn owner_references(object: &Value) -> &[Value] {
    list_at(object, &["metadata", "ownerReferences"])
}

/// The owner reference that is marked as the object's controller.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// Whether the object's controller has this uid.
pub fn is_controlled_by(object: &Value, uid: &str) -> bool {
    controller_of(object).and_then(|owner| owner.get("uid")?.as_str()) == Some(uid)
}

/// An owner reference by which `owner` controls what it makes, as the Deployment and ReplicaSet controllers write it.
/// `owner` must carry its `apiVersion` and `kind`.
pub fn controller_reference(owner: &Value) -> Value {
    serde_json::json!({
        "apiVersion": text_at(owner, &["apiVersion"]).unwrap_or_default(),
        "kind": text_at(owner, &["kind"]).unwrap_or_default(),
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// `metadata.creationTimestamp`.
pub fn creation_time(object: &Value) -> Option<Timestamp> {
    time_at(object, &["metadata", "creationTimestamp"])
}

/// `metadata.deletionTimestamp`.
pub fn deletion_time(object: &Value) -> Option<Timestamp> {
    time_at(object, &["metadata", "deletionTimestamp"])
}

/// Whether deletion was asked for and is still held up by finalizers or a grace period.
pub fn is_terminating(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// The RFC 3339 time at `path`.
pub fn time_at(object: &Value, path: &[&str]) -> Option<Timestamp> {
    text_at(object, path)?.parse().ok()
}

/// A `metav1.Time` on the wire: RFC 3339 in UTC, whole seconds.
pub fn time_text(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A `metav1.MicroTime` on the wire: RFC 3339 in UTC, six decimals.
pub fn micro_time_text(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// `namespace/name`, or the bare name of a cluster-wide object.
pub fn key(object: &Value) -> String {
    match namespace(object) {
        Some(namespace) => format!("{namespace}/{}", name(object)),
        None => name(object).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn readers_survive_odd_shapes() {
        for odd in [
            json!(null),
            json!([]),
            json!({"metadata": 3}),
            json!({"metadata": {"name": 1, "labels": "x", "finalizers": {}}}),
        ] {
            assert_eq!(name(&odd), "");
            assert_eq!(labels(&odd), None);
            assert_eq!(finalizers(&odd).count(), 0);
            assert_eq!(creation_time(&odd), None);
            assert!(!is_terminating(&odd));
        }
        assert!(!is_terminating(&json!({"metadata": {"deletionTimestamp": null}})));
    }

    #[test]
    fn edits_create_and_clean_up() {
        let mut object = json!({});
        set_label(&mut object, "a", "b");
        set_annotation(&mut object, "x/y", "z");
        add_finalizer(&mut object, "one");
        add_finalizer(&mut object, "one");
        add_finalizer(&mut object, "two");
        assert_eq!(
            object,
            json!({"metadata": {"labels": {"a": "b"}, "annotations": {"x/y": "z"}, "finalizers": ["one", "two"]}})
        );
        remove_annotation(&mut object, "x/y");
        remove_finalizer(&mut object, "one");
        remove_finalizer(&mut object, "two");
        assert_eq!(object, json!({"metadata": {"labels": {"a": "b"}}}));
    }

    #[test]
    fn owners() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "u1"}});
        let pod = json!({"metadata": {"ownerReferences": [controller_reference(&owner)]}});
        assert!(is_controlled_by(&pod, "u1"));
        assert!(!is_controlled_by(&pod, "u2"));
    }

    #[test]
    fn times() {
        let time: Timestamp = "2026-11-23T08:48:40.123456789Z".parse().expect("a time");
        assert_eq!(time_text(time), "2026-11-23T08:48:40Z");
        assert_eq!(micro_time_text(time), "2026-11-23T08:48:40.123456Z");
        let object = json!({"metadata": {"creationTimestamp": "2026-11-23T08:48:40Z"}});
        assert_eq!(creation_time(&object).map(time_text).as_deref(), Some("2026-11-23T08:48:40Z"));
    }
}
