//! Values as Go's `%#v` prints them inside complaints.

use serde_json::{Map, Value};

use crate::objects::names::quote;

/// A map of strings: `map[string]string{"a":"b"}`.
pub(super) fn string_map(map: Option<&Map<String, Value>>) -> String {
    let Some(map) = map.filter(|map| !map.is_empty()) else { return "map[string]string(nil)".to_owned() };
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    let entries: Vec<String> = entries
        .into_iter()
        .map(|(key, value)| format!("{}:{}", quote(key), quote(value.as_str().unwrap_or_default())))
        .collect();
    format!("map[string]string{{{}}}", entries.join(", "))
}

/// A list of strings: `[]string{"a"}`.
pub(super) fn string_list<'a>(list: impl Iterator<Item = &'a str>) -> String {
    format!("[]string{{{}}}", list.map(quote).collect::<Vec<_>>().join(", "))
}

/// A label selector object.
pub(super) fn label_selector(selector: &Value) -> String {
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).filter(|list| !list.is_empty());
    let expressions = match expressions {
        None => "[]v1.LabelSelectorRequirement(nil)".to_owned(),
        Some(list) => {
            let items: Vec<String> = list
                .iter()
                .map(|item| {
                    let text = |key: &str| quote(item.get(key).and_then(Value::as_str).unwrap_or_default());
                    let values = match item.get("values").and_then(Value::as_array) {
                        Some(values) => string_list(values.iter().filter_map(Value::as_str)),
                        None => "[]string(nil)".to_owned(),
                    };
                    format!(
                        "v1.LabelSelectorRequirement{{Key:{}, Operator:{}, Values:{values}}}",
                        text("key"),
                        text("operator")
                    )
                })
                .collect();
            format!("[]v1.LabelSelectorRequirement{{{}}}", items.join(", "))
        }
    };
    let labels = string_map(selector.get("matchLabels").and_then(Value::as_object));
    format!("v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{expressions}}}")
}

/// A number or a text: `intstr.IntOrString{Type:0, IntVal:0, StrVal:""}`.
pub(super) fn int_or_string(value: &Value) -> String {
    match value {
        Value::String(text) => format!("intstr.IntOrString{{Type:1, IntVal:0, StrVal:{}}}", quote(text)),
        other => format!("intstr.IntOrString{{Type:0, IntVal:{}, StrVal:\"\"}}", other.as_i64().unwrap_or_default()),
    }
}

/// The protocol and number of a Service's port, as the duplicate check prints them.
pub(super) fn service_port(protocol: &str, port: i64) -> String {
    format!(
        "core.ServicePort{{Name:\"\", Protocol:{}, AppProtocol:(*string)(nil), Port:{port}, TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:\"\"}}, NodePort:0}}",
        quote(protocol)
    )
}
