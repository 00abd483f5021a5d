//! A proxy as a whole: workers, listeners, status ports and the line to the mesh.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::UnixStream;

use super::control::{self, Applied, Hello, PROTOCOL, ProxyKind, Push};
use super::listeners::Listeners;
use super::metrics::{Metrics, Reporter};
use super::options::ProxyOptions;
use super::status_server::{self, Status};
use super::worker::{Role, Workers};
use crate::routing::snapshot::Snapshot;

const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LONGEST: Duration = Duration::from_secs(1);
/// Istio's sidecars run two worker threads.
const SIDECAR_WORKERS: usize = 2;

/// Why a proxy ended.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A thread or an event loop could not be made.
    #[error("the proxy cannot start its threads: {0}")]
    Threads(#[source] io::Error),
    /// A port of its own could not be bound.
    #[error("the proxy cannot bind {address}:{port}: {source}")]
    Bind {
        /// The pod's address.
        address: std::net::IpAddr,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// A sidecar without an application.
    #[error("a sidecar needs to know the application behind it")]
    NoApplication,
}

/// A running proxy's parts, on the main thread.
struct Proxy {
    options: ProxyOptions,
    kind: ProxyKind,
    workers: Rc<Workers>,
    listeners: Listeners,
    status: Arc<Status>,
}

/// Runs an ingress gateway until `end` resolves. The event loop is its own.
///
/// # Errors
/// It cannot start.
pub fn run_gateway(options: ProxyOptions, end: impl Future<Output = ()>) -> Result<(), ProxyError> {
    let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    run(options, ProxyKind::Gateway, Role::Gateway, count, end)
}

/// Runs a sidecar until `end` resolves. The event loop is its own.
///
/// # Errors
/// It cannot start, or has no application.
pub fn run_sidecar(options: ProxyOptions, end: impl Future<Output = ()>) -> Result<(), ProxyError> {
    let application = options.application.clone().ok_or(ProxyError::NoApplication)?;
    let role = Role::Sidecar { application: application.application, ports: application.ports };
    run(options, ProxyKind::Sidecar, role, SIDECAR_WORKERS, end)
}

fn run(
    options: ProxyOptions,
    kind: ProxyKind,
    role: Role,
    count: usize,
    end: impl Future<Output = ()>,
) -> Result<(), ProxyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProxyError::Threads)?;
    let workers = Rc::new(Workers::start(count, &role, &options.name).map_err(ProxyError::Threads)?);
    let reporter = Reporter {
        side: if kind == ProxyKind::Gateway { "source" } else { "destination" },
        pod: options.name.clone(),
        namespace: options.namespace.clone(),
    };
    let metrics = Metrics { reporter, shards: workers.shards.clone() };
    let status = Arc::new(Status { ready: AtomicBool::new(false), metrics });
    let mut proxy = Proxy { listeners: Listeners::new(options.bind, workers.clone()), options, kind, workers, status };
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        tokio::select! {
            outcome = proxy.start(&role) => outcome?,
            () = end => return Ok(()),
        }
        // The line to the mesh is kept until the process ends.
        Ok(())
    })
}

impl Proxy {
    async fn start(&mut self, role: &Role) -> Result<(), ProxyError> {
        let address = self.options.bind;
        status_server::serve(address, self.status.clone()).await.map_err(|(port, source)| ProxyError::Bind {
            address,
            port,
            source,
        })?;
        if let Role::Sidecar { ports, .. } = role {
            let refused = self.listeners.open(ports).await;
            if let Some((port, source)) = refused.into_iter().next() {
                return Err(ProxyError::Bind { address, port, source });
            }
        }
        note(&format!(
            "canary-lab proxy {} {}.{} on {address}",
            self.word(),
            self.options.name,
            self.options.namespace
        ));
        let mut pause = RECONNECT_FIRST;
        loop {
            let socket = self.options.mesh_socket.clone();
            match self.follow(&socket).await {
                Ok(()) => pause = RECONNECT_FIRST,
                Err(error) => {
                    if pause == RECONNECT_FIRST {
                        note(&format!("waiting for the control plane: {error}"));
                    }
                    pause = (pause * 2).min(RECONNECT_LONGEST);
                }
            }
            // A socket that is not there yet announces itself by nothing.
            tokio::time::sleep(pause).await;
        }
    }

    fn word(&self) -> &'static str {
        match self.kind {
            ProxyKind::Gateway => "router",
            ProxyKind::Sidecar => "sidecar",
        }
    }

    /// Obeys the mesh until the connection ends.
    async fn follow(&mut self, socket: &Path) -> io::Result<()> {
        let mut stream = UnixStream::connect(socket).await?;
        let hello = Hello {
            protocol: PROTOCOL,
            kind: self.kind,
            namespace: self.options.namespace.clone(),
            name: self.options.name.clone(),
        };
        control::write_frame(&mut stream, &hello).await?;
        while let Some(push) = control::read_frame::<Push>(&mut stream).await? {
            let applied = match push {
                Push::Routes(snapshot) => self.obey_routes(Arc::new(*snapshot)).await,
                Push::Sidecar { revision, access_log } => {
                    let snapshot = Snapshot { revision, access_log, ..Snapshot::default() };
                    self.workers.obey(&Arc::new(snapshot)).await;
                    Applied { revision, listening: self.listeners.ports(), refused: Vec::new() }
                }
            };
            if !self.status.ready.swap(true, Ordering::Relaxed) {
                note("Envoy proxy is ready");
            }
            control::write_frame(&mut stream, &applied).await?;
        }
        Ok(())
    }

    /// First closes what is gone, then changes the tables, then opens what is new: no connection meets a port whose routes are not
    /// there yet.
    async fn obey_routes(&mut self, snapshot: Arc<Snapshot>) -> Applied {
        let wanted: Vec<u16> = snapshot.listeners.iter().map(|listener| listener.port).collect();
        self.listeners.close_all_but(&wanted).await;
        self.workers.obey(&snapshot).await;
        let refused = self.listeners.open(&wanted).await;
        Applied {
            revision: snapshot.revision,
            listening: self.listeners.ports(),
            refused: refused.into_iter().map(|(port, error)| (port, error.to_string())).collect(),
        }
    }
}

/// A line of the proxy's own log, in the layout of Istio's agent.
fn note(text: &str) {
    use std::io::Write as _;
    // A log that nobody reads any more is no reason to end.
    let _ = writeln!(io::stderr().lock(), "{:.6}\tinfo\t{text}", Timestamp::now());
}
