//! The sockets that a proxy listens on, opened and closed as the mesh says.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::worker::{Origin, Workers};

/// After an accept that failed (too many open files, mostly) the next try waits, or the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All open listeners of a proxy.
pub(super) struct Listeners {
    bind: IpAddr,
    workers: Rc<Workers>,
    open: BTreeMap<u16, Open>,
}

/// A socket in the hands of its task.
struct Open {
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Listeners {
    pub(super) fn new(bind: IpAddr, workers: Rc<Workers>) -> Self {
        Self { bind, workers, open: BTreeMap::new() }
    }

    /// Closes every listener whose port is not wanted; their connections finish what they are doing. Once this returns their
    /// ports refuse connections and can be bound again.
    pub(super) async fn close_all_but(&mut self, wanted: &[u16]) {
        let closing: Vec<Open> =
            self.open.extract_if(.., |port, _| !wanted.contains(port)).map(|(_, open)| open).collect();
        for open in &closing {
            open.drain.cancel();
        }
        for open in closing {
            // The socket is dropped with its task, also if that panicked.
            let _ = open.task.await;
        }
    }

    /// Opens what is wanted and not open; returns the ports that could not be bound.
    pub(super) async fn open(&mut self, wanted: &[u16]) -> Vec<(u16, io::Error)> {
        let mut refused = Vec::new();
        for port in wanted {
            if self.open.contains_key(port) {
                continue;
            }
            match TcpListener::bind(SocketAddr::new(self.bind, *port)).await {
                Ok(listener) => {
                    let drain = CancellationToken::new();
                    let task = tokio::task::spawn_local(accept(listener, self.workers.clone(), drain.clone()));
                    self.open.insert(*port, Open { drain, task });
                }
                Err(error) => refused.push((*port, error)),
            }
        }
        refused
    }

    /// The open ports.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.open.keys().copied().collect()
    }
}

async fn accept(listener: TcpListener, workers: Rc<Workers>, drain: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let origin_and_stream = accepted.and_then(|(stream, peer)| {
            let local = stream.local_addr()?;
            Ok((Origin { peer, local }, stream.into_std()?))
        });
        match origin_and_stream {
            Ok((origin, stream)) => workers.serve(stream, origin, drain.clone()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
