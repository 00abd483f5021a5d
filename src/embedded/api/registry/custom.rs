//! CustomResourceDefinitions: what their own status says once their resource is served.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::embedded::api::catalog::Catalog;
use crate::objects::meta;

/// Fills in a definition's names and status. The embedded cluster serves a definition at once, so it is established
/// from the start, unless another resource of the group has one of its names.
pub(super) fn establish(catalog: &Catalog, definition: &mut Value) {
    let kind = meta::text_at(definition, &["spec", "names", "kind"]).unwrap_or_default().to_owned();
    let names = &mut definition["spec"]["names"];
    if names["singular"].as_str().is_none_or(str::is_empty) {
        names["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) {
        names["listKind"] = format!("{kind}List").into();
    }
    let names = names.clone();
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
    let group = meta::text_at(definition, &["spec", "group"]).unwrap_or_default().to_owned();
    let plural = names["plural"].as_str().unwrap_or_default();
    let rival = catalog
        .of_kind(&group, &kind)
        .filter(|rival| rival.plural != plural)
        .map(|rival| format!("\"{}\" is already in use by {}", rival.kind, rival.full_name()));
    let accepted = rival.is_none();
    let now = meta::time_text(Timestamp::now());
    let previous = definition["status"]["conditions"].take();
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        let status = if status { "True" } else { "False" };
        let since = previous
            .as_array()
            .into_iter()
            .flatten()
            .find(|known| known["type"] == kind && known["status"] == status)
            .and_then(|known| known["lastTransitionTime"].as_str())
            .unwrap_or(&now);
        json!({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    };
    let conditions = match &rival {
        None => vec![
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        Some(message) => vec![
            condition("NamesAccepted", false, "KindConflict", message),
            condition("Established", false, "NotAccepted", "not all names are accepted"),
        ],
    };
    let mut stored: Vec<Value> = definition["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in meta::list_at(definition, &["spec", "versions"]) {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    definition["status"] = json!({
        "conditions": conditions,
        "acceptedNames": if accepted { names } else { json!({"plural": "", "kind": ""}) },
        "storedVersions": stored,
    });
}
