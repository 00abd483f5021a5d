use serde_json::{Map, Value};

use super::formats::has_format;
use super::node::{Additional, Bound, Node};
use crate::objects::{FieldError, go_json, names};

/// Judges a value by a schema, after the validators of kube-openapi as Kubernetes 1.24 has them.
pub(super) fn validate(root: &Node, value: &Value) -> Vec<FieldError> {
    judge(root, value, "").errors
}

/// What a schema has to say about a value. `matched` counts the checks that were passed; among alternatives that all
/// fail, the complaints of the one that matched most are shown.
#[derive(Default)]
struct Verdict {
    errors: Vec<FieldError>,
    matched: usize,
}

impl Verdict {
    fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.matched += other.matched;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The API server has no path for complaints about alternatives, and prints the missing one.
fn composite(text: String) -> FieldError {
    FieldError::invalid_text("<nil>", "", &text)
}

fn field(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn judge(node: &Node, value: &Value, path: &str) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.merge(judge_type(node, value, path));
    verdict.matched += 1;
    if value.is_null() {
        verdict.errors.extend(judge_values(node, value, path));
        return verdict;
    }
    verdict.merge(judge_alternatives(node, value, path));
    match value {
        Value::String(text) => verdict.errors.extend(judge_text(node, text, path)),
        Value::Number(_) => verdict.errors.extend(judge_number(node, value, path)),
        Value::Array(list) => verdict.merge(judge_list(node, list, path)),
        _ => {}
    }
    verdict.errors.extend(judge_values(node, value, path));
    if let Value::Object(map) = value {
        verdict.merge(judge_object(node, map, path));
    }
    verdict.matched += 2;
    verdict
}

fn judge_type(node: &Node, value: &Value, path: &str) -> Verdict {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    };
    let allows = |kind: &str| node.types.iter().any(|allowed| allowed == kind);
    let whole_float =
        found == "number" && allows("integer") && value.as_f64().is_some_and(|float| float.fract() == 0.0);
    let fine = node.types.is_empty()
        || allows(found)
        || (found == "null" && node.nullable)
        || whole_float
        || (found == "integer" && allows("number"))
        // A format for texts or lists speaks for itself: the type is not looked at again.
        || (node.format.is_some()
            && matches!(found, "string" | "array")
            && !allows("number")
            && !allows("integer"));
    if fine {
        return Verdict { errors: Vec::new(), matched: 1 };
    }
    let detail = format!("{path} in body must be of type {}: \"{found}\"", node.types.join(","));
    Verdict { errors: vec![FieldError::type_invalid(field(path), &names::quote(found), &detail)], matched: 0 }
}

fn judge_alternatives(node: &Node, value: &Value, path: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let quoted = names::quote(path);
    if !node.any_of.is_empty() {
        let (valid, best) = alternatives(&node.any_of, value, path);
        if valid == 0 {
            verdict.errors.push(composite(format!("{quoted} must validate at least one schema (anyOf)")));
        }
        verdict.merge(best);
    }
    if !node.one_of.is_empty() {
        let (valid, best) = alternatives(&node.one_of, value, path);
        let found = match valid {
            1 => None,
            0 => Some("Found none valid".to_owned()),
            several => Some(format!("Found {several} valid alternatives")),
        };
        if let Some(found) = found {
            verdict.errors.push(composite(format!("{quoted} must validate one and only one schema (oneOf). {found}")));
        }
        verdict.merge(best);
    }
    if !node.all_of.is_empty() {
        let verdicts: Vec<Verdict> = node.all_of.iter().map(|member| judge(member, value, path)).collect();
        let valid = verdicts.iter().filter(|verdict| verdict.is_valid()).count();
        let all = verdicts.len();
        for member in verdicts {
            verdict.merge(member);
        }
        if valid != all {
            let none = if valid == 0 { ". None validated" } else { "" };
            verdict.errors.push(composite(format!("{quoted} must validate all the schemas (allOf){none}")));
        }
    }
    if node.not.as_ref().is_some_and(|not| judge(not, value, path).is_valid()) {
        verdict.errors.push(composite(format!("{quoted} must not validate the schema (not)")));
    }
    verdict.matched += 1;
    verdict
}

/// How many members accept the value, and the verdict that counts: the first success, or else the best failure.
fn alternatives(members: &[Node], value: &Value, path: &str) -> (usize, Verdict) {
    let mut valid = 0;
    let mut best: Option<Verdict> = None;
    for member in members {
        let verdict = judge(member, value, path);
        if verdict.is_valid() {
            valid += 1;
            if valid == 1 {
                best = Some(verdict);
            }
        } else if valid == 0 && best.as_ref().is_none_or(|best| verdict.matched > best.matched) {
            best = Some(verdict);
        }
    }
    (valid, best.unwrap_or_default())
}

fn judge_text(node: &Node, text: &str, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let length = text.chars().count() as i64;
    if let Some(limit) = node.max_length.filter(|limit| length > *limit) {
        return vec![FieldError::longer_than(field(path), limit)];
    }
    if let Some(limit) = node.min_length.filter(|limit| length < *limit) {
        let detail = format!("{path} in body should be at least {limit} chars long");
        return vec![FieldError::invalid_text(field(path), text, &detail)];
    }
    if let Some(pattern) = &node.pattern
        && pattern.regex.as_ref().is_some_and(|regex| !regex.is_match(text))
    {
        let detail = format!("{path} in body should match '{}'", pattern.text);
        errors.push(FieldError::invalid_text(field(path), text, &detail));
    }
    if let Some(format) = node.format.as_ref().filter(|format| !has_format(format, text)) {
        let detail = format!("{path} in body must be of type {format}: {}", names::quote(text));
        errors.push(FieldError::type_invalid(field(path), &names::quote(text), &detail));
    }
    errors
}

fn judge_number(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(number) = value.as_f64() else { return errors };
    let mut complain = |text: String| {
        errors.push(FieldError::invalid(field(path), &go_json::to_string(value), &format!("{path} in body {text}")));
    };
    let limit_text = |limit: f64| go_json::to_string(&serde_json::json!(limit));
    if let Some(factor) = node.multiple_of.filter(|factor| *factor > 0.0 && (number / factor).fract() != 0.0) {
        complain(format!("should be a multiple of {}", limit_text(factor)));
    }
    if let Some(Bound { limit, exclusive }) = node.maximum
        && (number > limit || exclusive && number >= limit)
    {
        let than = if exclusive { "less than" } else { "less than or equal to" };
        complain(format!("should be {than} {}", limit_text(limit)));
    }
    if let Some(Bound { limit, exclusive }) = node.minimum
        && (number < limit || exclusive && number <= limit)
    {
        let than = if exclusive { "greater than" } else { "greater than or equal to" };
        complain(format!("should be {than} {}", limit_text(limit)));
    }
    errors
}

fn judge_list(node: &Node, list: &[Value], path: &str) -> Verdict {
    let mut verdict = Verdict::default();
    if let Some(items) = &node.items {
        for (index, item) in list.iter().enumerate() {
            verdict.merge(judge(items, item, &format!("{path}[{index}]")));
        }
    }
    let count = list.len() as i64;
    if let Some(limit) = node.min_items.filter(|limit| count < *limit) {
        let detail = format!("{path} in body should have at least {limit} items");
        verdict.errors.push(FieldError::invalid(field(path), &count.to_string(), &detail));
    }
    if let Some(limit) = node.max_items.filter(|limit| count > *limit) {
        verdict.errors.push(FieldError::too_many(field(path), count, limit));
    }
    if node.unique_items && list.iter().enumerate().any(|(index, item)| list[..index].contains(item)) {
        let detail = format!("{path} in body shouldn't contain duplicates");
        verdict.errors.push(FieldError::invalid_text(field(path), "", &detail));
    }
    verdict.matched += 1;
    verdict
}

fn judge_values(node: &Node, value: &Value, path: &str) -> Option<FieldError> {
    let values = node.values.as_ref()?;
    if values.contains(value) {
        return None;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| go_json::to_string(value), str::to_owned);
    let supported: Vec<String> = values.iter().map(text).collect();
    let found = match value {
        Value::String(text) => names::quote(text),
        Value::Null => "null".to_owned(),
        other => go_json::display(other),
    };
    Some(FieldError::not_supported(field(path), &found, &supported))
}

fn judge_object(node: &Node, map: &Map<String, Value>, path: &str) -> Verdict {
    let count = map.len() as i64;
    if let Some(limit) = node.min_properties.filter(|limit| count < *limit) {
        let detail = format!("{path} in body should have at least {limit} properties");
        let error = FieldError::invalid(field(path), &count.to_string(), &detail);
        return Verdict { errors: vec![error], matched: 0 };
    }
    if let Some(limit) = node.max_properties.filter(|limit| count > *limit) {
        return Verdict { errors: vec![FieldError::too_many(field(path), count, limit)], matched: 0 };
    }
    let mut verdict = Verdict::default();
    for (key, value) in map {
        if let Some(property) = node.property(key) {
            verdict.merge(judge(property, value, &child(path, key)));
            continue;
        }
        match &node.additional {
            Additional::Schema(inner) => verdict.merge(judge(inner, value, &format!("{path}.{key}"))),
            Additional::Forbidden => {
                let detail = format!("{path}.{key} in body is a forbidden property");
                verdict.errors.push(FieldError::invalid_text(field(path), key, &detail));
            }
            Additional::Anything | Additional::Unsaid => {}
        }
    }
    for key in node.required.iter().filter(|key| !map.contains_key(*key)) {
        verdict.errors.push(FieldError::required(field(&format!("{path}.{key}")), ""));
    }
    verdict
}
