//! Which objects of a cluster are neither the lab's nor the cluster's nor the mesh's: what a person made there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::ObjectRef;
use crate::lab::{Lab, StepSpec};
use crate::objects::meta;
use crate::state::{Item, State};

/// Namespaces that the cluster itself furnishes.
const OF_THE_CLUSTER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Kinds that controllers keep for other objects, or that say what happened.
const DERIVED: [&str; 6] = ["Event", "Endpoints", "EndpointSlice", "Lease", "ReplicaSet", "ControllerRevision"];
/// What every namespace is furnished with.
const FURNITURE: [(&str, &str); 3] =
    [("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "istio-ca-root-cert")];

/// Labels of everything that the lab makes, has made or was about to make.
pub(super) fn of_the_lab(lab: &Lab, state: &State) -> BTreeSet<String> {
    let steps = lab.spec.stages.iter().flat_map(|stage| &stage.steps);
    let mut known: BTreeSet<String> =
        state.inventory.iter().map(Item::label).chain(state.intended.iter().cloned()).collect();
    known.extend(steps.filter_map(|step| match step {
        StepSpec::Apply(apply) => lab.manifests.get(&apply.manifest).map(|manifest| manifest.key.label()),
        StepSpec::Namespace(spec) => Some(format!("Namespace {}", spec.name)),
        _ => None,
    }));
    known
}

/// The objects that a person made: in namespaces, or namespaces themselves.
pub(super) fn of_others<'a>(objects: &'a [Value], lab: &BTreeSet<String>, mesh: &str) -> Vec<&'a Value> {
    let made_by_a_person = |object: &&Value| {
        let Some(reference) = ObjectRef::of(object) else { return false };
        let (kind, name) = (reference.gvk.kind.as_str(), reference.name.as_str());
        let known = lab.contains(&reference.label());
        match &reference.namespace {
            None => {
                kind == "Namespace" && !known && name != "default" && name != mesh && !OF_THE_CLUSTER.contains(&name)
            }
            Some(namespace) => {
                let furnished = FURNITURE.contains(&(kind, name))
                    || (namespace == "default" && name == "kubernetes")
                    || object["type"] == "kubernetes.io/service-account-token"
                    // istiod keeps secrets and elections there.
                    || (namespace == mesh && name.starts_with("istio"));
                let derived = DERIVED.contains(&kind) || !meta::owner_references(object).is_empty();
                !known && !furnished && !derived && !OF_THE_CLUSTER.contains(&namespace.as_str())
            }
        }
    };
    objects.iter().filter(made_by_a_person).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lab::Source;

    fn object(kind: &str, namespace: Option<&str>, name: &str) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        object
    }

    #[test]
    fn what_a_person_made_is_told_from_what_stands_there_anyway() {
        let lab = of_the_lab(&Lab::load(&Source::Builtin).unwrap(), &State::new("lab"));
        let mut owned = object("Pod", Some("tf-serving"), "image-classifier-x");
        owned["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet"}]);
        let objects = [
            object("Namespace", None, "tf-serving"),
            object("Namespace", None, "kube-system"),
            object("Namespace", None, "mine"),
            object("ConfigMap", Some("mine"), "kube-root-ca.crt"),
            object("ConfigMap", Some("tf-serving"), "resnet50-configs"),
            object("ConfigMap", Some("tf-serving"), "mine"),
            object("ConfigMap", Some("kube-system"), "x"),
            object("Service", Some("default"), "kubernetes"),
            object("Secret", Some("istio-system"), "istio-ca-secret"),
            object("Secret", Some("istio-system"), "my-certificate"),
            object("Endpoints", Some("tf-serving"), "image-classifier"),
            object("Node", None, "minikube"),
            owned,
        ];
        let found = of_others(&objects, &lab, "istio-system");
        let names: Vec<&str> = found.iter().map(|object| meta::name(object)).collect();
        assert_eq!(names, ["mine", "mine", "my-certificate"]);
    }
}
