//! The ingress service has an external address.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use super::{Change, IngressAddress, Probe, Seen, World};
use crate::cluster::Entrance;
use crate::doctor::{Failure, Reason};
use crate::objects::{Gvk, meta};

/// How long the address may take once the tunnel runs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon a way is tried again that nobody gets through.
const TRY_EVERY: Duration = Duration::from_millis(500);
const AWAITED: &str = "waiting for an EXTERNAL-IP";

pub(super) async fn probe(world: &World<'_>) -> Result<Probe, Failure> {
    if let Entrance::Shut(why) = world.provider.probe_tunnel().await? {
        return Ok(Probe::Needed(Failure::new(Reason::TunnelNotRunning, why)));
    }
    match world.ingress().await {
        Ok(address) => {
            let (host, port) = (&address.ingress.host, address.ingress.port);
            Ok(Probe::Satisfied(Seen::new(told(&address, host, port), json!({"address": host, "port": port}))))
        }
        Err(failure) if failure.reason == Reason::TunnelNotRunning => Ok(Probe::Needed(failure)),
        Err(failure) => Err(failure),
    }
}

pub(super) async fn apply(world: &World<'_>) -> Result<Change, Failure> {
    let was_pending = matches!(world.ingress().await, Err(failure) if failure.reason == Reason::TunnelNotRunning);
    world.provider.set_tunnel(true).await?;
    world.progress.awaiting(AWAITED, None);
    if let Ok(done) = tokio::time::timeout(PATIENCE, way_opens(world)).await {
        done?;
    } else {
        let why = match world.provider.probe_tunnel().await? {
            Entrance::Shut(why) => why,
            Entrance::Open => "the ingress gateway has no external address".to_owned(),
        };
        let mut failure = Failure::new(Reason::TunnelNotRunning, format!("{why} after {} s", PATIENCE.as_secs()));
        failure.observed.extend(world.provider.tunnel_words());
        return Err(failure);
    }
    let address = world.ingress().await?;
    let text = told(&address, &address.ingress.host, address.ingress.port);
    let text = if was_pending { text.replacen("EXTERNAL-IP ", "EXTERNAL-IP <pending> → ", 1) } else { text };
    Ok(Change { text: Some(text), ..Change::default() })
}

/// An address that the service does not show is not called its external one.
fn told(address: &IngressAddress, host: &str, port: u16) -> String {
    let shown = meta::list_at(&address.service, &["status", "loadBalancer", "ingress"]);
    let external = shown.iter().any(|entry| entry["ip"] == host || entry["hostname"] == host);
    if external { format!("EXTERNAL-IP {host}, port {port}") } else { format!("requests enter at {host}, port {port}") }
}

/// Waits until the service has an address and requests get through. The service tells of its address; that a way became
/// passable nobody tells, so it is tried again.
async fn way_opens(world: &World<'_>) -> Result<(), Failure> {
    let spec = &world.lab.spec.ingress;
    let api = world.api().await?;
    loop {
        let selector = format!("metadata.name={}", spec.service);
        let events =
            api.watch(&Gvk::new("", "v1", "Service"), Some(&spec.namespace), ("fieldSelector", &selector)).await?;
        let mut events = std::pin::pin!(events);
        loop {
            match world.provider.probe_tunnel().await? {
                Entrance::Open if world.ingress().await.is_ok() => return Ok(()),
                Entrance::Open => world.progress.awaiting(AWAITED, None),
                Entrance::Shut(why) => world.progress.awaiting(AWAITED, Some(why)),
            }
            if let Ok(None) = tokio::time::timeout(TRY_EVERY, events.next()).await {
                break;
            }
        }
    }
}
