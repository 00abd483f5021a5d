//! Exactly what a manifest says: what `kubectl apply` leaves alone (fields that somebody added) is seen and taken back.
//!
//! What an object would be if only its manifest had shaped it is not guessed: the API server tells, by a replacement
//! that is carried out in a dry run, with its own defaults, webhooks and allocations.

use serde_json::{Map, Value};

use super::api::{Api, ApiError, ObjectRef};
use super::apply::{Applied, MANAGER};
use crate::objects::apply::{LAST_APPLIED, annotated};
use crate::objects::meta;

/// How often a replacement is tried again that lost against another writer.
const ATTEMPTS: usize = 5;
/// Annotations that controllers keep on objects of ours.
const OF_CONTROLLERS: [&str; 2] = ["deployment.kubernetes.io/", "control-plane.alpha.kubernetes.io/"];
/// What `kubectl rollout restart` leaves on a pod template: a restart is no other shape.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Metadata that counts, dates or names a particular object.
const OF_THE_SERVER: [&str; 7] =
    ["resourceVersion", "generation", "managedFields", "uid", "creationTimestamp", "selfLink", "generateName"];

impl Api {
    /// The fields in which the live object differs from what its manifest alone makes of it. The record of what was
    /// applied does not count, nor what controllers keep there. Where a dry run is refused, nothing is known of any.
    pub async fn deviations(&self, manifest: &Value, live: &Value) -> Result<Vec<String>, ApiError> {
        let Some(reference) = ObjectRef::of(manifest) else { return Ok(Vec::new()) };
        let mut live = live.clone();
        for _ in 0..ATTEMPTS {
            match self.replace(&reference, &wanted(manifest, &live), MANAGER, true).await {
                Ok(pure) => {
                    let mut fields = Vec::new();
                    differing(&comparable(&live), &comparable(&pure), String::new(), &mut fields);
                    return Ok(fields);
                }
                Err(ApiError::Refused { code: 409, .. }) => match self.get(&reference).await? {
                    Some(now) => live = now,
                    None => return Ok(Vec::new()),
                },
                Err(ApiError::Refused { .. }) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    /// Makes the object exactly what the manifest says: applied as `kubectl apply` does, then freed of what others have
    /// added. An object that is so already is not written.
    pub async fn restore(&self, manifest: &Value) -> Result<Applied, ApiError> {
        let applied = self.apply(manifest).await?;
        self.reduce(&annotated(manifest), applied, MANAGER).await
    }

    /// Replaces an object that is there by exactly this, in the name of `manager`.
    pub async fn mend(&self, object: &Value, live: Value, manager: &str) -> Result<Applied, ApiError> {
        self.reduce(object, Applied::Unchanged(live), manager).await
    }

    /// Takes away from an object what `manifest` does not have.
    async fn reduce(&self, manifest: &Value, mut applied: Applied, manager: &str) -> Result<Applied, ApiError> {
        let Some(reference) = ObjectRef::of(manifest) else { return Ok(applied) };
        for _ in 0..ATTEMPTS {
            let (Applied::Created(live) | Applied::Configured(live) | Applied::Unchanged(live)) = &applied;
            match self.replace(&reference, &wanted(manifest, live), manager, false).await {
                Ok(object) if meta::resource_version(&object) == meta::resource_version(live) => return Ok(applied),
                Ok(object) => {
                    let created = matches!(applied, Applied::Created(_));
                    return Ok(if created { Applied::Created(object) } else { Applied::Configured(object) });
                }
                Err(ApiError::Refused { code: 409, .. }) => {
                    let Some(now) = self.get(&reference).await? else { return Ok(applied) };
                    let (Applied::Created(live) | Applied::Configured(live) | Applied::Unchanged(live)) = &mut applied;
                    *live = now;
                }
                // Who may patch but not replace gets what `kubectl apply` makes of it.
                Err(ApiError::Refused { code: 403 | 405, .. }) => return Ok(applied),
                Err(error) => return Err(error),
            }
        }
        Ok(applied)
    }

    /// Puts the object in the place of the one that is there; `dry_run` only tells what would come of it.
    pub async fn replace(
        &self,
        object: &ObjectRef,
        body: &Value,
        manager: &str,
        dry_run: bool,
    ) -> Result<Value, ApiError> {
        let path = self.path(object).await?;
        let dry = if dry_run { "&dryRun=All" } else { "" };
        self.send("PUT", &format!("{path}?fieldManager={manager}{dry}"), Some("application/json"), Some(body)).await
    }
}

/// The manifest as a replacement of the live object: with its revision, and with what controllers put there.
fn wanted(manifest: &Value, live: &Value) -> Value {
    let mut body = manifest.clone();
    if let Some(version) = meta::resource_version(live) {
        meta::set_at(&mut body, &["metadata", "resourceVersion"], version.into());
    }
    for field in ["finalizers", "ownerReferences"] {
        if let (Some(kept), None) = (live["metadata"].get(field), body["metadata"].get(field)) {
            let kept = kept.clone();
            meta::set_at(&mut body, &["metadata", field], kept);
        }
    }
    for (key, value) in annotations(&live["metadata"]) {
        if OF_CONTROLLERS.iter().any(|prefix| key.starts_with(prefix)) {
            add_annotation(&mut body["metadata"], key, value);
        }
    }
    if let Some(restarted) = live.pointer("/spec/template/metadata/annotations").and_then(|all| all.get(RESTARTED))
        && body.pointer("/spec/template/metadata").is_some()
    {
        add_annotation(&mut body["spec"]["template"]["metadata"], RESTARTED, restarted);
    }
    // An autoscaler's matter when the manifest does not say.
    if let (Some(kept), None) = (live.pointer("/spec/replicas"), body.pointer("/spec/replicas"))
        && body.pointer("/spec/template").is_some()
    {
        body["spec"]["replicas"] = kept.clone();
    }
    // A Service's address is given out once. Servers up to 1.20 refuse a replacement that does not repeat it.
    if body["kind"] == "Service" && live["spec"]["clusterIP"] != "None" {
        for field in ["clusterIP", "clusterIPs"] {
            if let (Some(kept), None) = (live["spec"].get(field), body["spec"].get(field)) {
                body["spec"][field] = kept.clone();
            }
        }
    }
    if let Some(status) = live.get("status") {
        body["status"] = status.clone();
    }
    keep_certificates(&mut body, live);
    body
}

/// Webhooks get their certificate from whoever answers them.
fn keep_certificates(body: &mut Value, live: &Value) {
    let Some(webhooks) = body.get_mut("webhooks").and_then(Value::as_array_mut) else { return };
    for webhook in webhooks {
        let known = meta::list_at(live, &["webhooks"]).iter().find(|known| known["name"] == webhook["name"]);
        if let Some(bundle) = known.and_then(|known| known.pointer("/clientConfig/caBundle"))
            && webhook.pointer("/clientConfig/caBundle").is_none()
        {
            webhook["clientConfig"]["caBundle"] = bundle.clone();
        }
    }
}

fn annotations(metadata: &Value) -> impl Iterator<Item = (&String, &Value)> {
    metadata.get("annotations").and_then(Value::as_object).into_iter().flatten()
}

fn add_annotation(metadata: &mut Value, key: &str, value: &Value) {
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = Value::Object(Map::new());
    }
    metadata["annotations"][key] = value.clone();
}

/// The object without what counts or dates it, its status, and the record of what was applied.
fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.shift_remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in OF_THE_SERVER {
            metadata.shift_remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    object
}

/// The paths at which two values differ, down to where one of them is not a mapping.
fn differing(one: &Value, other: &Value, path: String, fields: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                match other.get(key) {
                    Some(wanted) => differing(value, wanted, below(key), fields),
                    None => fields.push(below(key)),
                }
            }
            fields.extend(other.keys().filter(|key| !one.contains_key(*key)).map(|key| below(key)));
        }
        _ if one != other => fields.push(path),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_controllers_keep_is_kept_and_what_people_add_is_not() {
        let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
            "spec": {"template": {"metadata": {"labels": {"app": "a"}}}}});
        let live = json!({"metadata": {"name": "x", "resourceVersion": "7", "labels": {"mine": "yes"},
                "annotations": {"deployment.kubernetes.io/revision": "1", "note": "mine", LAST_APPLIED: "{}"}},
            "spec": {"replicas": 3, "template": {"metadata": {"annotations": {RESTARTED: "now", "other": "x"}}}},
            "status": {"replicas": 3}});
        let wanted = wanted(&annotated(&manifest), &live);
        assert_eq!(wanted["metadata"]["resourceVersion"], "7");
        let kept: Vec<&String> = annotations(&wanted["metadata"]).map(|(key, _)| key).collect();
        assert_eq!(kept, [LAST_APPLIED, "deployment.kubernetes.io/revision"]);
        assert_eq!(wanted["spec"]["template"]["metadata"]["annotations"], json!({RESTARTED: "now"}));
        assert_eq!((&wanted["spec"]["replicas"], wanted["metadata"].get("labels")), (&json!(3), None));
    }

    #[test]
    fn differences_are_named_by_path() {
        let one = json!({"spec": {"selector": {"app": "a", "mine": "b"}, "ports": [1]}, "metadata": {"generation": 3}});
        let other = json!({"spec": {"selector": {"app": "a"}, "ports": [1], "type": "ClusterIP"}, "metadata": {}});
        let mut fields = Vec::new();
        differing(&comparable(&one), &comparable(&other), String::new(), &mut fields);
        assert_eq!(fields, ["spec.selector.mine", "spec.type"]);
    }

    #[test]
    fn a_service_keeps_its_address_unless_somebody_made_it_headless() {
        let manifest = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        let live = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "ports": [{"port": 80}], "sessionAffinity": "ClientIP"}});
        let expected = json!({"ports": [{"port": 80}], "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]});
        assert_eq!(wanted(&manifest, &live)["spec"], expected);
        let headless = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
        assert_eq!(wanted(&manifest, &headless)["spec"], manifest["spec"]);
    }

    #[test]
    fn a_webhook_keeps_its_certificate() {
        let manifest = json!({"metadata": {"name": "w"}, "webhooks": [{"name": "a", "clientConfig": {"url": "u"}}]});
        let live = json!({"metadata": {"name": "w"}, "webhooks": [{"name": "a", "clientConfig": {"caBundle": "c"}}]});
        assert_eq!(wanted(&manifest, &live)["webhooks"][0]["clientConfig"], json!({"url": "u", "caBundle": "c"}));
    }
}
