//! The paths of the documents: which method a resource has, with which parameters.

use serde_json::{Map, Value, json};

use super::custom;
use crate::embedded::api::catalog::{Catalog, Resource, Version};
use crate::objects::{Verbs, schemas};

/// A query parameter: name, type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "`All` checks everything and stores nothing.");
const FIELD_MANAGER: Parameter = ("fieldManager", "string", "A name for whoever makes the change.");
const FORCE: Parameter = ("force", "boolean", "Takes fields over from other managers when applying.");
const GRACE: Parameter = ("gracePeriodSeconds", "integer", "Seconds until the object is removed; 0 is at once.");
const PROPAGATION: Parameter =
    ("propagationPolicy", "string", "`Orphan`, `Background` or `Foreground`: what becomes of owned objects.");
const LIST: [Parameter; 8] = [
    ("allowWatchBookmarks", "boolean", "Asks for events that tell how far a watch has come."),
    ("continue", "string", "Where to go on with a list, as the last page said."),
    ("fieldSelector", "string", "Only objects whose fields are so."),
    ("labelSelector", "string", "Only objects whose labels are so."),
    ("limit", "integer", "At most so many objects."),
    ("resourceVersion", "string", "A revision to read at or watch from."),
    ("timeoutSeconds", "integer", "How long a watch lasts."),
    ("watch", "boolean", "Follows the changes instead of listing."),
];

/// Writes the one dialect or the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    pub(super) fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }

    fn parameter(self, (name, kind, description): Parameter) -> Value {
        match self {
            Self::V2 => {
                json!({"name": name, "in": "query", "description": description, "type": kind, "uniqueItems": true})
            }
            Self::V3 => json!({
                "name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true},
            }),
        }
    }

    fn path_parameter(self, name: &str) -> Value {
        let description = format!("The {name} of the object.");
        match self {
            Self::V2 => {
                json!({"name": name, "in": "path", "required": true, "description": description, "type": "string"})
            }
            Self::V3 => json!({
                "name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"},
            }),
        }
    }
}

/// The name of the definition of a resource's objects.
pub(super) fn definition_name(resource: &Resource, version: &str) -> Option<String> {
    if resource.custom {
        return Some(custom::name(resource, version));
    }
    schemas::definition_name(&resource.gvk(version))
}

/// The paths of all resources, or of those of one group and version.
pub(super) fn paths(catalog: &Catalog, dialect: Dialect, only: Option<(&str, &str)>) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in catalog.iter() {
        for version in resource.versions.iter().filter(|version| version.served) {
            if only.is_none_or(|only| only == (resource.group.as_str(), version.name.as_str())) {
                add(&mut paths, resource, version, dialect);
            }
        }
    }
    paths
}

fn add(paths: &mut Map<String, Value>, resource: &Resource, version: &Version, dialect: Dialect) {
    let Some(name) = definition_name(resource, &version.name) else { return };
    let root = if resource.group.is_empty() {
        format!("/api/{}", version.name)
    } else {
        format!("/apis/{}/{}", resource.group, version.name)
    };
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{place}/{}", resource.plural);
    let whole = |parameters: &[&str]| -> Value {
        let names = parameters.iter().copied().chain(resource.namespaced.then_some("namespace"));
        names.map(|name| dialect.path_parameter(name)).collect()
    };
    let operation = |action: &str, result: &str, parameters: &[Parameter], body: Option<&str>| {
        make_operation(resource, version, dialect, action, result, parameters, body)
    };
    let list = format!("{name}List");
    let create = operation("post", &name, &[DRY_RUN, FIELD_MANAGER], Some(&name));
    if resource.verbs == Verbs::CreateOnly {
        paths.insert(collection, json!({"post": create, "parameters": whole(&[])}));
        return;
    }
    let mut many = json!({"get": operation("list", &list, &LIST, None), "post": create, "parameters": whole(&[])});
    if resource.verbs == Verbs::All {
        let parameters = [&LIST[..], &[DRY_RUN, GRACE, PROPAGATION]].concat();
        many["delete"] = operation("deletecollection", STATUS, &parameters, Some(DELETE_OPTIONS));
    }
    let one = json!({
        "get": operation("get", &name, &[], None),
        "put": operation("put", &name, &[DRY_RUN, FIELD_MANAGER], Some(&name)),
        "patch": operation("patch", &name, &[DRY_RUN, FIELD_MANAGER, FORCE], Some(PATCH)),
        "delete": operation("delete", STATUS, &[DRY_RUN, GRACE, PROPAGATION], Some(DELETE_OPTIONS)),
        "parameters": whole(&["name"]),
    });
    if resource.namespaced {
        paths.insert(format!("{root}/{}", resource.plural), json!({"get": operation("list", &list, &LIST, None)}));
    }
    paths.insert(format!("{collection}/{{name}}"), one);
    paths.insert(collection, many);
}

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

fn make_operation(
    resource: &Resource,
    version: &Version,
    dialect: Dialect,
    action: &str,
    result: &str,
    parameters: &[Parameter],
    body: Option<&str>,
) -> Value {
    let mut parameters: Vec<Value> = parameters.iter().map(|parameter| dialect.parameter(*parameter)).collect();
    let mut operation = json!({
        "description": format!("{action} {}", resource.plural),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": resource.group, "kind": resource.kind, "version": version.name},
    });
    let schema = dialect.reference(result);
    match dialect {
        Dialect::V2 => {
            if let Some(body) = body {
                parameters
                    .push(json!({"name": "body", "in": "body", "required": true, "schema": dialect.reference(body)}));
            }
            operation["responses"] = json!({"200": {"description": "OK", "schema": schema}});
        }
        Dialect::V3 => {
            if let Some(body) = body {
                operation["requestBody"] =
                    json!({"content": {"application/json": {"schema": dialect.reference(body)}}});
            }
            operation["responses"] =
                json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}});
        }
    }
    operation["parameters"] = Value::Array(parameters);
    operation
}
