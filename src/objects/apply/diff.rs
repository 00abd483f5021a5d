use std::mem::discriminant;

use serde_json::{Map, Value, json};

use crate::objects::go_json;
use crate::objects::merge::{StrategicMergeError, by_order, directive, same_order};
use crate::objects::schemas::{ListStrategy, PatchStrategy, TypeRef};

/// Which half of a difference is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    changes: bool,
    removals: bool,
    retain_keys: bool,
}

impl Wanted {
    /// Additions and changes only.
    pub(super) const CHANGES: Self = Self { changes: true, removals: false, retain_keys: false };
    /// Removals only.
    pub(super) const REMOVALS: Self = Self { changes: false, removals: true, retain_keys: false };
}

/// The strategic merge patch that leads from `from` to `to`, as far as it is wanted.
pub(super) fn diff_maps(
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    place: Option<TypeRef>,
    wanted: Wanted,
) -> Result<Map<String, Value>, StrategicMergeError> {
    let mut patch = Map::new();
    for (key, new) in to {
        let Some(old) = from.get(key).filter(|old| discriminant(*old) == discriminant(new)) else {
            if wanted.changes {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        };
        let strategy = place.map_or(PatchStrategy::default(), |place| place.patch_strategy(key));
        let inner = place.and_then(|place| place.property(key).or_else(|| place.map_values()));
        match (old, new) {
            (Value::Object(_), Value::Object(new)) if strategy.replace => {
                // kubectl compares nothing here: such an object is in every patch.
                if wanted.changes {
                    patch.insert(key.clone(), Value::Object(new.clone()));
                }
            }
            (Value::Object(old), Value::Object(new)) => {
                let wanted = Wanted { retain_keys: strategy.retain_keys, ..wanted };
                let difference = diff_maps(old, new, inner, wanted)?;
                if !difference.is_empty() {
                    patch.insert(key.clone(), Value::Object(difference));
                }
            }
            (Value::Array(old), Value::Array(new)) if strategy.list != ListStrategy::Replace => {
                let wanted = Wanted { retain_keys: strategy.retain_keys, ..wanted };
                diff_lists(key, old, new, strategy.list, inner.and_then(|list| list.items()), wanted, &mut patch)?;
            }
            _ => {
                if wanted.changes && old != new {
                    patch.insert(key.clone(), new.clone());
                }
            }
        }
    }
    if wanted.removals {
        for key in from.keys().filter(|key| !to.contains_key(*key)) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    let loses_keys = from.keys().any(|key| !to.contains_key(key));
    if wanted.retain_keys && (!patch.is_empty() || loses_keys) {
        let mut keys: Vec<&String> = to.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key).collect();
        keys.sort();
        if !keys.is_empty() {
            patch.insert(directive::RETAIN_KEYS.to_owned(), json!(keys));
        }
    }
    Ok(patch)
}

fn diff_lists(
    name: &str,
    old: &[Value],
    new: &[Value],
    strategy: ListStrategy,
    items: Option<TypeRef>,
    wanted: Wanted,
    patch: &mut Map<String, Value>,
) -> Result<(), StrategicMergeError> {
    if old.is_empty() {
        if wanted.changes && !new.is_empty() {
            patch.insert(name.to_owned(), Value::Array(new.to_vec()));
        }
        return Ok(());
    }
    let order = if let ListStrategy::MergeBy(key) = strategy {
        let (changes, removals) = diff_items(old, new, key, items, wanted)?;
        let mut list = by_order(changes, new, Some(key));
        list.extend(removals);
        let reordered = !same_order(old, new, Some(key));
        let needs_order = wanted.changes && (!list.is_empty() || reordered) || wanted.removals && !list.is_empty();
        if !list.is_empty() {
            patch.insert(name.to_owned(), Value::Array(list));
        }
        let keys = new.iter().map(|item| json!({key: item.get(key)})).collect::<Vec<_>>();
        needs_order.then_some(keys)
    } else {
        let missing = |list: &[Value], from: &[Value]| -> Vec<Value> {
            let mut missing: Vec<Value> = from.iter().filter(|item| !list.contains(item)).cloned().collect();
            missing.sort_by_key(go_json::display);
            missing.dedup();
            missing
        };
        let additions = if wanted.changes { by_order(missing(old, new), new, None) } else { Vec::new() };
        let removals = if wanted.removals { missing(new, old) } else { Vec::new() };
        let needs_order = wanted.removals && !removals.is_empty() || wanted.changes && old != new;
        if !additions.is_empty() {
            patch.insert(name.to_owned(), Value::Array(additions));
        }
        if !removals.is_empty() {
            patch.insert(format!("{}{name}", directive::DELETE_FROM_SET), Value::Array(removals));
        }
        needs_order.then(|| new.to_vec())
    };
    if let Some(order) = order.filter(|order| !order.is_empty()) {
        patch.insert(format!("{}{name}", directive::SET_ORDER), Value::Array(order));
    }
    Ok(())
}

/// Compares two lists of objects item by item: changed and added items, and markers for those to delete.
fn diff_items(
    old: &[Value],
    new: &[Value],
    key: &str,
    place: Option<TypeRef>,
    wanted: Wanted,
) -> Result<(Vec<Value>, Vec<Value>), StrategicMergeError> {
    let name_of = |item: &Value| match item.get(key) {
        Some(name) => Ok(go_json::display(name)),
        None => Err(StrategicMergeError::NoMergeKey { item: go_json::display(item), key: key.to_owned() }),
    };
    let by_name = |list: &[Value]| -> Result<Vec<(String, Value)>, StrategicMergeError> {
        let mut named = list
            .iter()
            .map(|item| Ok((name_of(item)?, item.clone())))
            .collect::<Result<Vec<_>, StrategicMergeError>>()?;
        named.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(named)
    };
    let mut old = by_name(old)?.into_iter().peekable();
    let mut new = by_name(new)?.into_iter().peekable();
    let (mut changes, mut removals) = (Vec::new(), Vec::new());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok((changes, removals)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.0.cmp(&new.0),
        };
        match order {
            std::cmp::Ordering::Less => {
                if let (Some((_, item)), true) = (old.next(), wanted.removals) {
                    removals.push(json!({directive::PATCH: "delete", key: item.get(key)}));
                }
            }
            std::cmp::Ordering::Greater => {
                if let (Some((_, item)), true) = (new.next(), wanted.changes) {
                    changes.push(item);
                }
            }
            std::cmp::Ordering::Equal => {
                let (Some((_, Value::Object(old))), Some((_, Value::Object(new)))) = (old.next(), new.next()) else {
                    continue;
                };
                let mut difference = diff_maps(&old, &new, place, wanted)?;
                if !difference.is_empty() {
                    difference.insert(key.to_owned(), new.get(key).cloned().unwrap_or(Value::Null));
                    changes.push(Value::Object(difference));
                }
            }
        }
    }
}
