use serde_json::Value;

use crate::objects::{Gvk, meta};

/// Conditions on fields, `metadata.name=x,status.phase!=Running`; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

/// Why a field selector was refused; the texts are the API server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    NotUnderstood {
        /// The whole selector.
        selector: String,
        /// The term in it.
        term: String,
    },
    /// A backslash escapes something that needs no escape.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    BadEscape(String),
    /// The kind cannot be selected by this field.
    #[error("{text}")]
    UnknownField {
        /// The API server's words, which differ from kind to kind.
        text: String,
    },
}

impl FieldSelector {
    /// Reads the string. Empty terms are skipped; `\\`, `\,` and `\=` are escapes in values.
    ///
    /// # Errors
    /// For a term without an operator or a wrong escape.
    pub fn parse(selector: &str) -> Result<Self, FieldSelectorError> {
        let mut terms = Vec::new();
        for term in split_terms(selector).into_iter().filter(|term| !term.is_empty()) {
            // The first operator in the term counts, and the longer ones win at the same place.
            let found = term.char_indices().find_map(|(at, _)| {
                ["!=", "==", "="].into_iter().find(|operator| term[at..].starts_with(operator)).map(|op| (at, op))
            });
            let Some((at, operator)) = found else {
                return Err(FieldSelectorError::NotUnderstood { selector: selector.to_owned(), term: term.to_owned() });
            };
            terms.push(Term {
                field: term[..at].to_owned(),
                value: unescape(&term[at + operator.len()..])?,
                equal: operator != "!=",
            });
        }
        Ok(Self { terms })
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Checks that objects of this kind can be selected by every field named.
    ///
    /// # Errors
    /// [`FieldSelectorError::UnknownField`] with the words of `ConvertFieldLabel` for the kind.
    pub fn check(&self, gvk: &Gvk) -> Result<(), FieldSelectorError> {
        for term in &self.terms {
            let field = term.field.as_str();
            if matches!(field, "metadata.name" | "metadata.namespace") && gvk.kind != "Node" && gvk.kind != "Namespace"
            {
                continue;
            }
            let own = own_fields(gvk);
            if own.contains(&field) {
                continue;
            }
            let text = if own.is_empty() {
                format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            } else {
                format!("field label not supported: {field}")
            };
            return Err(FieldSelectorError::UnknownField { text });
        }
        Ok(())
    }

    /// Whether the object meets every term. A field that is absent has the empty value.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_value(object, &term.field) == term.value) == term.equal)
    }

    /// The name that the selector pins down, when it does: what a watch of one object asks for.
    pub fn exact_name(&self) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == "metadata.name").map(|term| term.value.as_str())
    }
}

/// The fields beside name and namespace that a kind can be selected by, from the conversion functions of 1.24.
fn own_fields(gvk: &Gvk) -> &'static [&'static str] {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Node") => &["metadata.name", "spec.unschedulable"],
        ("", "Namespace") => &["metadata.name", "status.phase"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("apps", "ReplicaSet") => &["status.replicas"],
        _ => &[],
    }
}

/// The text of a field as field selectors see it: dots descend, absent is empty, booleans and numbers as printed.
pub fn field_value(object: &Value, field: &str) -> String {
    if field == "source" {
        return meta::text_at(object, &["source", "component"]).unwrap_or_default().to_owned();
    }
    let path: Vec<&str> = field.split('.').collect();
    match meta::at(object, &path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ if field == "spec.unschedulable" => "false".to_owned(),
        _ if field == "status.replicas" => "0".to_owned(),
        _ => String::new(),
    }
}

fn split_terms(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in selector.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(c) => return Err(FieldSelectorError::BadEscape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::BadEscape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::BadEscape(c.to_string())),
            c => text.push(c),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_match_fields() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=p", true),
            ("metadata.name==p,status.phase!=Running", false),
            ("spec.nodeName!=m,status.podIP=", true),
            (",metadata.name=p,", true),
        ] {
            assert_eq!(FieldSelector::parse(selector).expect(selector).matches(&pod), expected, "{selector}");
        }
        assert!(FieldSelector::parse("spec.unschedulable=false").expect("is valid").matches(&json!({})));
    }

    #[test]
    fn refusals_have_the_servers_words() {
        let parsed = |selector: &str| FieldSelector::parse(selector).expect("parses");
        let config_map = Gvk::new("", "v1", "ConfigMap");
        assert_eq!(
            parsed("data.k=a").check(&config_map).expect_err("is unknown").to_string(),
            "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(
            parsed("spec.foo=a").check(&Gvk::new("", "v1", "Pod")).expect_err("is unknown").to_string(),
            "field label not supported: spec.foo"
        );
        assert_eq!(
            FieldSelector::parse("abc").expect_err("has no operator").to_string(),
            "invalid selector: 'abc'; can't understand 'abc'"
        );
        assert_eq!(
            FieldSelector::parse("a=b=c").expect_err("needs an escape").to_string(),
            "invalid field selector: invalid escape sequence: ="
        );
        assert_eq!(parsed("metadata.name=x\\,y").exact_name(), Some("x,y"));
    }
}
