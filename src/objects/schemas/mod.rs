//! What the built-in kinds look like: their OpenAPI v2 definitions, and how lists inside them merge.
//!
//! Shapes and descriptions come out of the `k8s-openapi` crate's schemas of Kubernetes 1.24 at run time; what those do
//! not carry (kinds, patch strategies, the loose types) is added in `catalogue` from the Kubernetes API reference.

mod catalogue;
mod patch_strategy;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

pub use patch_strategy::{ListStrategy, PatchStrategy};

use super::Gvk;

static DEFINITIONS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(catalogue::definitions);

/// Every definition by name, such as `io.k8s.api.apps.v1.Deployment`, in the form of OpenAPI v2: references read
/// `#/definitions/NAME`.
pub fn definitions() -> &'static BTreeMap<String, Value> {
    &DEFINITIONS
}

/// The definition's name for a built-in kind.
pub fn definition_name(gvk: &Gvk) -> Option<String> {
    let package = match gvk.group.as_str() {
        "" => "io.k8s.api.core",
        "apps" => "io.k8s.api.apps",
        "autoscaling" => "io.k8s.api.autoscaling",
        "policy" => "io.k8s.api.policy",
        "rbac.authorization.k8s.io" => "io.k8s.api.rbac",
        "authorization.k8s.io" => "io.k8s.api.authorization",
        "coordination.k8s.io" => "io.k8s.api.coordination",
        "discovery.k8s.io" => "io.k8s.api.discovery",
        "admissionregistration.k8s.io" => "io.k8s.api.admissionregistration",
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
        _ => return None,
    };
    let name = format!("{package}.{}.{}", gvk.version, gvk.kind);
    DEFINITIONS.contains_key(&name).then_some(name)
}

/// The definition of a built-in kind.
pub fn definition(gvk: &Gvk) -> Option<&'static Value> {
    DEFINITIONS.get(&definition_name(gvk)?)
}

/// A place in the types: what is known about a value met while walking an object.
#[derive(Clone, Copy, Debug)]
pub struct TypeRef {
    schema: &'static Value,
    name: Option<&'static str>,
}

impl TypeRef {
    /// The type of a built-in kind's objects.
    pub fn of(gvk: &Gvk) -> Option<Self> {
        let (name, schema) = DEFINITIONS.get_key_value(&definition_name(gvk)?)?;
        Some(Self { schema, name: Some(name) })
    }

    /// The type of a definition, by its name.
    pub fn named(name: &str) -> Option<Self> {
        let (name, schema) = DEFINITIONS.get_key_value(name)?;
        Some(Self { schema, name: Some(name) })
    }

    fn resolve(schema: &'static Value) -> Self {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/definitions/"));
        match target.and_then(|name| DEFINITIONS.get_key_value(name)) {
            Some((name, schema)) => Self { schema, name: Some(name) },
            None => Self { schema, name: None },
        }
    }

    /// The definition's name, when this is a named type.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// The schema itself; references inside it are not followed.
    pub fn schema(&self) -> &'static Value {
        self.schema
    }

    /// The JSON type that values must have: `string`, `integer`, `number`, `boolean`, `array` or `object`; `None` for
    /// values that may be anything.
    pub fn json_type(&self) -> Option<&'static str> {
        self.schema.get("type").and_then(Value::as_str)
    }

    /// The `format` that goes with the type.
    pub fn format(&self) -> Option<&'static str> {
        self.schema.get("format").and_then(Value::as_str)
    }

    /// Whether objects of this type have named properties (and not just any keys).
    pub fn has_properties(&self) -> bool {
        self.schema.get("properties").is_some()
    }

    /// The type of a property.
    pub fn property(&self, key: &str) -> Option<Self> {
        self.schema.get("properties")?.get(key).map(Self::resolve)
    }

    /// The type of the values of a map.
    pub fn map_values(&self) -> Option<Self> {
        self.schema.get("additionalProperties").filter(|schema| schema.is_object()).map(Self::resolve)
    }

    /// The type of a list's items.
    pub fn items(&self) -> Option<Self> {
        self.schema.get("items").map(Self::resolve)
    }

    /// How the property merges in a strategic merge patch.
    pub fn patch_strategy(&self, key: &str) -> PatchStrategy {
        self.name.map_or(PatchStrategy::default(), |name| patch_strategy::of(name, key))
    }
}

/// The description of a field, by its path from the kind's root; empty when there is none.
pub fn description(gvk: &Gvk, path: &[&str]) -> &'static str {
    let Some(mut here) = TypeRef::of(gvk) else { return "" };
    let Some((last, parents)) = path.split_last() else { return text_of(here.schema) };
    for key in parents {
        let Some(next) = here.property(key) else { return "" };
        here = next;
    }
    here.schema.get("properties").and_then(|properties| properties.get(*last)).map_or("", text_of)
}

fn text_of(schema: &'static Value) -> &'static str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().trim_end()
}

/// A field that a kind does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Where it stands, such as `spec.replica`.
    pub path: String,
    /// Its key.
    pub key: String,
    /// The keys that there are at that place.
    pub known: Vec<String>,
}

/// The field's path.
impl std::fmt::Display for UnknownField {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.path)
    }
}

/// The fields that the kind does not have, in the object's order. Empty for kinds that are not built in. The API server
/// ignores such fields; kubectl refuses them.
pub fn unknown_fields(gvk: &Gvk, object: &Value) -> Vec<UnknownField> {
    fn walk(place: Option<TypeRef>, value: &Value, path: &str, found: &mut Vec<UnknownField>) {
        let Some(place) = place else { return };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let next = place.property(key).or_else(|| place.map_values());
                    if next.is_none() && place.has_properties() {
                        let known = place.schema["properties"].as_object().into_iter().flatten();
                        let known = known.map(|(key, _)| key.clone()).collect();
                        found.push(UnknownField { path, key: key.clone(), known });
                    } else {
                        walk(next, value, &path, found);
                    }
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    walk(place.items(), value, &format!("{path}[{index}]"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(TypeRef::of(gvk), object, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::BUILTIN_KINDS;

    #[test]
    fn every_builtin_kind_is_defined_with_its_kind() {
        for known in BUILTIN_KINDS {
            let definition = definition(&known.gvk()).unwrap_or_else(|| panic!("{} has no definition", known.kind));
            assert_eq!(
                definition["x-kubernetes-group-version-kind"],
                json!([{"group": known.group, "kind": known.kind, "version": known.version}])
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    for value in map.values() {
                        references(value, found);
                    }
                }
                Value::Array(list) => {
                    for value in list {
                        references(value, found);
                    }
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        for definition in definitions().values() {
            references(definition, &mut found);
        }
        assert!(found.len() > 300);
        for reference in found {
            let name = reference.strip_prefix("#/definitions/").expect("is local");
            assert!(definitions().contains_key(name), "{name} is missing");
        }
    }

    #[test]
    fn walking_types() {
        let deployment = TypeRef::of(&Gvk::new("apps", "v1", "Deployment")).expect("is built in");
        let pod = ["spec", "template", "spec"].iter().fold(deployment, |here, key| here.property(key).expect(key));
        assert_eq!(pod.name(), Some("io.k8s.api.core.v1.PodSpec"));
        assert_eq!(pod.patch_strategy("containers").list, ListStrategy::MergeBy("name"));
        assert_eq!(pod.patch_strategy("tolerations").list, ListStrategy::Replace);
        let container = pod.property("containers").and_then(|list| list.items()).expect("has items");
        assert_eq!(container.property("image").and_then(|image| image.json_type()), Some("string"));
        assert_eq!(container.patch_strategy("ports").list, ListStrategy::MergeBy("containerPort"));
    }

    #[test]
    fn unknown_fields_are_found_and_maps_are_free() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"labels": {"anything": "goes"}, "nmae": "x"},
            "spec": {"replica": 1, "template": {"spec": {"containers": [{"name": "c"}, {"imag": "x", "resources": {"limits": {"cpu": 1}}}]}}},
        });
        let unknown = unknown_fields(&Gvk::new("apps", "v1", "Deployment"), &object);
        let paths: Vec<&str> = unknown.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["metadata.nmae", "spec.replica", "spec.template.spec.containers[1].imag"]);
        assert!(unknown[1].known.contains(&"replicas".to_owned()));
        assert!(unknown_fields(&Gvk::new("x.io", "v1", "Thing"), &object).is_empty());
    }

    #[test]
    fn descriptions_are_there() {
        let deployment = Gvk::new("apps", "v1", "Deployment");
        assert!(description(&deployment, &["metadata", "name"]).starts_with("Name must be unique within a namespace."));
        assert_eq!(description(&deployment, &["spec", "nothing"]), "");
    }
}
