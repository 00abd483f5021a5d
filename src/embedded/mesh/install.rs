//! What `istioctl install` of 1.12.7's default profile leaves in a cluster, as data (specification section 10).

use serde::Deserialize;
use serde_json::Value;

/// The objects in the order in which they are made, as YAML documents.
const FILES: [(&str, &str); 6] = [
    ("install/crds.yaml", include_str!("install/crds.yaml")),
    ("install/crd-gateway.yaml", include_str!("install/crd-gateway.yaml")),
    ("install/crd-virtualservice.yaml", include_str!("install/crd-virtualservice.yaml")),
    ("install/crd-destinationrule.yaml", include_str!("install/crd-destinationrule.yaml")),
    ("install/istio-system.yaml", include_str!("install/istio-system.yaml")),
    ("install/webhooks.yaml", include_str!("install/webhooks.yaml")),
];

/// A data file of this binary that is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct InstallDataError {
    file: &'static str,
    reason: serde_yaml::Error,
}

/// All objects of an installation: definitions first, webhook configurations last.
///
/// # Errors
/// A data file that is not YAML, which the tests rule out.
pub fn install_objects() -> Result<Vec<Value>, InstallDataError> {
    let mut objects = Vec::new();
    for (file, text) in FILES {
        for document in serde_yaml::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|reason| InstallDataError { file, reason })?;
            if !value.is_null() {
                objects.push(value);
            }
        }
    }
    for object in &mut objects {
        if object["kind"] == "CustomResourceDefinition" {
            serve_other_versions_alike(object);
        }
    }
    Ok(objects)
}

/// A definition's versions share one schema; the data gives it once, with the first.
fn serve_other_versions_alike(definition: &mut Value) {
    let Some(versions) = definition["spec"]["versions"].as_array_mut() else { return };
    let Some((first, others)) = versions.split_first_mut() else { return };
    for version in others {
        for field in ["schema", "subresources", "additionalPrinterColumns"] {
            if version.get(field).is_none() && first.get(field).is_some() {
                version[field] = first[field].clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::recorded;

    #[test]
    fn the_definitions_are_those_of_the_release() {
        let objects = install_objects().unwrap();
        let names = |kind: &str| -> Vec<&str> {
            let of_kind = objects.iter().filter(|object| object["kind"] == kind);
            of_kind.map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names("CustomResourceDefinition").len(), 14);
        assert_eq!(names("Deployment"), ["istiod", "istio-ingressgateway"]);
        for object in &objects {
            assert!(object["apiVersion"].is_string() && object["metadata"]["name"].is_string(), "{object}");
            for version in object["spec"]["versions"].as_array().into_iter().flatten() {
                assert!(version["schema"]["openAPIV3Schema"].is_object(), "{}", object["metadata"]["name"]);
            }
        }
        let Ok(text) = std::fs::read_to_string(recorded::folder().join("golden/istio/installed.txt")) else { return };
        let generated = text.split("(kinds and names only)\n").nth(1).unwrap();
        // Filters configure an Envoy that is not there.
        for line in generated.lines().filter(|line| !line.starts_with("EnvoyFilter/")) {
            let (kind, name) = line.split_once('/').unwrap();
            assert!(names(kind).contains(&name), "{line}");
        }
    }

    #[test]
    fn every_accepted_recorded_object_fits_its_schema() {
        use crate::objects::schema::StructuralSchema;
        let Some(cases) = recorded::lines("golden/istio/admission.jsonl") else { return };
        let objects = install_objects().unwrap();
        let schema_of = |kind: &str| {
            let definition = objects.iter().find(|object| object["spec"]["names"]["kind"] == kind).unwrap();
            StructuralSchema::parse(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        };
        let (mut held, mut differing) = (0, Vec::new());
        for case in &cases {
            let api = &case["api"];
            let mut object = case["object"].clone();
            let schema = schema_of(object["kind"].as_str().unwrap());
            schema.prune(&mut object);
            let errors = schema.validate(&object);
            // The name is not the schema's affair, and null members are dropped before it sees them.
            let by_name = case["name"] == "vs name uppercase" || case["name"] == "vs match header null";
            // A schema refusal is a 422; everything else passes the schema.
            let same = (api["status"] == 422) != errors.is_empty() || by_name;
            let pruned = by_name || api.get("stored_spec").is_none_or(|stored| object["spec"] == *stored);
            if same && pruned {
                held += 1;
            } else {
                differing.push(format!("{}: {errors:?}", case["name"]));
            }
        }
        println!("{held} of {} recorded objects meet their schema alike", held + differing.len());
        assert!(differing.is_empty() && held > 120, "{differing:#?}");
    }
}
