use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::custom;
use super::paths::{Dialect, definition_name, paths};
use crate::embedded::api::catalog::Catalog;
use crate::objects::schemas;

/// The list of documents, one for each group and version.
pub(in crate::embedded::api) fn index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for resource in catalog.iter() {
        for version in resource.versions.iter().filter(|version| version.served) {
            let path = if resource.group.is_empty() {
                format!("api/{}", version.name)
            } else {
                format!("apis/{}/{}", resource.group, version.name)
            };
            let url = format!("/openapi/v3/{path}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// One group and version in OpenAPI v3, with the definitions that it needs.
pub(super) fn document(catalog: &Catalog, definitions: &[Arc<Value>], group: &str, version: &str) -> Value {
    let custom = custom::definitions(catalog, definitions, Dialect::V3);
    let mut wanted: Vec<String> = Vec::new();
    for resource in catalog.iter().filter(|resource| resource.group == group && resource.served(version).is_some()) {
        if let Some(name) = definition_name(resource, version) {
            wanted.push(format!("{name}List"));
            wanted.push(name);
        }
        if resource.served(version).is_some_and(|version| version.subresource("scale").is_some()) {
            wanted.push("io.k8s.api.autoscaling.v1.Scale".to_owned());
        }
    }
    for name in ["Status", "DeleteOptions", "Patch"] {
        wanted.push(format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
    }
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let Some(mut schema) = custom.get(&name).or_else(|| schemas::definitions().get(&name)).cloned() else {
            continue;
        };
        translate(&mut schema, &mut wanted);
        found.insert(name, schema);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.24.3"},
        "paths": paths(catalog, Dialect::V3, Some((group, version))),
        "components": {"schemas": found},
    })
}

/// Rewrites references, and notes where they lead. One that has neighbours is wrapped, for v3 would ignore those.
fn translate(schema: &mut Value, wanted: &mut Vec<String>) {
    match schema {
        Value::Object(keywords) => {
            let target = keywords
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| path.strip_prefix("#/definitions/"))
                .map(str::to_owned);
            if let Some(target) = target {
                let reference = Dialect::V3.reference(&target);
                keywords.shift_remove("$ref");
                if keywords.is_empty() {
                    *schema = reference;
                } else {
                    keywords.insert("allOf".to_owned(), json!([reference]));
                }
                wanted.push(target);
                return;
            }
            for value in keywords.values_mut() {
                translate(value, wanted);
            }
        }
        Value::Array(items) => {
            for item in items {
                translate(item, wanted);
            }
        }
        _ => {}
    }
}
