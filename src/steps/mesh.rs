//! The mesh is installed.

use serde_json::json;

use super::{Change, Probe, Seen, World};
use crate::doctor::{Failure, Reason};
use crate::lab::MeshSpec;
use crate::ui::plural;

pub(super) async fn probe(spec: &MeshSpec, world: &World<'_>) -> Result<Probe, Failure> {
    let api = world.api().await?;
    let missing = world.provider.probe_mesh(&api).await?;
    let name = world.provider.mesh_name(&spec.istio);
    if missing.is_empty() {
        return Ok(Probe::Satisfied(Seen::new(name.clone(), json!({"mesh": name}))));
    }
    let mut failure =
        Failure::new(Reason::MeshNotReady, format!("{} of the mesh missing", plural(missing.len() as u64, "object")));
    failure.observed = missing;
    Ok(Probe::Needed(failure))
}

pub(super) async fn apply(world: &World<'_>) -> Result<Change, Failure> {
    let api = world.api().await?;
    let created = world.provider.install_mesh(&api, &world.progress).await?;
    Ok(Change { created, ..Change::default() })
}
