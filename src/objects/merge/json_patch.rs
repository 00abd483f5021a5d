use serde_json::Value;

/// Why a JSON patch was not applied. The API server answers every variant but [`Malformed`](Self::Malformed) with
/// 422 and no text of its own; the texts are those of the library that it uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// The patch is no list of operations; answered with 400.
    #[error("json: cannot unmarshal {0} into Go value of type jsonpatch.Patch")]
    Malformed(&'static str),
    /// An operation is not known or lacks a part.
    #[error("Unexpected kind: {0}")]
    UnknownOperation(String),
    /// A path leads nowhere.
    #[error("{operation} operation does not apply: doc is missing path: {path:?}: missing value")]
    MissingPath {
        /// The operation.
        operation: &'static str,
        /// The JSON pointer.
        path: String,
    },
    /// A `test` did not find its value.
    #[error("testing value {0} failed: test failed")]
    TestFailed(String),
}

/// Applies an RFC 6902 patch: all operations or none.
///
/// # Errors
/// For a patch that is no list, an operation that does not apply, or a `test` that fails; the target is unchanged then.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), JsonPatchError> {
    let operations = patch.as_array().ok_or_else(|| JsonPatchError::Malformed(go_kind(patch)))?;
    let mut document = target.clone();
    for operation in operations {
        apply(&mut document, operation)?;
    }
    *target = document;
    Ok(())
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    }
}

fn apply(document: &mut Value, operation: &Value) -> Result<(), JsonPatchError> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = text("path").unwrap_or_default();
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op").unwrap_or("unknown") {
        "add" => add(document, path, value(), "add"),
        "remove" => remove(document, path, "remove").map(drop),
        "replace" => {
            let slot = document.pointer_mut(path).ok_or_else(|| missing("replace", path))?;
            *slot = value();
            Ok(())
        }
        "move" => {
            let from = text("from").unwrap_or_default();
            let moved = remove(document, from, "move")?;
            add(document, path, moved, "move")
        }
        "copy" => {
            let from = text("from").unwrap_or_default();
            let copied = document.pointer(from).cloned().ok_or_else(|| missing("copy", from))?;
            add(document, path, copied, "copy")
        }
        "test" => {
            let found = document.pointer(path).unwrap_or(&Value::Null);
            if *found == value() { Ok(()) } else { Err(JsonPatchError::TestFailed(path.to_owned())) }
        }
        other => Err(JsonPatchError::UnknownOperation(other.to_owned())),
    }
}

fn missing(operation: &'static str, path: &str) -> JsonPatchError {
    JsonPatchError::MissingPath { operation, path: path.to_owned() }
}

/// The pointer's parent and its last key with escapes undone.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value, operation: &'static str) -> Result<(), JsonPatchError> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let refused = || missing(operation, path);
    let (parent, last) = split(path).ok_or_else(refused)?;
    match document.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(last, value);
        }
        Some(Value::Array(list)) => {
            let index = if last == "-" { list.len() } else { index_in(&last, list.len() + 1).ok_or_else(refused)? };
            list.insert(index, value);
        }
        _ => return Err(refused()),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str, operation: &'static str) -> Result<Value, JsonPatchError> {
    let refused = || missing(operation, path);
    let (parent, last) = split(path).ok_or_else(refused)?;
    match document.pointer_mut(parent) {
        Some(Value::Object(map)) => map.shift_remove(&last).ok_or_else(refused),
        Some(Value::Array(list)) => Ok(list.remove(index_in(&last, list.len()).ok_or_else(refused)?)),
        _ => Err(refused()),
    }
}

/// An index below `length`. The API server's library also counts from the end with negative numbers.
fn index_in(text: &str, length: usize) -> Option<usize> {
    let index: i64 = text.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    (0..length).contains(&index).then(|| usize::try_from(index).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(target: Value, patch: Value) -> Result<Value, JsonPatchError> {
        let mut target = target;
        json_patch(&mut target, &patch).map(|()| target)
    }

    #[test]
    fn operations() {
        let target = json!({"a": {"b": [1, 2]}, "x/y": 1});
        for (operation, expected) in [
            (json!({"op": "add", "path": "/a/c", "value": 3}), json!({"a": {"b": [1, 2], "c": 3}, "x/y": 1})),
            (json!({"op": "add", "path": "/a/b/1", "value": 9}), json!({"a": {"b": [1, 9, 2]}, "x/y": 1})),
            (json!({"op": "add", "path": "/a/b/-", "value": 9}), json!({"a": {"b": [1, 2, 9]}, "x/y": 1})),
            (json!({"op": "remove", "path": "/a/b/0"}), json!({"a": {"b": [2]}, "x/y": 1})),
            (json!({"op": "replace", "path": "/x~1y", "value": {}}), json!({"a": {"b": [1, 2]}, "x/y": {}})),
            (json!({"op": "move", "from": "/a/b", "path": "/b"}), json!({"a": {}, "x/y": 1, "b": [1, 2]})),
            (json!({"op": "copy", "from": "/x~1y", "path": "/a/b/0"}), json!({"a": {"b": [1, 1, 2]}, "x/y": 1})),
            (json!({"op": "test", "path": "/a/b", "value": [1, 2]}), target.clone()),
        ] {
            assert_eq!(patched(target.clone(), json!([operation])).as_ref(), Ok(&expected), "{operation}");
        }
    }

    #[test]
    fn refusals_leave_the_target_alone() {
        let mut target = json!({"a": 1});
        let patch = json!([{"op": "add", "path": "/b", "value": 2}, {"op": "remove", "path": "/zzz"}]);
        assert!(json_patch(&mut target, &patch).is_err());
        assert_eq!(target, json!({"a": 1}));
        assert_eq!(
            patched(json!({}), json!({"a": 1})).expect_err("is no list").to_string(),
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        );
        assert!(patched(json!({"a": [1]}), json!([{"op": "add", "path": "/a/5", "value": 2}])).is_err());
        assert!(patched(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 2}])).is_err());
    }
}
