//! The cluster runs, answers, and is of the right version.

use serde_json::json;

use super::{Change, Probe, Seen, World};
use crate::cluster::{ObjectRef, Standing};
use crate::doctor::{Failure, Reason};
use crate::lab::ClusterSpec;
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
    if version != spec.kubernetes {
        return Err(Failure::new(Reason::ClusterVersion, format!("the cluster runs Kubernetes {version}"))
            .observed(format!("the lab is written for {}", spec.kubernetes)));
    }
    let system = api.get(&ObjectRef::new("v1", "Namespace", None, "kube-system")).await?;
    let Some(system) = system else {
        return Err(Failure::new(Reason::ApiUnreachable, "the cluster has no namespace kube-system"));
    };
    let name = world.provider.name();
    let facts = json!({"version": version, "provider": name, "api": address, "cluster": meta::uid(&system)});
    Ok(Probe::Satisfied(Seen::new(format!("Kubernetes {version} ({name}) on {address}"), facts)))
}

pub(super) async fn apply(world: &World<'_>) -> Result<Change, Failure> {
    world.provider.start(&world.progress).await?;
    world.forget_api().await;
    Ok(Change::default())
}
