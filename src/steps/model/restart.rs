//! A model server keeps the version that it has loaded: when other files take its place, its pod must be made anew.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::World;
use crate::cluster::{ObjectRef, Standing, claim_of};
use crate::doctor::Failure;
use crate::objects::{Gvk, meta};

/// How long pods may take to end.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Deletes the pods of the lab's Deployments that mount the model, and waits until they are gone; the Deployment makes
/// new ones. Returns how many there were.
pub(in crate::steps) async fn restart_pods(world: &World<'_>, model: &str) -> Result<u64, Failure> {
    if !matches!(world.provider.probe().await?, Standing::Runs { .. }) {
        return Ok(0);
    }
    let api = world.api().await?;
    let directory = world.provider.models_on_node().join(model).display().to_string();
    let mut pods = Vec::new();
    for file in world.lab.manifests.keys() {
        let object = world.object(file)?;
        if !mounts(&object, &directory, &claim_of(model)) {
            continue;
        }
        let selector = selector(&object);
        let found = api.list(&Gvk::new("", "v1", "Pod"), meta::namespace(&object), &selector).await?;
        for pod in found {
            let reference = ObjectRef::new("v1", "Pod", meta::namespace(&pod), meta::name(&pod));
            let uid = meta::uid(&pod).to_owned();
            let _ = api.delete(&reference, Some(&uid)).await?;
            pods.push((reference, uid));
        }
    }
    let started = Instant::now();
    for (reference, uid) in &pods {
        while api.get(reference).await?.is_some_and(|pod| meta::uid(&pod) == uid) && started.elapsed() < PATIENCE {
            world.progress.awaiting(format!("{} ends, to load the new model", reference.label()), None);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(pods.len() as u64)
}

/// Whether a manifest is a Deployment whose pods mount the directory, or the claim.
fn mounts(object: &Value, directory: &str, claim: &str) -> bool {
    let volumes = meta::list_at(object, &["spec", "template", "spec", "volumes"]);
    let has_it = |volume: &Value| {
        volume["hostPath"]["path"] == directory || volume["persistentVolumeClaim"]["claimName"] == claim
    };
    object["kind"] == "Deployment" && volumes.iter().any(has_it)
}

/// The Deployment's labels as a selector, `app=x,version=y`.
fn selector(object: &Value) -> String {
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, Source};

    #[test]
    fn the_deployment_that_mounts_a_model_is_found_by_its_volume() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let objects = lab.manifests.values().map(|manifest| manifest.object("/m").unwrap());
        let mounting: Vec<Value> = objects.filter(|object| mounts(object, "/m/resnet101", "model-resnet101")).collect();
        assert_eq!(mounting.len(), 1);
        assert_eq!(selector(&mounting[0]), "app=image-classifier,version=resnet101");
    }
}
