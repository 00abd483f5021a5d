//! One proxy's connection: introduced, told, acknowledged.

use std::collections::BTreeMap;
use std::io;

use tokio::net::UnixStream;
use tokio::sync::watch;

use super::discovery::{Mesh, World};
use super::status::ProxyStatus;
use crate::gateway::control::{Applied, Hello, PROTOCOL, ProxyKind, Push, read_frame, write_frame};
use crate::routing::GatewayWorkload;
use crate::routing::snapshot::Snapshot;

/// Serves a proxy until it goes away or the control plane ends.
pub(super) async fn serve(mesh: Mesh, mut stream: UnixStream, mut world: watch::Receiver<World>) {
    let Ok(Some(hello)) = read_frame::<Hello>(&mut stream).await else { return };
    if hello.protocol != PROTOCOL {
        tracing::warn!("a proxy speaks protocol {}, not {PROTOCOL}", hello.protocol);
        return;
    }
    let id = format!("{}.{}", hello.name, hello.namespace);
    let status = ProxyStatus { kind: hello.kind, acknowledged: 0, listening: Vec::new(), refused: Vec::new() };
    mesh.lock().proxies.insert(id.clone(), status);
    let outcome = follow(&mesh, &id, &hello, &mut stream, &mut world).await;
    if let Err(error) = outcome {
        tracing::debug!("the line to {id} ended: {error}");
    }
    mesh.lock().proxies.remove(&id);
}

async fn follow(
    mesh: &Mesh,
    id: &str,
    hello: &Hello,
    stream: &mut UnixStream,
    world: &mut watch::Receiver<World>,
) -> io::Result<()> {
    let mut told: Option<Snapshot> = None;
    loop {
        let current = world.borrow_and_update().clone();
        let snapshot = match hello.kind {
            ProxyKind::Gateway => current.snapshot(&workload(mesh, hello)),
            ProxyKind::Sidecar => {
                Snapshot { revision: current.revision, access_log: current.objects.access_log, ..Snapshot::default() }
            }
        };
        let unchanged = told.as_ref().is_some_and(|told| same_content(told, &snapshot));
        if unchanged {
            // What the proxy obeys already is the new revision, too.
            if let Some(status) = mesh.lock().proxies.get_mut(id) {
                status.acknowledged = snapshot.revision;
            }
        } else {
            let applied = push(stream, hello.kind, &snapshot).await?;
            if let Some(status) = mesh.lock().proxies.get_mut(id) {
                status.acknowledged = applied.revision;
                status.listening = applied.listening;
                status.refused = applied.refused;
            }
            told = Some(snapshot);
        }
        tokio::select! {
            changed = world.changed() => if changed.is_err() { return Ok(()) },
            ended = ended(stream) => return ended,
        }
    }
}

/// Waits for the proxy's end: it says nothing between pushes.
async fn ended(stream: &UnixStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0]) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "it spoke without having been asked")),
            // Readiness may be left over from the last acknowledgement.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn same_content(told: &Snapshot, new: &Snapshot) -> bool {
    told.listeners == new.listeners
        && told.clusters == new.clusters
        && told.access_log == new.access_log
        && told.objects == new.objects
}

async fn push(stream: &mut UnixStream, kind: ProxyKind, snapshot: &Snapshot) -> io::Result<Applied> {
    let push = match kind {
        ProxyKind::Gateway => Push::Routes(Box::new(snapshot.clone())),
        ProxyKind::Sidecar => Push::Sidecar { revision: snapshot.revision, access_log: snapshot.access_log },
    };
    write_frame(stream, &push).await?;
    read_frame(stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The proxy's pod decides by its labels which Gateways apply.
fn workload(mesh: &Mesh, hello: &Hello) -> GatewayWorkload {
    let labels = mesh.registry().get("pods", Some(&hello.namespace), &hello.name).map_or_else(
        |_| BTreeMap::new(),
        |pod| {
            let members = pod["metadata"]["labels"].as_object().into_iter().flatten();
            members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        },
    );
    GatewayWorkload { namespace: hello.namespace.clone(), labels }
}
