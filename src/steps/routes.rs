//! The gateway routes by the objects that the stages have applied so far.

use std::time::Duration;

use serde_json::json;

use super::{Seen, World};
use crate::cluster::RouteVersion;
use crate::doctor::{Failure, Reason};
use crate::objects::meta;

/// How long the gateway may take. A real one takes about 150 ms.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn judge(world: &World<'_>) -> Result<Seen, Failure> {
    let api = world.api().await?;
    let mut routes = Vec::new();
    for reference in world.routes_in_force() {
        let Some(object) = api.get(&reference).await? else {
            return Err(Failure::new(Reason::ObjectMissing, format!("{} does not exist", reference.label())));
        };
        routes.push(RouteVersion {
            kind: reference.gvk.kind,
            namespace: reference.namespace.unwrap_or_default(),
            name: reference.name,
            resource_version: meta::resource_version(&object).unwrap_or_default().to_owned(),
        });
    }
    world.progress.awaiting("waiting for the gateway to take over the routes", None);
    let gate = world.provider.routes_live(&routes, PATIENCE).await?;
    Ok(Seen::quiet(json!({"gate": gate, "routes": routes})))
}
