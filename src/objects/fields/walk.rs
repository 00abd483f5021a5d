use serde_json::{Map, Value};

use super::element::Element;
use super::place::{Place, Relation};
use super::set::FieldSet;

/// What differs between two states of an object.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Paths that only the new state has.
    pub added: FieldSet,
    /// Paths whose values differ.
    pub modified: FieldSet,
    /// Paths that only the old state has.
    pub removed: FieldSet,
}

fn step(name: &str) -> Element {
    Element::Field(name.to_owned())
}

/// Which item of an associative list this is; `None` for an item that cannot be told apart.
fn element_of(item: &Value, place: &Place<'_>) -> Option<Element> {
    let by = |names: &mut dyn Iterator<Item = &str>| {
        let fields = item.as_object()?;
        let mut keys: Vec<(String, Value)> = names
            .filter_map(|name| {
                let value = fields.get(name).filter(|value| !value.is_null()).cloned();
                Some((name.to_owned(), value.or_else(|| place.key_default(name))?))
            })
            .collect();
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        (!keys.is_empty()).then_some(Element::Keys(keys))
    };
    match place.relation() {
        Relation::Atomic => None,
        Relation::Set => {
            (!item.is_object() && !item.is_array() && !item.is_null()).then(|| Element::Value(item.clone()))
        }
        Relation::Keys(names) => by(&mut names.iter().copied()),
        Relation::OwnKeys(names) => by(&mut names.iter().map(String::as_str)),
    }
}

fn is_granular_list(place: &Place<'_>) -> bool {
    place.relation() != Relation::Atomic
}

/// The paths that an object says something about: what an applier owns.
pub fn to_set(value: &Value, place: Place<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    collect(value, place, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, place: Place<'_>, path: &mut Vec<Element>, set: &mut FieldSet) {
    match value {
        Value::Object(fields) if !place.is_atomic_object() => {
            for (key, inner) in fields {
                let (next, declared) = place.field(key);
                path.push(step(key));
                collect(inner, next, path, set);
                let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                if empty || !declared {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if is_granular_list(&place) => {
            for item in items {
                let Some(element) = element_of(item, &place) else { continue };
                path.push(element);
                collect(item, place.item(), path, set);
                set.insert(path);
                path.pop();
            }
        }
        Value::Null => {}
        _ => set.insert(path),
    }
}

/// Compares two states of an object path by path.
pub fn compare(old: &Value, new: &Value, place: Place<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    compare_at(Some(old), Some(new), place, &mut Vec::new(), &mut comparison);
    comparison
}

fn compare_at(
    old: Option<&Value>,
    new: Option<&Value>,
    place: Place<'_>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let either = new.filter(|value| !value.is_null()).or(old);
    let leaf = match either {
        Some(Value::Object(_)) if !place.is_atomic_object() => {
            let map = |value: Option<&Value>| value.and_then(Value::as_object).filter(|map| !map.is_empty()).cloned();
            let (old_map, new_map) = (map(old), map(new));
            if old_map.is_none() && new_map.is_none() {
                true
            } else {
                let (old_map, new_map) = (old_map.unwrap_or_default(), new_map.unwrap_or_default());
                for (key, value) in &old_map {
                    path.push(step(key));
                    compare_at(Some(value), new_map.get(key), place.field(key).0, path, found);
                    path.pop();
                }
                for (key, value) in new_map.iter().filter(|(key, _)| !old_map.contains_key(*key)) {
                    path.push(step(key));
                    compare_at(None, Some(value), place.field(key).0, path, found);
                    path.pop();
                }
                false
            }
        }
        Some(Value::Array(_)) if is_granular_list(&place) => {
            let items = |value: Option<&Value>| -> Vec<(Element, Value)> {
                let items = value.and_then(Value::as_array).into_iter().flatten();
                items.filter_map(|item| Some((element_of(item, &place)?, item.clone()))).collect()
            };
            let (old_items, new_items) = (items(old), items(new));
            for (element, item) in &old_items {
                let other = new_items.iter().find(|(other, _)| other == element).map(|(_, item)| item);
                path.push(element.clone());
                compare_at(Some(item), other, place.item(), path, found);
                path.pop();
            }
            for (element, item) in new_items.iter().filter(|(new, _)| !old_items.iter().any(|(old, _)| old == new)) {
                path.push(element.clone());
                compare_at(None, Some(item), place.item(), path, found);
                path.pop();
            }
            old_items.is_empty() && new_items.is_empty()
        }
        _ => true,
    };
    match (old, new) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        (Some(old), Some(new)) if leaf && !same(old, new) => found.modified.insert(path),
        _ => {}
    }
}

/// Numbers are the same when they have the same value.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// The live object with everything that the applied one says. Items that both have keep the live order; new ones follow.
pub fn merge(live: &Value, applied: &Value, place: Place<'_>) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !place.is_atomic_object() => {
            let mut merged = live.clone();
            for (key, value) in applied {
                let value = match live.get(key) {
                    Some(known) => merge(known, value, place.field(key).0),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(applied)) if is_granular_list(&place) => {
            let mut rest: Vec<(Option<Element>, &Value)> =
                applied.iter().map(|item| (element_of(item, &place), item)).collect();
            let mut merged = Vec::with_capacity(live.len().max(rest.len()));
            for item in live {
                let element = element_of(item, &place);
                let found = rest.iter().position(|(other, _)| other.is_some() && *other == element);
                merged.push(match found {
                    Some(at) => merge(item, rest.remove(at).1, place.item()),
                    None => item.clone(),
                });
            }
            merged.extend(rest.into_iter().map(|(_, item)| item.clone()));
            Value::Array(merged)
        }
        _ => applied.clone(),
    }
}

/// The object without the fields and items of the set. What becomes empty goes with them.
pub fn remove(value: &Value, gone: &FieldSet, place: Place<'_>) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            if place.is_atomic_object() || fields.is_empty() {
                return None;
            }
            let mut kept = Map::new();
            for (key, inner) in fields {
                let element = step(key);
                if gone.has_member(&element) {
                    continue;
                }
                match gone.below(&element) {
                    Some(below) => {
                        kept.insert(key.clone(), remove(inner, below, place.field(key).0).unwrap_or(Value::Null));
                    }
                    None => {
                        kept.insert(key.clone(), inner.clone());
                    }
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            if !is_granular_list(&place) {
                return None;
            }
            let mut kept = Vec::new();
            for item in items {
                let element = element_of(item, &place);
                if element.as_ref().is_some_and(|element| gone.has_member(element)) {
                    continue;
                }
                match element.as_ref().and_then(|element| gone.below(element)) {
                    Some(below) => kept.push(remove(item, below, place.item()).unwrap_or(Value::Null)),
                    None => kept.push(item.clone()),
                }
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        other => Some(other.clone()),
    }
}

/// What makes an applied object unusable: fields that its kind does not have, values of a wrong type, items that cannot
/// be told apart. Each with its path, in the words of the structured merge.
pub fn check(value: &Value, place: Place<'_>) -> Vec<String> {
    let mut errors = Vec::new();
    check_at(value, place, "", &mut errors);
    errors
}

fn check_at(value: &Value, place: Place<'_>, path: &str, errors: &mut Vec<String>) {
    let mut complain = |why: String| errors.push(format!("{path}: {why}"));
    match (value, place.wants()) {
        (Value::Null, _) => {}
        (Value::Object(fields), None | Some("object")) => {
            for (key, inner) in fields {
                let path = format!("{path}{}", step(key));
                if place.allows(key) {
                    check_at(inner, place.field(key).0, &path, errors);
                } else {
                    errors.push(format!("{path}: field not declared in schema"));
                }
            }
        }
        (Value::Array(items), None | Some("array")) => {
            let mut seen: Vec<Element> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let element = if is_granular_list(&place) {
                    let Some(element) = element_of(item, &place) else {
                        let names: Vec<String> = match place.relation() {
                            Relation::Keys(names) => names.iter().map(|name| format!("{name:?}")).collect(),
                            Relation::OwnKeys(names) => names.iter().map(|name| format!("{name:?}")).collect(),
                            Relation::Set | Relation::Atomic => Vec::new(),
                        };
                        let why = if names.is_empty() {
                            "associative list without keys has an element that's a map type".to_owned()
                        } else {
                            format!(
                                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                                names.join(" ")
                            )
                        };
                        errors.push(format!("{path}: element {index}: {why}"));
                        return;
                    };
                    if seen.contains(&element) {
                        errors.push(format!("{path}: duplicate entries for key {element}"));
                    }
                    seen.push(element.clone());
                    element
                } else {
                    Element::Index(i64::try_from(index).unwrap_or(i64::MAX))
                };
                check_at(item, place.item(), &format!("{path}{element}"), errors);
            }
        }
        (other, Some("object")) => complain(format!("expected map, got &{{{}}}", plain(other))),
        (other, Some("array")) => complain(format!("expected list, got &{{{}}}", plain(other))),
        (Value::String(_), Some("integer" | "number")) => {
            complain("expected numeric (int or float), got string".to_owned());
        }
        (Value::Bool(_), Some("integer" | "number")) => {
            complain("expected numeric (int or float), got bool".to_owned());
        }
        (other, Some("string")) if !other.is_string() => {
            complain(format!("expected string, got &value.valueUnstructured{{Value:{}}}", plain(other)));
        }
        (other, Some("boolean")) if !other.is_boolean() => {
            complain(format!("expected boolean, got &{{{}}}", plain(other)));
        }
        _ => {}
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
