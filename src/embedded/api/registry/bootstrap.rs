//! What every cluster has from its first moment.

use serde_json::json;

use super::Registry;
use crate::embedded::api::status::Status;

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Registry {
    /// Makes the first namespaces and the `kubernetes` Service, those that are not there yet. `port` is where the API
    /// server listens.
    ///
    /// # Errors
    /// Whatever storage refuses.
    pub async fn bootstrap(&self, port: u16) -> Result<(), Status> {
        for name in NAMESPACES {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            tolerate_existing(self.create("namespaces", None, namespace).await)?;
        }
        // Asked for first: the address of the one that is there would be refused as taken before its name is.
        if self.get("services", Some("default"), "kubernetes").is_ok() {
            return Ok(());
        }
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP", "clusterIP": self.0.options.services.first().to_string(), "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        });
        tolerate_existing(self.create("services", Some("default"), service).await)
    }
}

fn tolerate_existing<T>(outcome: Result<T, Status>) -> Result<(), Status> {
    match outcome {
        Ok(_) => Ok(()),
        Err(status) if status.is_already_exists() => Ok(()),
        Err(status) => Err(status),
    }
}
