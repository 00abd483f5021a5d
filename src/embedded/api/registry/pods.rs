//! What the admission plugins of a default cluster add to every pod, and its first status.

use serde_json::{Value, json};

use super::rules;
use crate::objects::{meta, quantity::Quantity};

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a pod stays on a node that is not ready or not reachable, in seconds.
const NODE_TOLERATION_SECONDS: i64 = 300;

/// Adds the service account with its token volume, the tolerations and the priority that every pod gets.
pub(super) fn admit(pod: &mut Value) {
    if !pod["spec"].is_object() {
        return;
    }
    let spec = &mut pod["spec"];
    let account = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
    spec["serviceAccountName"] = account.as_str().into();
    spec["serviceAccount"] = account.into();
    if spec["automountServiceAccountToken"] != false {
        mount_token(spec);
    }
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = meta::list_at(spec, &["tolerations"])
            .iter()
            .any(|known| known["key"] == key && (known["effect"].is_null() || known["effect"] == "NoExecute"));
        if !tolerated {
            push(
                spec,
                "tolerations",
                json!({
                    "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_TOLERATION_SECONDS,
                }),
            );
        }
    }
    if spec["priority"].is_null() {
        spec["priority"] = 0.into();
    }
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = "PreemptLowerPriority".into();
    }
}

fn push(parent: &mut Value, key: &str, item: Value) {
    match &mut parent[key] {
        Value::Array(list) => list.push(item),
        missing => *missing = json!([item]),
    }
}

fn mount_token(spec: &mut Value) {
    let volume = format!("kube-api-access-{}", rules::random_suffix());
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let own = meta::list_at(container, &["volumeMounts"]).iter().any(|mount| mount["mountPath"] == TOKEN_PATH);
            if !own && container.is_object() {
                push(container, "volumeMounts", json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
                mounted = true;
            }
        }
    }
    if mounted {
        push(
            spec,
            "volumes",
            json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                ]}},
            ]}}),
        );
    }
}

/// The status of a pod that nobody has looked at yet.
pub(super) fn prepare_creation(pod: &mut Value) {
    let class = quality_of_service(pod);
    pod["status"] = json!({"phase": "Pending", "qosClass": class});
}

/// The class by which a node under pressure would choose its victims, from requests and limits.
fn quality_of_service(pod: &Value) -> &'static str {
    let amount = |container: &Value, kind: &str, resource: &str| -> Option<Quantity> {
        let value = &container["resources"][kind][resource];
        let text = value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string))?;
        text.parse().ok().filter(|amount: &Quantity| amount.milli_value() != 0)
    };
    let mut any = false;
    let mut guaranteed = true;
    for list in ["containers", "initContainers"] {
        for container in meta::list_at(pod, &["spec", list]) {
            for resource in ["cpu", "memory"] {
                let limit = amount(container, "limits", resource);
                let request = amount(container, "requests", resource);
                any |= limit.is_some() || request.is_some();
                guaranteed &= match (&limit, &request) {
                    (Some(limit), Some(request)) => limit.milli_value() == request.milli_value(),
                    (Some(_), None) => true,
                    (None, _) => false,
                };
            }
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
