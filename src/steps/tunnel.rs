//! The ingress service has an external address.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use super::{Change, IngressAddress, Probe, Seen, World};
use crate::cluster::Watched;
use crate::doctor::{Failure, Reason};
use crate::objects::{Gvk, meta};

/// How long the address may take once the tunnel runs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn probe(world: &World<'_>) -> Result<Probe, Failure> {
    if !world.provider.probe_tunnel().await? {
        return Ok(Probe::Needed(Failure::new(Reason::TunnelNotRunning, "the tunnel does not run")));
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
    let awaited = "waiting for an EXTERNAL-IP";
    world.progress.awaiting(awaited, None);
    if let Ok(done) = tokio::time::timeout(PATIENCE, address_appears(world)).await {
        done?;
    } else {
        let mut failure =
            Failure::new(Reason::TunnelNotRunning, format!("no EXTERNAL-IP within {} s", PATIENCE.as_secs()));
        failure.observed = world.provider.tunnel_words();
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

/// Watches the service until it has an address.
async fn address_appears(world: &World<'_>) -> Result<(), Failure> {
    let spec = &world.lab.spec.ingress;
    let api = world.api().await?;
    loop {
        // A way in that needs no external address is open already.
        if world.ingress().await.is_ok() {
            return Ok(());
        }
        let selector = format!("metadata.name={}", spec.service);
        let events =
            api.watch(&Gvk::new("", "v1", "Service"), Some(&spec.namespace), ("fieldSelector", &selector)).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let Watched::Is(service) = event? else { continue };
            if service.pointer("/status/loadBalancer/ingress/0").is_some() {
                return Ok(());
            }
        }
    }
}
