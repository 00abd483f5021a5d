//! Which changes of the cluster concern the lab.

use super::view::View;
use crate::cluster::Watched;
use crate::lab::Lab;
use crate::objects::meta;
use crate::yaml::nearest;

/// The namespaces that the lab's own objects live in.
pub(super) fn lab_namespaces(lab: &Lab) -> Vec<String> {
    let mut namespaces: Vec<String> =
        lab.manifests.values().filter_map(|manifest| manifest.key.namespace.clone()).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

/// Takes in a change if it concerns the lab: an object in one of its namespaces, the namespace itself or one whose name
/// looks like it, the ingress service, or an object of a learner that has one of the lab's names in another namespace.
pub(super) fn note_event(view: &mut View, event: &Watched, by: &str, namespaces: &[String]) -> bool {
    let (Watched::Is(object) | Watched::Gone(object)) = event;
    let kind = object["kind"].as_str().unwrap_or_default();
    let own = match meta::namespace(object) {
        Some("istio-system") => kind == "Service" && object["spec"]["type"] == "LoadBalancer",
        Some(namespace) => {
            let automatic = kind == "ConfigMap" && meta::name(object).ends_with("root-cert.pem")
                || ["istio-ca-root-cert", "kube-root-ca.crt"].contains(&meta::name(object))
                || namespace.starts_with("kube-")
                || (namespace == "default" && meta::name(object) == "kubernetes");
            !automatic
        }
        None => kind == "Namespace" && nearest(meta::name(object), namespaces).is_some(),
    };
    if !own {
        return false;
    }
    match event {
        Watched::Is(object) => view.seen.is(object, by),
        Watched::Gone(object) => view.seen.gone(object, by),
    }
}
