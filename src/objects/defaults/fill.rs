use serde_json::{Map, Value};

/// Puts a value where there is none, or a null.
pub(super) fn fill(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    match map.get_mut(key) {
        Some(found) if !found.is_null() => {}
        Some(found) => *found = value.into(),
        None => {
            map.insert(key.to_owned(), value.into());
        }
    }
}

/// Puts a text where there is none, or an empty one: Go cannot tell them apart.
pub(super) fn fill_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    if map.get(key).is_none_or(|found| found.is_null() || found.as_str() == Some("")) {
        map.insert(key.to_owned(), text.into());
    }
}

/// The object under a key, made when absent; `None` when something else stands there.
pub(super) fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    fill(map, key, Map::new());
    map.get_mut(key)?.as_object_mut()
}

/// The object under a key, when there is one.
pub(super) fn existing<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(key)?.as_object_mut()
}

/// The objects in the list under a key.
pub(super) fn each<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// A text in the object; empty when absent.
pub(super) fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}
