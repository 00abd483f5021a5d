use serde_json::Value;

use super::directive;

/// What a list's items are told apart by: a key of theirs, or, for plain values, themselves.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> &'a Value {
    match key {
        Some(key) => item.get(key).unwrap_or(&Value::Null),
        None => item,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| identity(other, key) == identity(item, key))
}

/// Whether an item only says that its namesake is to be deleted.
pub(super) fn is_delete_marker(item: &Value) -> bool {
    item.get(directive::PATCH).and_then(Value::as_str) == Some("delete")
}

/// Whether two lists name the same items in the same order.
pub(in crate::objects) fn same_order(one: &[Value], other: &[Value], key: Option<&str>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| identity(one, key) == identity(other, key))
}

/// Sorts items as `order` names them; delete markers go to the end.
pub(in crate::objects) fn by_order(items: Vec<Value>, order: &[Value], key: Option<&str>) -> Vec<Value> {
    let (markers, mut sorted): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| key.is_some() && is_delete_marker(item));
    sorted.sort_by_key(|item| position(order, item, key).unwrap_or(usize::MAX));
    sorted.extend(markers);
    sorted
}

/// Puts a merged list in order: items that `wanted` names follow it, the others keep the live list's order, and the two
/// are interleaved so that an item which stood before another in the live list still does, where that is possible.
pub(super) fn arrange(merged: Vec<Value>, wanted: &[Value], live: &[Value], key: Option<&str>) -> Vec<Value> {
    let (named, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(wanted, item, key).is_some());
    let mut named = by_order(named, wanted, key).into_iter().peekable();
    let mut others = by_order(others, live, key).into_iter().peekable();
    let mut arranged = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return arranged,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(named)) => {
                position(live, other, key).zip(position(live, named, key)).is_some_and(|(other, named)| other < named)
            }
        };
        arranged.extend(if other_first { others.next() } else { named.next() });
    }
}

/// Whether the items of a patch's list come in the order that its `$setElementOrder` gives them.
pub(super) fn follows_order(patch: &[Value], order: &[Value], key: Option<&str>) -> bool {
    if patch.is_empty() || order.is_empty() {
        return true;
    }
    let mut order = order.iter();
    patch
        .iter()
        .filter(|item| key.is_none() || item.get(directive::PATCH).is_none())
        .all(|item| order.any(|next| identity(next, key) == identity(item, key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(value: Value) -> Vec<Value> {
        value.as_array().cloned().unwrap_or_default()
    }

    #[test]
    fn arranging_keeps_server_items_near_their_place() {
        let live = list(json!(["a", "s", "b"]));
        let wanted = list(json!(["b", "a"]));
        let merged = list(json!(["a", "s", "b"]));
        assert_eq!(arrange(merged, &wanted, &live, None), list(json!(["s", "b", "a"])));
    }

    #[test]
    fn order_checks() {
        let order = list(json!([{"name": "a"}, {"name": "b"}]));
        let good = list(json!([{"name": "x", "$patch": "delete"}, {"name": "a", "v": 1}, {"name": "b"}]));
        let bad = list(json!([{"name": "b"}, {"name": "a"}]));
        assert!(follows_order(&good, &order, Some("name")));
        assert!(!follows_order(&bad, &order, Some("name")));
        assert!(same_order(&good[1..], &order, Some("name")));
    }
}
