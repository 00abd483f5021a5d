//! Claims: each PersistentVolumeClaim gets a volume of its own, a directory of the cluster, as minikube's default storage
//! class does it, and loses it when the claim goes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::embedded::api::{DeleteOptions, Registry, Status};
use crate::objects::meta;

/// The storage class that volumes say they are of; a claim that names another waits for somebody else.
const CLASS: &str = "standard";

/// Runs for as long as the daemon does; volumes lie below `directory`.
pub(super) async fn run(registry: Registry, directory: PathBuf) {
    let mut claims = registry.watch("persistentvolumeclaims", None);
    loop {
        if let Err(status) = provide(&registry, &directory).await {
            tracing::debug!("claims: {}", status.message);
            // Somebody else wrote the claim at the same time; its event comes next.
        }
        claims.next().await;
    }
}

async fn provide(registry: &Registry, directory: &Path) -> Result<(), Status> {
    let (claims, _) = registry.list("persistentvolumeclaims", None)?;
    for claim in claims.iter().filter(|claim| waits(claim)) {
        let volume = volume_of(claim, directory);
        let path = directory.join(meta::uid(claim));
        if let Err(error) = std::fs::create_dir_all(&path) {
            let text = format!("cannot make {}: {error}", path.display());
            registry.event(claim, "Warning", "ProvisioningFailed", &text, "canary-lab").await;
            continue;
        }
        let name = meta::name(&volume).to_owned();
        if registry.get("persistentvolumes", None, &name).is_err() {
            registry.create("persistentvolumes", None, volume.clone()).await?;
        }
        let bound = registry.modify("persistentvolumes", None, &name, |stored| {
            stored["status"] = json!({"phase": "Bound"});
        });
        bound.await?;
        let bound = registry.modify("persistentvolumeclaims", meta::namespace(claim), meta::name(claim), |stored| {
            stored["spec"]["volumeName"] = json!(name);
            stored["status"] = json!({"phase": "Bound", "accessModes": volume["spec"]["accessModes"],
                "capacity": volume["spec"]["capacity"]});
        });
        bound.await?;
    }
    let (volumes, _) = registry.list("persistentvolumes", None)?;
    for volume in volumes.iter().filter(|volume| meta::name(volume).starts_with("pvc-")) {
        let Some(uid) = volume["spec"]["claimRef"]["uid"].as_str() else { continue };
        if claims.iter().any(|claim| meta::uid(claim) == uid) {
            continue;
        }
        match std::fs::remove_dir_all(directory.join(uid)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("the volume of claim {uid} cannot be removed: {error}");
            }
            _ => {}
        }
        let _ = registry.delete("persistentvolumes", None, meta::name(volume), DeleteOptions::default()).await?;
    }
    Ok(())
}

fn waits(claim: &Value) -> bool {
    let class = claim["spec"]["storageClassName"].as_str();
    class.is_none_or(|class| class == CLASS)
        && claim["status"]["phase"] != "Bound"
        && claim["spec"]["volumeName"].as_str().is_none_or(|name| name.starts_with("pvc-"))
        && !meta::is_terminating(claim)
}

fn volume_of(claim: &Value, directory: &Path) -> Value {
    let uid = meta::uid(claim);
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("pvc-{uid}")},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"], "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": CLASS, "volumeMode": "Filesystem",
            "hostPath": {"path": directory.join(uid)},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": uid,
                "namespace": meta::namespace(claim), "name": meta::name(claim)},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_the_default_class_gets_a_directory_by_its_uid() {
        let claim = |spec: Value, phase: &str| json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": spec, "status": {"phase": phase}});
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let waiting = claim(spec, "Pending");
        assert!(waits(&waiting) && !waits(&claim(json!({}), "Bound")));
        assert!(!waits(&claim(json!({"storageClassName": "fast"}), "Pending")));
        assert!(!waits(&claim(json!({"volumeName": "mine"}), "Pending")));
        let volume = volume_of(&waiting, Path::new("/v"));
        assert_eq!(volume["metadata"]["name"], "pvc-u");
        assert_eq!(volume["spec"]["hostPath"]["path"], "/v/u");
        assert_eq!(volume["spec"]["capacity"]["storage"], "1Gi");
    }
}
