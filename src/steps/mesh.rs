//! The mesh is installed.

use serde_json::json;

use super::{Change, Probe, Seen, World};
use crate::doctor::{Failure, Reason};
use crate::lab::MeshSpec;
use crate::ui::plural;

pub(super) async fn probe(spec: &MeshSpec, world: &World<'_>) -> Result<Probe, Failure> {
    let api = world.api().await?;
    let standing = world.provider.probe_mesh(&api).await?;
    let name = world.provider.mesh_name(&spec.istio);
    if standing.is_whole() {
        return Ok(Probe::Satisfied(Seen::new(name.clone(), json!({"mesh": name})).with_objects(standing.objects)));
    }
    let mut failure = if standing.missing.is_empty() {
        let changed = plural(standing.changed.len() as u64, "object");
        Failure::new(Reason::ObjectChanged, format!("{changed} of the mesh not as installed"))
    } else {
        let missing = plural(standing.missing.len() as u64, "object");
        Failure::new(Reason::MeshNotReady, format!("{missing} of the mesh missing"))
    };
    failure.observed = standing.missing;
    failure.observed.extend(standing.changed);
    Ok(Probe::Needed(failure))
}

pub(super) async fn apply(world: &World<'_>) -> Result<Change, Failure> {
    let api = world.api().await?;
    let created = world.provider.install_mesh(&api, &world.progress).await?;
    Ok(Change { created, ..Change::default() })
}
