use serde_json::{Map, Value};

/// Applies an RFC 7386 merge patch: objects merge, `null` removes, everything else replaces.
pub fn json_merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else if value.is_object() {
            json_merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

/// Makes the smallest RFC 7386 patch that turns `from` into `to`. Both should be objects; a `null` inside `to` cannot be
/// said in this format and reads as a removal.
pub fn create_json_merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for (key, new) in to {
        match from.get(key) {
            Some(old) if old == new => {}
            Some(old) if old.is_object() && new.is_object() => {
                let inner = create_json_merge_patch(old, new);
                // Objects can differ in key order only, which is no difference.
                if inner.as_object().is_none_or(|inner| !inner.is_empty()) {
                    patch.insert(key.clone(), inner);
                }
            }
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rfcs_examples() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a"]), json!({"a": "b"}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        ] {
            let mut merged = target.clone();
            json_merge_patch(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} with {patch}");
        }
    }

    #[test]
    fn making_patches() {
        let from = json!({"a": {"x": 1, "y": 2}, "gone": 1, "same": {"k": []}});
        let to = json!({"a": {"x": 1, "y": 3}, "same": {"k": []}, "new": {}});
        assert_eq!(create_json_merge_patch(&from, &to), json!({"a": {"y": 3}, "new": {}, "gone": null}));
    }
}
