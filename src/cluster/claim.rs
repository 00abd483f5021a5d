//! Models in PersistentVolumeClaims, where no disk of a node can be reached: a claim a model, filled and compared through
//! the API, by `tar` and `sha256sum` of the model server's own image.
//!
//! What looks into a claim is a pod that mounts it already, such as the model server itself, because many volumes can be
//! mounted on one node only. Where there is none, a loader pod is made, and taken away as soon as the files were compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use super::api::{Api, ObjectRef, Watched};
use super::exec::Place;
use super::provider::ClusterError;
use super::real::{differences, hashes};
use crate::objects::{Gvk, meta};
use crate::ui::Progress;

/// Where the loader mounts the claim.
const MOUNT: &str = "/model";
/// The loader's container.
const CONTAINER: &str = "loader";
/// A loader that was forgotten ends by itself.
const LOADER_LIFE: &str = "3600";
/// How long a loader may take to run: a volume may have to be made, and an image pulled.
const RUNS_WITHIN: Duration = Duration::from_mins(5);
/// How long a listing of hashes may take.
const LIST_WITHIN: Duration = Duration::from_mins(2);
/// How long `tar` may take to write the last of what it was given.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a loader may take to go.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// What a lab's pods are made of, for the loader to be made of it too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServingImage {
    /// The image.
    pub image: String,
    /// The Secret that it is pulled with.
    pub pull_secret: Option<String>,
}

/// The name of a model's PersistentVolumeClaim.
pub fn claim_of(model: &str) -> String {
    format!("model-{model}")
}

/// The claim of one model.
pub(super) struct Claim<'a> {
    pub(super) api: &'a Api,
    pub(super) namespace: &'a str,
    pub(super) model: &'a str,
    pub(super) serving: &'a ServingImage,
}

/// A container that mounts the claim, and where.
struct Mounted {
    place: Place,
    path: String,
}

impl Claim<'_> {
    /// The claim of a model in this namespace.
    pub(super) fn reference_in(namespace: &str, model: &str) -> ObjectRef {
        ObjectRef::new("v1", "PersistentVolumeClaim", Some(namespace), &claim_of(model))
    }

    fn reference(&self) -> ObjectRef {
        Self::reference_in(self.namespace, self.model)
    }

    fn loader(&self) -> ObjectRef {
        ObjectRef::new("v1", "Pod", Some(self.namespace), &format!("{}-loader", claim_of(self.model)))
    }

    /// What differs between the folder and the claim.
    pub(super) async fn differences(&self, folder: &Path) -> Result<Vec<String>, ClusterError> {
        let reference = self.reference();
        match self.api.get(&reference).await? {
            None => return Ok(vec![format!("{} does not exist", reference.label())]),
            Some(claim) if meta::is_terminating(&claim) => {
                return Ok(vec![format!("{} is being deleted", reference.label())]);
            }
            Some(_) => {}
        }
        let wanted = hashes_of(folder).await?;
        let mounted = self.mounted(&Progress::silent()).await?;
        let different = self.compared(&mounted, &wanted).await?;
        self.remove_loader().await?;
        Ok(different)
    }

    /// Puts the folder's files into the claim, which is made where it is missing; returns it if it was.
    pub(super) async fn fill(&self, folder: &Path, progress: &Progress) -> Result<Vec<Value>, ClusterError> {
        let wanted = hashes_of(folder).await?;
        let mut created = Vec::new();
        if self.api.get(&self.reference()).await?.is_none() {
            created.push(self.api.create(&self.manifest(folder)?, "canary-lab").await?);
        }
        let mounted = self.mounted(progress).await?;
        if self.compared(&mounted, &wanted).await?.is_empty() {
            return Ok(created);
        }
        let files: Vec<String> = wanted.keys().cloned().collect();
        let awaited = format!("copying model {} into {}", self.model, self.reference().label());
        let tell = |sent: u64| progress.awaiting(awaited.clone(), Some(format!("{:.1} MB", sent as f64 / 1e6)));
        let mut unpacking = self.api.unpack_in(&mounted.place, &mounted.path, folder, &files, tell).await?;
        progress.awaiting(format!("comparing model {} in {}", self.model, self.reference().label()), None);
        let started = Instant::now();
        loop {
            let different = self.compared(&mounted, &wanted).await?;
            if different.is_empty() {
                return Ok(created);
            }
            let complaint = unpacking.complaint().await;
            if complaint.is_some() || started.elapsed() > WRITTEN_WITHIN {
                return Err(self.not_placed(complaint.into_iter().chain(different).collect()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes the loader away; true when there was one.
    pub(super) async fn remove_loader(&self) -> Result<bool, ClusterError> {
        let loader = self.loader();
        if self.api.get(&loader).await?.is_none() {
            return Ok(false);
        }
        let _ = self.api.remove(&loader, None, GONE_WITHIN).await?;
        Ok(true)
    }

    async fn compared(
        &self,
        mounted: &Mounted,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, ClusterError> {
        let files: Vec<String> = wanted.keys().map(|file| format!("{}/{file}", mounted.path)).collect();
        let command: Vec<&str> = std::iter::once("sha256sum").chain(files.iter().map(String::as_str)).collect();
        let listing = self.api.run_in(&mounted.place, &command, LIST_WITHIN).await?;
        let missing_file = |line: &&str| line.starts_with("sha256sum:");
        if listing.out.is_empty() && !listing.err.lines().any(|line| missing_file(&line)) {
            let said = if listing.err.trim().is_empty() { "it printed nothing" } else { listing.err.trim() };
            return Err(self.not_placed(vec![format!("sha256sum in pod {}: {said}", mounted.place.pod)]));
        }
        // The claim is what a person knows; where a pod mounts it is the pod's own matter.
        let listing = listing.out.replace(&format!("{}/", mounted.path), &format!("{}/", claim_of(self.model)));
        Ok(differences(wanted, &listing, &claim_of(self.model)))
    }

    fn not_placed(&self, said: Vec<String>) -> ClusterError {
        ClusterError::NotPlaced { model: self.model.to_owned(), said }
    }

    /// A running container that mounts the claim; a loader's, if no other does.
    async fn mounted(&self, progress: &Progress) -> Result<Mounted, ClusterError> {
        let pods = self.api.list(&Gvk::new("", "v1", "Pod"), Some(self.namespace), "").await?;
        if let Some(mounted) = pods.iter().find_map(|pod| self.mount_in(pod)) {
            return Ok(mounted);
        }
        let loader = self.loader();
        // One that ended, or is ending, mounts nothing any more.
        if pods.iter().any(|pod| meta::name(pod) == loader.name) {
            let _ = self.api.remove(&loader, None, GONE_WITHIN).await?;
        }
        self.api.create(&self.loader_manifest(), "canary-lab").await?;
        let waited = tokio::time::timeout(RUNS_WITHIN, self.loader_runs(&loader, progress)).await;
        if let Ok(mounted) = waited {
            return mounted;
        }
        let pod = self.api.get(&loader).await?.unwrap_or_default();
        let late = format!("{} does not run after {} s", loader.label(), RUNS_WITHIN.as_secs());
        Err(self.not_placed(vec![late, standing_of(&pod)]))
    }

    async fn loader_runs(&self, loader: &ObjectRef, progress: &Progress) -> Result<Mounted, ClusterError> {
        let selector = format!("metadata.name={}", loader.name);
        loop {
            let pods = Gvk::new("", "v1", "Pod");
            let events = self.api.watch(&pods, Some(self.namespace), ("fieldSelector", &selector)).await?;
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let Watched::Is(pod) = event? else {
                    return Err(self.not_placed(vec![format!("{} was deleted", loader.label())]));
                };
                if let Some(mounted) = self.mount_in(&pod) {
                    return Ok(mounted);
                }
                let standing = standing_of(&pod);
                if ["ImagePullBackOff", "InvalidImageName", "CreateContainer", "RunContainerError", "Failed"]
                    .iter()
                    .any(|end| standing.contains(end))
                {
                    return Err(self.not_placed(vec![format!("{}: {standing}", loader.label())]));
                }
                progress.awaiting(format!("waiting for {}", loader.label()), Some(standing));
            }
        }
    }

    /// The container of a running pod that mounts the claim.
    fn mount_in(&self, pod: &Value) -> Option<Mounted> {
        if meta::is_terminating(pod) {
            return None;
        }
        let claim = claim_of(self.model);
        let volume = meta::list_at(pod, &["spec", "volumes"])
            .iter()
            .find(|volume| volume["persistentVolumeClaim"]["claimName"] == claim.as_str())?;
        let statuses = meta::list_at(pod, &["status", "containerStatuses"]);
        meta::list_at(pod, &["spec", "containers"]).iter().find_map(|container| {
            let mounts = container["volumeMounts"].as_array()?;
            let mount = mounts.iter().find(|mount| mount["name"] == volume["name"])?;
            let status = statuses.iter().find(|status| status["name"] == container["name"])?;
            status["state"]["running"].is_object().then_some(())?;
            Some(Mounted {
                place: Place {
                    namespace: self.namespace.to_owned(),
                    pod: meta::name(pod).to_owned(),
                    container: container["name"].as_str()?.to_owned(),
                },
                path: mount["mountPath"].as_str()?.trim_end_matches('/').to_owned(),
            })
        })
    }

    fn manifest(&self, folder: &Path) -> Result<Value, ClusterError> {
        let bytes = size_of(folder).map_err(|error| ClusterError::NotKept(error.to_string()))?;
        // Room for the model twice, so that another one of its size can take its place.
        let gibibytes = (bytes * 2).div_ceil(1 << 30).max(1);
        Ok(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim_of(self.model), "namespace": self.namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": format!("{gibibytes}Gi")}}},
        }))
    }

    fn loader_manifest(&self) -> Value {
        let pull: Vec<Value> = self.serving.pull_secret.iter().map(|name| json!({"name": name})).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": self.loader().name, "namespace": self.namespace,
                "labels": {"sidecar.istio.io/inject": "false"}, "annotations": {"sidecar.istio.io/inject": "false"},
            },
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "imagePullSecrets": pull,
                "containers": [{
                    "name": CONTAINER, "image": self.serving.image, "command": ["sleep", LOADER_LIFE],
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                    "volumeMounts": [{"name": "model", "mountPath": MOUNT}],
                }],
                "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim_of(self.model)}}],
            },
        })
    }
}

/// Why a pod does not run, in the cluster's words.
fn standing_of(pod: &Value) -> String {
    let waiting =
        &meta::list_at(pod, &["status", "containerStatuses"]).first().cloned().unwrap_or_default()["state"]["waiting"];
    if let Some(reason) = waiting["reason"].as_str() {
        return format!("{reason} {}", waiting["message"].as_str().unwrap_or_default()).trim().to_owned();
    }
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let unscheduled = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
    match unscheduled.and_then(|one| one["message"].as_str()) {
        Some(message) => format!("not scheduled: {message}"),
        None => pod["status"]["phase"].as_str().unwrap_or("Pending").to_owned(),
    }
}

async fn hashes_of(folder: &Path) -> Result<BTreeMap<String, String>, ClusterError> {
    let folder = folder.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hashes(&folder)).await;
    let hashed = hashed.map_err(|error| ClusterError::NotKept(error.to_string()))?;
    hashed.map_err(|error| ClusterError::NotKept(error.to_string()))
}

fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.path().is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_loader_waits_is_said_in_the_clusters_words() {
        let pull = json!({"status": {"phase": "Pending", "containerStatuses": [
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}});
        assert_eq!(standing_of(&pull), "ImagePullBackOff Back-off pulling image");
        let unbound = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}]}});
        assert_eq!(standing_of(&unbound), "not scheduled: pod has unbound immediate PersistentVolumeClaims");
        assert_eq!(standing_of(&json!({})), "Pending");
    }
}
