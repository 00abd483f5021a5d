//! Revisions of a Deployment: which ReplicaSet stands for which template, and how `rollout history` finds them.

use serde_json::{Map, Value, json};

use crate::embedded::controllers::names;

/// The label that tells the pods of one template from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// The annotation with the number of a revision.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The wanted number of pods at the time a ReplicaSet was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The wanted number and the surge at that time.
pub(super) const CEILING: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that its ReplicaSets do not inherit.
const NOT_INHERITED: [&str; 5] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED, CEILING];

/// Whether a ReplicaSet makes pods of this template.
pub(super) fn has_template(set: &Value, template: &Value) -> bool {
    without_hash(&set["spec"]["template"]) == without_hash(template)
}

/// The revision of a ReplicaSet or Deployment; 0 when it has none.
pub(super) fn revision(object: &Value) -> u64 {
    object["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A ReplicaSet for the template that the Deployment has now.
pub(super) fn new_replica_set(deployment: &Value, size: u64, collisions: u64) -> Value {
    let template = &deployment["spec"]["template"];
    let hash = names::template_hash(template, collisions);
    let mut template = template.clone();
    set_entry(&mut template["metadata"]["labels"], HASH_LABEL, &hash);
    let mut selector = deployment["spec"]["selector"].clone();
    set_entry(&mut selector["matchLabels"], HASH_LABEL, &hash);
    let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
    let mut spec = Map::new();
    spec.insert("replicas".into(), json!(size));
    if let Some(seconds) = deployment["spec"].get("minReadySeconds") {
        spec.insert("minReadySeconds".into(), seconds.clone());
    }
    spec.insert("selector".into(), selector);
    spec.insert("template".into(), template.clone());
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{name}-{hash}"),
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {},
            "ownerReferences": [super::super::ownership::controller_reference("apps/v1", "Deployment", deployment)],
        },
        "spec": spec,
    })
}

/// Makes the annotations of the current ReplicaSet right: inherited ones, sizes, and the revision, which moves to the
/// newest number when an older template comes back. Says whether anything changed.
#[must_use]
pub(super) fn annotate_current(set: &mut Value, deployment: &Value, highest_old: u64, ceiling: u64) -> bool {
    let before = set["metadata"]["annotations"].clone();
    for (name, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !NOT_INHERITED.contains(&name.as_str()) {
            set_entry(&mut set["metadata"]["annotations"], name, value.as_str().unwrap_or_default());
        }
    }
    let own = revision(set);
    if own <= highest_old {
        let annotations = &mut set["metadata"]["annotations"];
        if own > 0 {
            let history = match annotations[REVISION_HISTORY].as_str() {
                Some(earlier) if !earlier.is_empty() => format!("{earlier},{own}"),
                _ => own.to_string(),
            };
            set_entry(annotations, REVISION_HISTORY, &history);
        }
        set_entry(annotations, REVISION, &(highest_old + 1).to_string());
    }
    annotate_size(set, deployment, ceiling);
    set["metadata"]["annotations"] != before
}

/// Notes for which wanted number a ReplicaSet was sized.
pub(super) fn annotate_size(set: &mut Value, deployment: &Value, ceiling: u64) {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    set_entry(&mut set["metadata"]["annotations"], DESIRED, &wanted.to_string());
    set_entry(&mut set["metadata"]["annotations"], CEILING, &ceiling.to_string());
}

/// Sets a text in a map of texts, making the map if it is missing.
pub(super) fn set_entry(map: &mut Value, name: &str, value: &str) {
    if !map.is_object() {
        *map = json!({});
    }
    map[name] = json!(value);
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove(HASH_LABEL);
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(image: &str) -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "1",
                "annotations": {"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}}},
        })
    }

    #[test]
    fn a_replica_set_carries_its_hash_in_name_labels_and_selector() {
        let deployment = deployment("a");
        let set = new_replica_set(&deployment, 2, 0);
        let hash = set["metadata"]["labels"][HASH_LABEL].as_str().unwrap();
        assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
        assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "web", HASH_LABEL: hash}));
        assert_eq!(set["spec"]["template"]["metadata"]["labels"][HASH_LABEL], hash);
        assert!(has_template(&set, &deployment["spec"]["template"]));
        assert!(!has_template(&set, &self::deployment("b")["spec"]["template"]));
        assert_ne!(new_replica_set(&deployment, 2, 1)["metadata"]["name"], set["metadata"]["name"]);
    }

    #[test]
    fn a_template_that_comes_back_gets_the_newest_revision() {
        let deployment = deployment("a");
        let mut set = new_replica_set(&deployment, 2, 0);
        assert!(annotate_current(&mut set, &deployment, 0, 3));
        assert!(!annotate_current(&mut set, &deployment, 0, 3));
        assert_eq!(set["metadata"]["annotations"], json!({"team": "a", REVISION: "1", DESIRED: "2", CEILING: "3"}));
        assert!(annotate_current(&mut set, &deployment, 3, 3));
        assert_eq!(revision(&set), 4);
        assert_eq!(set["metadata"]["annotations"][REVISION_HISTORY], "1");
    }
}
