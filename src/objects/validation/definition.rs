use serde_json::Value;

use crate::objects::{FieldError, meta, names};

const SCOPES: &[&str] = &["Cluster", "Namespaced"];

/// Judges a CustomResourceDefinition's names and versions.
pub(super) fn validate(definition: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    let text = |path: &[&str]| meta::text_at(spec, path).unwrap_or_default();
    let (group, plural) = (text(&["group"]), text(&["names", "plural"]));
    let expected = format!("{plural}.{group}");
    if meta::name(definition) != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid_text("metadata.name", meta::name(definition), detail));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(FieldError::invalid_text("spec.group", group, detail));
    }
    let scope = text(&["scope"]);
    if scope.is_empty() {
        errors.push(FieldError::required("spec.scope", ""));
    } else if !SCOPES.contains(&scope) {
        errors.push(FieldError::not_supported("spec.scope", &names::quote(scope), SCOPES));
    }
    let versions = meta::list_at(spec, &["versions"]);
    for (index, version) in versions.iter().enumerate() {
        let field = format!("spec.versions[{index}]");
        let name = meta::text_at(version, &["name"]).unwrap_or_default();
        let problems = names::dns_1035_label(name);
        errors.extend(FieldError::invalid_texts(&format!("{field}.name"), name, problems).collect::<Vec<_>>());
        if meta::at(version, &["schema", "openAPIV3Schema"]).is_none() {
            let field = format!("{field}.schema.openAPIV3Schema");
            errors.push(FieldError::required(field, "schemas are required"));
        }
    }
    let stored =
        versions.iter().filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true)).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", "[]", detail));
    }
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(&["names", key]).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{key}"), ""));
        }
    }
    errors
}
