use std::collections::BTreeMap;

use k8s_openapi_v124::api::{
    admissionregistration, apps, authorization, autoscaling, coordination, core, discovery, policy, rbac,
};
use k8s_openapi_v124::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi_v124::apimachinery::pkg::apis::meta;
use k8s_openapi_v124::schemars::r#gen::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::patch_strategy;
use crate::objects::BUILTIN_KINDS;

/// Collects the definitions of all built-in kinds, their lists and what requests and answers are made of.
pub(super) fn definitions() -> BTreeMap<String, Value> {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = false);
    let mut generator = SchemaGenerator::new(settings);
    macro_rules! add {
        ($($kind:path,)*) => { $(generator.subschema_for::<$kind>();)* };
    }
    add!(
        core::v1::ConfigMap,
        core::v1::Endpoints,
        core::v1::Event,
        core::v1::Namespace,
        core::v1::Node,
        core::v1::PersistentVolumeClaim,
        core::v1::PersistentVolume,
        core::v1::Pod,
        core::v1::Secret,
        core::v1::ServiceAccount,
        core::v1::Service,
        apps::v1::Deployment,
        apps::v1::ReplicaSet,
        autoscaling::v1::HorizontalPodAutoscaler,
        autoscaling::v1::Scale,
        autoscaling::v2::HorizontalPodAutoscaler,
        autoscaling::v2beta2::HorizontalPodAutoscaler,
        policy::v1::PodDisruptionBudget,
        policy::v1::Eviction,
        policy::v1beta1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
        rbac::v1::ClusterRoleBinding,
        rbac::v1::Role,
        rbac::v1::RoleBinding,
        coordination::v1::Lease,
        discovery::v1::EndpointSlice,
        admissionregistration::v1::MutatingWebhookConfiguration,
        admissionregistration::v1::ValidatingWebhookConfiguration,
        apiextensions::v1::CustomResourceDefinition,
        authorization::v1::LocalSubjectAccessReview,
        authorization::v1::SelfSubjectAccessReview,
        authorization::v1::SelfSubjectRulesReview,
        authorization::v1::SubjectAccessReview,
        meta::v1::DeleteOptions,
        meta::v1::ListMeta,
        meta::v1::Status,
        meta::v1::Patch,
    );
    let mut definitions: BTreeMap<String, Value> = generator
        .take_definitions()
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    for (name, definition) in &mut definitions {
        adapt(name, definition);
    }
    for known in BUILTIN_KINDS {
        let Some(name) = name_of(&definitions, known.group, known.version, known.kind) else { continue };
        definitions.insert(format!("{name}List"), list_of(&name, known.group, known.version, known.kind));
        if let Some(Value::Object(definition)) = definitions.get_mut(&name) {
            definition.insert(GVK.to_owned(), kinds(known.group, known.version, known.kind));
        }
    }
    for (name, group, version, kind) in [
        ("io.k8s.api.autoscaling.v1.Scale", "autoscaling", "v1", "Scale"),
        ("io.k8s.api.policy.v1.Eviction", "policy", "v1", "Eviction"),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.Status", "", "v1", "Status"),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "", "v1", "DeleteOptions"),
    ] {
        if let Some(Value::Object(definition)) = definitions.get_mut(name) {
            definition.insert(GVK.to_owned(), kinds(group, version, kind));
        }
    }
    definitions
}

const GVK: &str = "x-kubernetes-group-version-kind";

fn kinds(group: &str, version: &str, kind: &str) -> Value {
    json!([{"group": group, "kind": kind, "version": version}])
}

/// The definition's name ends in group, version and kind, with the group's first part only.
fn name_of(definitions: &BTreeMap<String, Value>, group: &str, version: &str, kind: &str) -> Option<String> {
    let short = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) };
    let end = format!(".{short}.{version}.{kind}");
    definitions.keys().find(|name| name.ends_with(&end)).cloned()
}

fn list_of(item: &str, group: &str, version: &str, kind: &str) -> Value {
    json!({
        "description": format!("{kind}List is a list of {kind} objects."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this representation."},
            "items": {
                "type": "array",
                "description": format!("The {kind} objects."),
                "items": {"$ref": format!("#/definitions/{item}")},
            },
            "kind": {"type": "string", "description": "Kind of this representation."},
            "metadata": {
                "description": "Revision of the list, and how to go on with it.",
                "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
            },
        },
        GVK: kinds(group, version, &format!("{kind}List")),
    })
}

/// Turns a generated schema into what Kubernetes' OpenAPI v2 document has for the type.
fn adapt(name: &str, definition: &mut Value) {
    let Value::Object(definition) = definition else {
        *definition = Value::Object(Map::new());
        return;
    };
    match name.rsplit('.').next() {
        Some("IntOrString") => {
            definition.remove("x-kubernetes-int-or-string");
            definition.insert("type".to_owned(), "string".into());
            definition.insert("format".to_owned(), "int-or-string".into());
        }
        // These may hold anything; a type would make kubectl refuse what the server takes.
        Some("JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray") => {
            definition.retain(|key, _| key == "description");
        }
        _ => {}
    }
    if let Some(Value::Object(properties)) = definition.get_mut("properties") {
        for (key, property) in properties {
            plain(property);
            if let Value::Object(property) = property {
                patch_strategy::of(name, key).annotate(property);
            }
        }
    }
}

/// Unfolds what schemars wraps: a reference with a description comes as `allOf` with one member.
fn plain(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Array(mut members)) = map.remove("allOf")
        && let [Value::Object(only)] = members.as_mut_slice()
    {
        map.append(only);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            plain(inner);
        }
    }
}
