//! Threads that carry requests: each has its own event loop, connection pools and counters, and shares nothing on a request's way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::balance::Turn;
use super::connection;
use super::metrics::Shard;
use super::upstream::Pools;
use crate::routing::snapshot::{Balancer, Cluster, Snapshot};

/// Log lines are written together this long after the first.
const LOG_DELAY: Duration = Duration::from_millis(20);
const LOG_BUFFER: usize = 16 << 10;
const SIDECAR_CONNECT_TIMEOUT_MS: u64 = 10_000;

/// What a proxy is there for.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// Routes by the mesh's snapshot.
    Gateway,
    /// Hands everything to the application behind it, on the port that was called.
    Sidecar {
        /// The application's hidden address.
        application: IpAddr,
        /// Its ports.
        ports: Vec<u16>,
    },
}

/// Where a connection came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// A cluster with a worker's own state for it.
pub(super) struct Target {
    pub(super) name: Arc<str>,
    pub(super) cluster: Cluster,
    pub(super) turn: Rc<Turn>,
}

/// What a worker obeys: replaced as a whole, so that no request sees half of a push.
pub(super) struct Live {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) targets: HashMap<String, Target>,
}

/// One thread's state.
pub(super) struct Worker {
    pub(super) role: Role,
    pub(super) hostname: String,
    pub(super) live: RefCell<Rc<Live>>,
    pub(super) pools: Pools,
    pub(super) metrics: Arc<Shard>,
    /// The application's ports of a sidecar, by number.
    pub(super) inbound: HashMap<u16, Target>,
    log: RefCell<Vec<u8>>,
    flush_planned: Cell<bool>,
}

enum Command {
    Serve(std::net::TcpStream, Origin, CancellationToken),
    Obey(Arc<Snapshot>, oneshot::Sender<()>),
}

/// All workers of a proxy.
pub(super) struct Workers {
    threads: Vec<Thread>,
    pub(super) shards: Vec<Arc<Shard>>,
}

struct Thread {
    commands: mpsc::UnboundedSender<Command>,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread or its event loop cannot be made.
    pub(super) fn start(count: usize, role: &Role, hostname: &str) -> io::Result<Self> {
        let mut workers = Self { threads: Vec::new(), shards: Vec::new() };
        for index in 0..count.max(1) {
            let (commands, inbox) = mpsc::unbounded_channel();
            let connections = Arc::new(AtomicUsize::new(0));
            let shard = Arc::new(Shard::default());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (role, hostname, metrics, count) =
                (role.clone(), hostname.to_owned(), shard.clone(), connections.clone());
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let worker = Worker::new(role, hostname, metrics);
                tokio::task::LocalSet::new().block_on(&runtime, worker.run(inbox, count));
            })?;
            workers.threads.push(Thread { commands, connections });
            workers.shards.push(shard);
        }
        Ok(workers)
    }

    /// Hands a connection to the worker with the fewest.
    pub(super) fn serve(&self, stream: std::net::TcpStream, origin: Origin, drain: CancellationToken) {
        let least = self.threads.iter().min_by_key(|thread| thread.connections.load(Ordering::Relaxed));
        if let Some(thread) = least {
            thread.connections.fetch_add(1, Ordering::Relaxed);
            // A worker that is gone takes the process with it; the connection is closed by dropping it.
            let _ = thread.commands.send(Command::Serve(stream, origin, drain));
        }
    }

    /// Makes every worker obey a snapshot and waits until all do.
    pub(super) async fn obey(&self, snapshot: &Arc<Snapshot>) {
        let mut waiting = Vec::new();
        for thread in &self.threads {
            let (done, obeyed) = oneshot::channel();
            if thread.commands.send(Command::Obey(snapshot.clone(), done)).is_ok() {
                waiting.push(obeyed);
            }
        }
        for obeyed in waiting {
            let _ = obeyed.await;
        }
    }
}

impl Worker {
    fn new(role: Role, hostname: String, metrics: Arc<Shard>) -> Rc<Self> {
        let inbound = match &role {
            Role::Gateway => HashMap::new(),
            Role::Sidecar { application, ports } => {
                ports.iter().map(|port| (*port, inbound_target(*application, *port))).collect()
            }
        };
        let nothing = Live { snapshot: Arc::default(), targets: HashMap::new() };
        Rc::new(Self {
            role,
            hostname,
            live: RefCell::new(Rc::new(nothing)),
            pools: Pools::default(),
            metrics,
            inbound,
            log: RefCell::default(),
            flush_planned: Cell::new(false),
        })
    }

    async fn run(self: Rc<Self>, mut inbox: mpsc::UnboundedReceiver<Command>, connections: Arc<AtomicUsize>) {
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Serve(stream, origin, drain) => {
                    let (worker, connections) = (self.clone(), connections.clone());
                    tokio::task::spawn_local(async move {
                        // A connection that fails concerns its client only.
                        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                            connection::serve(worker, stream, origin, drain).await;
                        }
                        connections.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Command::Obey(snapshot, done) => {
                    self.obey(snapshot);
                    let _ = done.send(());
                }
            }
        }
    }

    fn obey(&self, snapshot: Arc<Snapshot>) {
        let before = self.live.borrow().clone();
        let targets = snapshot
            .clusters
            .iter()
            .map(|(name, cluster)| {
                let known = before.targets.get(name);
                let target = Target {
                    name: known.map_or_else(|| Arc::from(name.as_str()), |target| target.name.clone()),
                    cluster: cluster.clone(),
                    turn: known.map_or_else(|| Rc::new(Turn::new()), |target| target.turn.clone()),
                };
                (name.clone(), target)
            })
            .collect();
        if matches!(self.role, Role::Gateway) {
            let clusters = &snapshot.clusters;
            self.pools.retain(|address| clusters.values().any(|cluster| cluster.endpoints.contains(address)));
        }
        *self.live.borrow_mut() = Rc::new(Live { snapshot, targets });
    }

    /// Adds a line to the log; lines of one worker keep their order.
    pub(super) fn log(self: &Rc<Self>, line: &str) {
        self.log.borrow_mut().extend_from_slice(line.as_bytes());
        if self.log.borrow().len() > LOG_BUFFER {
            self.flush();
        } else if !self.flush_planned.replace(true) {
            let worker = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(LOG_DELAY).await;
                worker.flush_planned.set(false);
                worker.flush();
            });
        }
    }

    fn flush(&self) {
        let lines = std::mem::take(&mut *self.log.borrow_mut());
        // A log that nobody reads any more is no reason to fail requests.
        let _ = io::stdout().lock().write_all(&lines).and_then(|()| io::stdout().lock().flush());
    }
}

fn inbound_target(application: IpAddr, port: u16) -> Target {
    Target {
        name: Arc::from(format!("inbound|{port}||")),
        cluster: Cluster {
            namespace: String::new(),
            service: String::new(),
            endpoints: vec![SocketAddr::new(application, port)],
            balancer: Balancer::RoundRobin,
            http2: false,
            connect_timeout_ms: SIDECAR_CONNECT_TIMEOUT_MS,
        },
        turn: Rc::new(Turn::new()),
    }
}
