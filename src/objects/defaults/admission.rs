use serde_json::{Map, Value, json};

use super::fill::{each, fill, fill_text, object, text};

/// What the admission plug-ins of a stock API server add to a pod at its creation: the service account with its token
/// volume (named with `suffix`, five random characters), tolerations, priority, and the quality of service in the status.
pub fn admit_pod(pod: &mut Value, suffix: &str) {
    let Value::Object(pod) = pod else { return };
    let class = quality_of_service(pod);
    if let Some(spec) = object(pod, "spec") {
        service_account(spec, suffix);
        tolerations(spec);
        fill(spec, "priority", 0);
        fill_text(spec, "preemptionPolicy", "PreemptLowerPriority");
    }
    if let Some(status) = object(pod, "status") {
        fill_text(status, "qosClass", class);
    }
}

const TOKEN_VOLUME: &str = "kube-api-access-";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn service_account(spec: &mut Map<String, Value>, suffix: &str) {
    fill_text(spec, "serviceAccountName", "default");
    let name = text(spec, "serviceAccountName").to_owned();
    spec.insert("serviceAccount".to_owned(), name.into());
    if spec.get("automountServiceAccountToken").and_then(Value::as_bool) == Some(false) {
        return;
    }
    // A pod that is admitted again, because a webhook added containers, has its volume already.
    let present = spec.get("volumes").and_then(Value::as_array).into_iter().flatten().find_map(|volume| {
        volume.get("name").and_then(Value::as_str).filter(|name| name.starts_with(TOKEN_VOLUME)).map(str::to_owned)
    });
    let is_present = present.is_some();
    let volume = present.unwrap_or_else(|| format!("{TOKEN_VOLUME}{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            fill(container, "volumeMounts", Value::Array(Vec::new()));
            let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") else { continue };
            if mounts.iter().all(|mount| mount.get("mountPath").and_then(Value::as_str) != Some(TOKEN_PATH)) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
                mounted = true;
            }
        }
    }
    if !mounted || is_present {
        return;
    }
    fill(spec, "volumes", Value::Array(Vec::new()));
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes")
        && volumes.iter().all(|known| known.get("name").and_then(Value::as_str) != Some(volume.as_str()))
    {
        // A second look at a pod finds the volume that the first one made.
        volumes.push(json!({
            "name": volume,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                    ]}},
                ],
                "defaultMode": 0o644,
            },
        }));
    }
}

/// Five minutes on a node that is not ready or not reachable.
fn tolerations(spec: &mut Map<String, Value>) {
    fill(spec, "tolerations", Value::Array(Vec::new()));
    let Some(Value::Array(list)) = spec.get_mut("tolerations") else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = list.iter().any(|toleration| {
            let key_fits =
                matches!(toleration.get("key").and_then(Value::as_str), None | Some("")) || toleration["key"] == key;
            let effect = toleration.get("effect").and_then(Value::as_str).unwrap_or_default();
            key_fits && matches!(effect, "" | "NoExecute")
        });
        if !tolerated {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// `Guaranteed` when every container's processor and memory are limited and requested alike, `BestEffort` when none says
/// anything, else `Burstable`.
fn quality_of_service(pod: &Map<String, Value>) -> &'static str {
    let spec = pod.get("spec");
    let lists = ["initContainers", "containers"].into_iter();
    let containers: Vec<&Value> = lists
        .filter_map(|list| spec?.get(list)?.as_array())
        .flatten()
        .map(|container| container.get("resources").unwrap_or(&Value::Null))
        .collect();
    let amount = |resources: &Value, list: &str, name: &str| {
        let amount = resources.get(list).and_then(|list| list.get(name));
        amount.filter(|amount| amount.as_str() != Some("0")).cloned()
    };
    let says = |resources: &&Value| {
        ["limits", "requests"]
            .iter()
            .any(|list| ["cpu", "memory"].iter().any(|name| amount(resources, list, name).is_some()))
    };
    let guaranteed = |resources: &&Value| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(resources, "limits", name);
            limit.is_some() && amount(resources, "requests", name) == limit
        })
    };
    if !containers.iter().any(says) {
        "BestEffort"
    } else if containers.iter().all(guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
