use std::cmp::Ordering;

use serde_json::Value;

use super::parse::{Operand, Path, Step};
use super::{JsonPathError, Missing};

/// The values that a path finds, starting at the root or, inside a range, at the item.
pub(super) fn find_from<'a>(
    path: &Path,
    root: &'a Value,
    here: &'a Value,
    missing: Missing,
) -> Result<Vec<&'a Value>, JsonPathError> {
    find(path, root, if path.from_root { root } else { here }, missing)
}

/// The values that a path finds, starting at `here`.
pub(super) fn find<'a>(
    path: &Path,
    root: &'a Value,
    here: &'a Value,
    missing: Missing,
) -> Result<Vec<&'a Value>, JsonPathError> {
    let mut values = vec![here];
    let mut after_recursion = false;
    for step in &path.steps {
        // After `..` most places lack the field, and that is no error.
        let missing = if after_recursion { Missing::Nothing } else { missing };
        let mut next = Vec::new();
        for value in values {
            apply(step, root, value, missing, &mut next)?;
        }
        values = next;
        after_recursion = matches!(step, Step::Recursive);
    }
    Ok(values)
}

fn apply<'a>(
    step: &Step,
    root: &'a Value,
    value: &'a Value,
    missing: Missing,
    next: &mut Vec<&'a Value>,
) -> Result<(), JsonPathError> {
    match step {
        Step::Field(name) => match value.get(name) {
            Some(found) => next.push(found),
            None if missing == Missing::Nothing => {}
            None => return Err(JsonPathError::NotFound(name.clone())),
        },
        Step::Fields(names) => {
            for name in names {
                match value.get(name) {
                    Some(found) => next.push(found),
                    None if missing == Missing::Nothing => {}
                    None => return Err(JsonPathError::NotFound(name.clone())),
                }
            }
        }
        Step::Wildcard => next.extend(children(value)),
        Step::Recursive => descend(value, next),
        Step::Indices(indices) => {
            let Some(list) = list_of(value, missing)? else { return Ok(()) };
            for index in indices {
                match at(list, *index) {
                    Some(found) => next.push(found),
                    None if missing == Missing::Nothing => {}
                    None => return Err(JsonPathError::OutOfBounds { index: *index, length: list.len() }),
                }
            }
        }
        Step::Slice { from, to, step } => {
            let Some(list) = list_of(value, missing)? else { return Ok(()) };
            let length = list.len() as i64;
            let place = |bound: i64| if bound < 0 { bound + length } else { bound }.clamp(0, length) as usize;
            let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
            let items = list.get(from..to.max(from)).unwrap_or_default();
            next.extend(items.iter().step_by(usize::try_from(*step).unwrap_or(1)));
        }
        Step::Filter { left, operator, right } => {
            let Some(list) = list_of(value, missing)? else { return Ok(()) };
            for item in list {
                if holds(left, operator, right, root, item) {
                    next.push(item);
                }
            }
        }
    }
    Ok(())
}

fn list_of(value: &Value, missing: Missing) -> Result<Option<&Vec<Value>>, JsonPathError> {
    match value {
        Value::Array(list) => Ok(Some(list)),
        _ if missing == Missing::Nothing => Ok(None),
        other => Err(JsonPathError::NotAList(super::value_text(other))),
    }
}

fn at(list: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { index + list.len() as i64 } else { index };
    list.get(usize::try_from(index).ok()?)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    for child in children(value) {
        descend(child, found);
    }
}

fn holds(left: &Operand, operator: &str, right: &Operand, root: &Value, item: &Value) -> bool {
    let value = |operand: &Operand| -> Option<Value> {
        match operand {
            Operand::Literal(literal) => Some(literal.clone()),
            Operand::Path(path) => {
                find_from(path, root, item, Missing::Nothing).ok()?.first().map(|value| (*value).clone())
            }
            Operand::Nothing => None,
        }
    };
    let Some(left) = value(left) else { return false };
    if operator == "exists" {
        return true;
    }
    let Some(right) = value(right) else { return false };
    let order = match (&left, &right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) if left == right => Some(Ordering::Equal),
        _ => None,
    };
    match operator {
        "==" | "=" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    }
}
