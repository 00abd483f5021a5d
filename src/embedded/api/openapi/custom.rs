//! CustomResourceDefinitions' schemas as the API's documents show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::paths::Dialect;
use crate::embedded::api::catalog::{Catalog, Resource};

/// Keywords that OpenAPI v2 does not have, or not in the sense of structural schemas.
const NOT_IN_V2: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "nullable", "example", "x-kubernetes-validations"];

/// The name of a definition: the group's domain backwards, version, kind.
pub(super) fn name(resource: &Resource, version: &str) -> String {
    let mut labels: Vec<&str> = resource.group.split('.').collect();
    labels.reverse();
    format!("{}.{version}.{}", labels.join("."), resource.kind)
}

/// The definitions of all served custom resources, lists included. A version of OpenAPI that cannot say all that a structural
/// schema does gets it simplified.
pub(super) fn definitions(catalog: &Catalog, definitions: &[Arc<Value>], dialect: Dialect) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for definition in definitions {
        let full_name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let Some(resource) = catalog.get(full_name).filter(|resource| resource.custom) else { continue };
        for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
            let version_name = version["name"].as_str().unwrap_or_default();
            if resource.served(version_name).is_none() {
                continue;
            }
            let name = name(resource, version_name);
            found.insert(format!("{name}List"), list(resource, version_name, &name));
            found.insert(name, item(resource, version_name, &version["schema"]["openAPIV3Schema"], dialect));
        }
    }
    found
}

fn kinds(resource: &Resource, version: &str, kind: &str) -> Value {
    json!([{"group": resource.group, "kind": kind, "version": version}])
}

fn item(resource: &Resource, version: &str, schema: &Value, dialect: Dialect) -> Value {
    let mut definition = schema.clone();
    if dialect == Dialect::V2 {
        simplify(&mut definition);
    }
    if !definition.is_object() {
        definition = json!({});
    }
    definition["type"] = "object".into();
    if !definition["properties"].is_object() {
        definition["properties"] = json!({});
    }
    let properties = &mut definition["properties"];
    properties["apiVersion"] =
        json!({"type": "string", "description": "Group and version of this representation of the object."});
    properties["kind"] = json!({"type": "string", "description": "Kind of the object, in CamelCase."});
    properties["metadata"] = json!({
        "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "description": "Standard object's metadata.",
    });
    definition["x-kubernetes-group-version-kind"] = kinds(resource, version, &resource.kind);
    definition
}

fn list(resource: &Resource, version: &str, item: &str) -> Value {
    json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this representation of the list."},
            "items": {
                "type": "array", "description": format!("List of {}.", resource.plural),
                "items": {"$ref": format!("#/definitions/{item}")},
            },
            "kind": {"type": "string", "description": "Kind of the list, in CamelCase."},
            "metadata": {
                "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
                "description": "Standard list metadata.",
            },
        },
        "x-kubernetes-group-version-kind": kinds(resource, version, &resource.list_kind),
    })
}

/// Takes away what clients of OpenAPI v2 would misread: alternatives, types of what may be null, and the known fields of
/// objects that may have others.
fn simplify(schema: &mut Value) {
    let Some(keywords) = schema.as_object_mut() else { return };
    let nullable = keywords.get("nullable") == Some(&Value::Bool(true));
    let open = keywords.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let either = keywords.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    for keyword in NOT_IN_V2 {
        keywords.shift_remove(keyword);
    }
    if nullable || open {
        for keyword in ["properties", "items", "additionalProperties", "required"] {
            keywords.shift_remove(keyword);
        }
    }
    if nullable || either {
        keywords.shift_remove("type");
    }
    for schema in keywords.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        simplify(schema);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(schema) = keywords.get_mut(keyword) {
            simplify(schema);
        }
    }
}
