//! The cluster runs, answers, and is of the right version.

use serde_json::json;

use super::{Change, Probe, Seen, World};
use crate::cluster::{ObjectRef, Standing};
use crate::doctor::matrix::{Fit, Matrix};
use crate::doctor::{Failure, Reason};
use crate::lab::{ClusterSpec, StepSpec};
use crate::objects::meta;

pub(super) async fn probe(spec: &ClusterSpec, world: &World<'_>) -> Result<Probe, Failure> {
    let address = match world.provider.probe().await? {
        Standing::Runs { api } => api,
        Standing::Down(why) => {
            return Ok(Probe::Needed(
                Failure::new(Reason::ClusterNotRunning, "the cluster does not run").observed(why),
            ));
        }
    };
    let api = world.api().await?;
    let version = api.server_version().await?;
    if world.provider.is_the_labs() && version != spec.kubernetes {
        return Err(Failure::new(Reason::ClusterVersion, format!("the cluster runs Kubernetes {version}"))
            .observed(format!("the lab is written for {}", spec.kubernetes)));
    }
    if !world.provider.is_the_labs() && !world.provider.probe_mesh(&api).await?.missing.is_empty() {
        fits(&version, world)?;
    }
    let system = api.get(&ObjectRef::new("v1", "Namespace", None, "kube-system")).await?;
    let Some(system) = system else {
        return Err(Failure::new(Reason::ApiUnreachable, "the cluster has no namespace kube-system"));
    };
    let name = world.provider.name();
    let facts = json!({"version": version, "provider": name, "api": address, "cluster": meta::uid(&system)});
    Ok(Probe::Satisfied(Seen::new(format!("Kubernetes {version} ({name}) on {address}"), facts)))
}

/// Whether Istio can be installed there, by the version matrix; asked only where none is there that could be used as it is.
fn fits(version: &str, world: &World<'_>) -> Result<(), Failure> {
    let istio = world.lab.spec.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
        StepSpec::Mesh(spec) => Some(spec.istio.as_str()),
        _ => None,
    });
    let matrix = Matrix::embedded().map_err(|error| Failure::new(Reason::Internal, error.to_string()))?;
    let Some(istio) = istio else { return Ok(()) };
    let failure = |reason| {
        Err(Failure::new(reason, format!("the cluster runs Kubernetes {version}"))
            .observed(format!("Istio {istio} installs on Kubernetes {}", matrix.range(istio))))
    };
    match matrix.fit(version, istio) {
        Fit::TooOld => failure(Reason::KubernetesTooOld),
        Fit::TooNew => failure(Reason::KubernetesTooNew),
        Fit::Supported | Fit::Works | Fit::Unknown => Ok(()),
    }
}

pub(super) async fn apply(world: &World<'_>) -> Result<Change, Failure> {
    world.provider.start(&world.progress).await?;
    world.forget_api().await;
    Ok(Change::default())
}
