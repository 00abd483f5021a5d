use std::mem::discriminant;

use serde_json::{Map, Value};

use super::directive::{DELETE_FROM_SET, PATCH, RETAIN_KEYS, SET_ORDER};
use super::lists::{arrange, follows_order, is_delete_marker};
use crate::objects::schemas::{ListStrategy, PatchStrategy, TypeRef};
use crate::objects::{Gvk, go_json};

/// Why a strategic merge patch does not apply; the texts are the API server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicMergeError {
    /// The kind has no Go type to take merge rules from: custom resources.
    #[error("strategic merge patch format is not supported")]
    Unsupported,
    /// The patch is no object.
    #[error("invalid JSON document")]
    NoObject,
    /// An item of a list lacks the key by which the list merges.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item as Go prints it.
        item: String,
        /// The key.
        key: String,
    },
    /// A `$patch` that is none.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The directive.
        directive: String,
        /// The object that carries it, as Go prints it.
        map: String,
    },
    /// `$patch: merge` inside a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// `$retainKeys` does not name a key that the patch sets, or is no list.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` is no list.
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrder,
    /// `$deleteFromPrimitiveList` is no list.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    /// The patch's list and its order list disagree.
    #[error("The order in patch list:\n{list}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The list as Go prints it.
        list: String,
        /// The order as Go prints it.
        order: String,
    },
}

/// Applies a strategic merge patch to an object of a built-in kind.
///
/// # Errors
/// [`StrategicMergeError::Unsupported`] for other kinds; else when the patch contradicts itself or a list's items lack
/// their key. The target may be half-patched then.
pub fn strategic_merge_patch(target: &mut Value, patch: &Value, gvk: &Gvk) -> Result<(), StrategicMergeError> {
    let place = TypeRef::of(gvk).ok_or(StrategicMergeError::Unsupported)?;
    let Value::Object(patch) = patch else { return Err(StrategicMergeError::NoObject) };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return Err(StrategicMergeError::NoObject) };
    merge_maps(target, patch.clone(), Some(place), Mode::Apply)
}

/// What is being merged into what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::objects) enum Mode {
    /// A patch into an object: directives are carried out.
    Apply,
    /// A patch into a patch: directives are kept.
    Combine,
}

/// Merges `patch` into `original`, whose type is `place`.
pub(in crate::objects) fn merge_maps(
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    place: Option<TypeRef>,
    mode: Mode,
) -> Result<(), StrategicMergeError> {
    if let Some(directive) = patch.get(PATCH) {
        match directive.as_str() {
            Some("replace") => {
                patch.shift_remove(PATCH);
                *original = patch;
            }
            Some("delete") => original.clear(),
            _ => {
                return Err(StrategicMergeError::UnknownDirective {
                    directive: go_json::display(directive),
                    map: go_json::display(&Value::Object(patch.clone())),
                });
            }
        }
        return Ok(());
    }
    retain_keys(original, &mut patch, mode)?;
    merge_ordered_lists(original, &mut patch, place, mode)?;
    for (key, value) in patch {
        if let Some(list_key) = key.strip_prefix(DELETE_FROM_SET) {
            if mode == Mode::Combine {
                original.insert(key, value);
                continue;
            }
            let Value::Array(unwanted) = value else { return Err(StrategicMergeError::PrimitiveList) };
            if let Some(Value::Array(list)) = original.get_mut(list_key) {
                list.retain(|item| !unwanted.contains(item));
            }
            continue;
        }
        if value.is_null() {
            original.shift_remove(&key);
            if mode == Mode::Combine {
                original.insert(key, value);
            }
            continue;
        }
        match original.get_mut(&key) {
            Some(old) if discriminant(old) == discriminant(&value) => {
                let strategy = strategy(place, &key);
                merge_values(old, value, place.and_then(|place| inner(place, &key)), strategy, mode)?;
            }
            _ => {
                let value = if mode == Mode::Apply { without_directives(value) } else { value };
                original.insert(key, value);
            }
        }
    }
    Ok(())
}

fn strategy(place: Option<TypeRef>, key: &str) -> PatchStrategy {
    place.map_or(PatchStrategy::default(), |place| place.patch_strategy(key))
}

fn inner(place: TypeRef, key: &str) -> Option<TypeRef> {
    place.property(key).or_else(|| place.map_values())
}

fn merge_values(
    old: &mut Value,
    new: Value,
    place: Option<TypeRef>,
    strategy: PatchStrategy,
    mode: Mode,
) -> Result<(), StrategicMergeError> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if !strategy.replace => merge_maps(old, new, place, mode),
        (Value::Array(old), Value::Array(new)) => match strategy.list {
            ListStrategy::Replace => {
                *old = new;
                Ok(())
            }
            ListStrategy::MergeBy(key) => {
                let live = old.clone();
                let order = new.clone();
                merge_items(old, new, key, place.and_then(|place| place.items()), mode)?;
                *old = arrange(std::mem::take(old), &order, &live, Some(key));
                Ok(())
            }
            ListStrategy::MergeSet => {
                let live = old.clone();
                let order = new.clone();
                old.extend(new);
                let mut seen = Vec::new();
                old.retain(|item| {
                    !seen.contains(item) && {
                        seen.push(item.clone());
                        true
                    }
                });
                *old = arrange(std::mem::take(old), &order, &live, None);
                Ok(())
            }
        },
        (old, new) => {
            *old = new;
            Ok(())
        }
    }
}

/// Merges a list of objects item by item; items that carry a directive act on the list first.
fn merge_items(
    list: &mut Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    place: Option<TypeRef>,
    mode: Mode,
) -> Result<(), StrategicMergeError> {
    let no_key = |item: &Value| StrategicMergeError::NoMergeKey { item: go_json::display(item), key: key.to_owned() };
    let mut additions = Vec::new();
    let mut replace = false;
    for item in patch {
        match item.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
            None => additions.push(item),
            Some("delete") => {
                let name = item.get(key).ok_or_else(|| no_key(&item))?;
                list.retain(|old| old.get(key) != Some(name));
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(StrategicMergeError::MergeInList),
            Some(directive) => {
                return Err(StrategicMergeError::UnknownDirective {
                    directive: directive.to_owned(),
                    map: go_json::display(&item),
                });
            }
        }
    }
    if replace {
        *list = additions;
        return Ok(());
    }
    for item in additions {
        let name = item.get(key).ok_or_else(|| no_key(&item))?;
        match (list.iter_mut().find(|old| old.get(key) == Some(name)), item) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_maps(old, new, place, mode)?,
            (_, item) => list.push(if mode == Mode::Apply { without_directives(item) } else { item }),
        }
    }
    Ok(())
}

/// Carries out `$retainKeys`, or keeps it when patches are combined.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    mode: Mode,
) -> Result<(), StrategicMergeError> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    if mode == Mode::Combine {
        original.entry(RETAIN_KEYS.to_owned()).or_insert(keys);
        return Ok(());
    }
    let keys = keys.as_array().ok_or(StrategicMergeError::RetainKeys)?;
    let named = |key: &String| keys.iter().any(|known| known.as_str() == Some(key));
    let is_directive = |key: &String| key.starts_with(DELETE_FROM_SET) || key.starts_with(SET_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !is_directive(key) && !named(key)) {
        return Err(StrategicMergeError::RetainKeys);
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// Merges the lists for which the patch gives an order, and takes them out of the patch.
fn merge_ordered_lists(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    place: Option<TypeRef>,
    mode: Mode,
) -> Result<(), StrategicMergeError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for name in directives {
        let Some(Value::Array(order)) = patch.shift_remove(&name) else {
            return Err(StrategicMergeError::SetElementOrder);
        };
        if mode == Mode::Combine {
            original.entry(name.clone()).or_insert_with(|| Value::Array(order.clone()));
        }
        let key = &name[SET_ORDER.len()..];
        let strategy = strategy(place, key);
        let merge_key = match strategy.list {
            ListStrategy::MergeBy(merge_key) => Some(merge_key),
            _ => None,
        };
        let live = match original.get(key) {
            Some(Value::Array(live)) => Some(live.clone()),
            Some(_) => return Err(StrategicMergeError::SetElementOrder),
            None => None,
        };
        let additions = match patch.shift_remove(key) {
            Some(Value::Array(additions)) => Some(additions),
            Some(Value::Null) | None => None,
            Some(_) => return Err(StrategicMergeError::SetElementOrder),
        };
        if let Some(additions) = &additions
            && !follows_order(additions, &order, merge_key)
        {
            return Err(StrategicMergeError::OrderMismatch {
                list: go_json::display(&Value::Array(additions.clone())),
                order: go_json::display(&Value::Array(order)),
            });
        }
        let merged = match (live.clone(), additions) {
            (None, None) => continue,
            (Some(live), None) => live,
            (None, Some(additions)) if mode == Mode::Combine => additions,
            (live, Some(additions)) => {
                let mut merged = Value::Array(live.unwrap_or_default());
                let items = place.and_then(|place| inner(place, key));
                merge_values(&mut merged, Value::Array(additions), items, strategy, mode)?;
                match merged {
                    Value::Array(merged) => merged,
                    _ => continue,
                }
            }
        };
        let live = live.unwrap_or_default();
        original.insert(key.to_owned(), Value::Array(arrange(merged, &order, &live, merge_key)));
    }
    Ok(())
}

/// A value that is new to the object: nulls and directives inside it have nothing to act on.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, value)| {
                let directive = key == PATCH
                    || key == RETAIN_KEYS
                    || key.starts_with(DELETE_FROM_SET)
                    || key.starts_with(SET_ORDER);
                !directive && !value.is_null()
            });
            Value::Object(kept.map(|(key, value)| (key, without_directives(value))).collect())
        }
        Value::Array(list) => {
            let kept = list.into_iter().filter(|item| !is_delete_marker(item));
            Value::Array(kept.map(without_directives).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut target: Value, patch: Value) -> Result<Value, String> {
        strategic_merge_patch(&mut target, &patch, &Gvk::new("apps", "v1", "Deployment"))
            .map(|()| target)
            .map_err(|error| error.to_string())
    }

    fn with_containers(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn containers_merge_by_name() {
        let target = with_containers(json!([{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}]));
        let patch = with_containers(json!([{"name": "b", "image": "3"}, {"name": "c"}]));
        assert_eq!(
            patched(target.clone(), patch),
            Ok(with_containers(
                json!([{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "3"}, {"name": "c"}])
            ))
        );
        let patch = with_containers(json!([{"name": "a", "$patch": "delete"}]));
        assert_eq!(patched(target.clone(), patch), Ok(with_containers(json!([{"name": "b", "image": "2"}]))));
        let patch = with_containers(json!([{"$patch": "replace"}, {"name": "z"}]));
        assert_eq!(patched(target.clone(), patch), Ok(with_containers(json!([{"name": "z"}]))));
        let patch = with_containers(json!([{"name": "a", "args": ["y"]}]));
        assert_eq!(
            patched(target.clone(), patch),
            Ok(with_containers(json!([{"name": "a", "image": "1", "args": ["y"]}, {"name": "b", "image": "2"}])))
        );
        assert_eq!(
            patched(target, with_containers(json!([{"image": "x"}]))),
            Err("map: map[image:x] does not contain declared merge key: name".to_owned())
        );
    }

    #[test]
    fn element_order_rearranges() {
        let target = with_containers(json!([{"name": "a"}, {"name": "sidecar"}, {"name": "b"}]));
        let patch = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "1"}],
        }}}});
        assert_eq!(
            patched(target, patch),
            Ok(with_containers(json!([{"name": "sidecar"}, {"name": "b"}, {"name": "a", "image": "1"}])))
        );
        let wrong = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}],
            "containers": [{"name": "a"}],
        }}}});
        assert!(
            patched(with_containers(json!([{"name": "b"}])), wrong)
                .expect_err("disagrees")
                .starts_with("The order in patch list:\n[map[name:a]]\n")
        );
    }

    #[test]
    fn sets_of_plain_values() {
        let target = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
        assert_eq!(patched(target, patch), Ok(json!({"metadata": {"finalizers": ["c", "b"]}})));
    }

    #[test]
    fn unions_lose_what_is_not_retained() {
        let target = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        assert_eq!(patched(target.clone(), patch), Ok(json!({"spec": {"strategy": {"type": "Recreate"}}})));
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["other"], "type": "Recreate"}}});
        assert_eq!(patched(target, patch), Err("invalid patch format of retainKeys".to_owned()));
    }

    #[test]
    fn maps_and_nulls() {
        let target = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}, "annotations": {"x": null, "y": "z"}}});
        assert_eq!(
            patched(target.clone(), patch),
            Ok(json!({"metadata": {"labels": {"b": "2", "c": "3"}, "annotations": {"y": "z"}}}))
        );
        assert_eq!(
            patched(target.clone(), json!({"metadata": {"labels": {"$patch": "replace", "k": "v"}}})),
            Ok(json!({"metadata": {"labels": {"k": "v"}}}))
        );
        assert_eq!(patched(target, json!({"metadata": {"$patch": "delete"}})), Ok(json!({"metadata": {}})));
    }

    #[test]
    fn custom_resources_are_refused() {
        let error =
            strategic_merge_patch(&mut json!({}), &json!({}), &Gvk::new("networking.istio.io", "v1beta1", "Gateway"));
        assert_eq!(error, Err(StrategicMergeError::Unsupported));
    }
}
