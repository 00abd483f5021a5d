//! The ConfigMap `istio-ca-root-cert`, which every namespace has and every injected pod mounts.

use serde_json::{Value, json};

use super::ISTIO_NAMESPACE;
use crate::embedded::api::{Registry, Status, WatchEvent};

const NAME: &str = "istio-ca-root-cert";
const SECRET: &str = "istio-ca-secret";

/// Gives every namespace the certificate, until the task is dropped.
pub(super) async fn publish(registry: Registry) {
    let mut namespaces = registry.watch("namespaces", None);
    let mut certificate = None;
    loop {
        let event = namespaces.next().await;
        let (WatchEvent::Added { object } | WatchEvent::Modified { object, .. }) = event else { continue };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if object["status"]["phase"] == "Terminating"
            || matches!(name, "kube-system" | "kube-public" | "kube-node-lease")
        {
            continue;
        }
        if certificate.is_none() {
            certificate = root(&registry).await;
        }
        let Some(pem) = &certificate else { continue };
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": name, "labels": {"istio.io/config": "true"}},
            "data": {"root-cert.pem": pem},
        });
        match registry.create("configmaps", Some(name), map).await {
            Ok(_) => {}
            Err(status) if status.is_already_exists() => {}
            Err(Status { message, .. }) => tracing::warn!("{NAME} in {name} could not be made: {message}"),
        }
    }
}

/// The mesh's root certificate: the one in its secret, or a new one that goes there.
async fn root(registry: &Registry) -> Option<String> {
    if let Ok(secret) = registry.get("secrets", Some(ISTIO_NAMESPACE), SECRET) {
        return decode(&secret["data"]["ca-cert.pem"]);
    }
    let made = rcgen::generate_simple_self_signed(vec!["cluster.local".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::warn!("no root certificate for the mesh: {error}");
            return None;
        }
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "istio.io/ca-root",
        "metadata": {"name": SECRET, "namespace": ISTIO_NAMESPACE},
        "stringData": {
            "ca-cert.pem": cert.pem(), "ca-key.pem": signing_key.serialize_pem(),
            "cert-chain.pem": "", "key.pem": "", "root-cert.pem": "",
        },
    });
    if let Err(status) = registry.create("secrets", Some(ISTIO_NAMESPACE), secret).await {
        tracing::warn!("the mesh's root certificate could not be kept: {}", status.message);
    }
    Some(cert.pem())
}

fn decode(value: &Value) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}
