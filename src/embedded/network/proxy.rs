//! The service proxy's listeners: opened where an endpoint answers, closed where none does.
//!
//! On a real node a ClusterIP without endpoints refuses connections, and a connection to an endpoint that does not
//! listen is refused as well. A listener of ours accepts before it can know, so it is open only while at least one
//! of its endpoints has a listening socket; the kernel's socket table says which do.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::holders::{self, PortHolder};
use super::plan::ListenerPlan;

/// How long a connection to an endpoint may take; on loopback it is there at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The copy buffer of each direction. A prediction is a few megabytes, so small buffers would cost system calls.
const COPY_BUFFER: usize = 128 * 1024;

/// Why a planned listener could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerProblem {
    /// Somebody else listens on the address, or on the port on all addresses.
    Held(Option<PortHolder>),
    /// Ports below the system's limit need a privilege that this process lacks.
    NotPermitted,
    /// The system said something else.
    Other(String),
}

impl std::fmt::Display for ListenerProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(Some(holder)) => write!(f, "held by {holder}"),
            Self::Held(None) => f.write_str("held by another process"),
            Self::NotPermitted => f.write_str("this user may not bind the port"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

/// The listeners of one lab.
#[derive(Debug, Default)]
pub struct ServiceProxy {
    plan: ListenerPlan,
    open: BTreeMap<SocketAddr, OpenListener>,
    problems: BTreeMap<SocketAddr, ListenerProblem>,
    refused: Arc<Notify>,
}

/// What is left to do after [`ServiceProxy::reconcile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reconciled {
    /// Every listener that has endpoints is open.
    Settled,
    /// This many wait for an endpoint to listen or for an address to become free. No event tells when that happens.
    Waiting(usize),
}

impl ServiceProxy {
    /// No listeners yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a new plan; [`Self::reconcile`] carries it out.
    pub fn set_plan(&mut self, plan: ListenerPlan) {
        self.plan = plan;
    }

    /// Told when all endpoints of an open listener refused a connection, so that it ought to be closed.
    pub fn refused(&self) -> Arc<Notify> {
        Arc::clone(&self.refused)
    }

    /// The listeners that cannot be opened, and why.
    pub fn problems(&self) -> &BTreeMap<SocketAddr, ListenerProblem> {
        &self.problems
    }

    /// `namespace/name` of the Service that wants this address.
    pub fn service_of(&self, address: SocketAddr) -> Option<&str> {
        self.plan.get(&address).map(|planned| planned.service.as_str())
    }

    /// The addresses that answer.
    pub fn open(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.keys().copied()
    }

    /// Opens and closes listeners as the plan and the sockets of the machine say. Must run inside a tokio runtime.
    pub fn reconcile(&mut self) -> Reconciled {
        let listening = holders::listening();
        let plan = &self.plan;
        self.open.retain(|address, _| plan.contains_key(address));
        self.problems.retain(|address, _| plan.contains_key(address));
        let mut waiting = 0;
        for (address, planned) in &self.plan {
            let live: Vec<SocketAddr> =
                planned.backends.iter().copied().filter(|backend| answers(listening.as_ref(), *backend)).collect();
            if live.is_empty() {
                waiting += usize::from(!planned.backends.is_empty());
                self.open.remove(address);
                continue;
            }
            if let Some(listener) = self.open.get(address) {
                listener.backends.set(live);
                continue;
            }
            match bind(*address) {
                Ok(listener) => {
                    self.problems.remove(address);
                    let backends = Arc::new(Backends::new(live));
                    let serving = accept(listener, Arc::clone(&backends), Arc::clone(&self.refused));
                    self.open.insert(*address, OpenListener { backends, accepting: tokio::spawn(serving) });
                }
                Err(problem) => {
                    // Without the privilege no waiting helps.
                    waiting += usize::from(problem != ListenerProblem::NotPermitted);
                    if self.problems.get(address) != Some(&problem) {
                        tracing::warn!("{} of {} cannot be opened: {problem}", address, planned.service);
                        self.problems.insert(*address, problem);
                    }
                }
            }
        }
        if waiting == 0 { Reconciled::Settled } else { Reconciled::Waiting(waiting) }
    }
}

#[derive(Debug)]
struct OpenListener {
    backends: Arc<Backends>,
    accepting: JoinHandle<()>,
}

impl Drop for OpenListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The endpoints behind one listener, taken in turn.
#[derive(Debug)]
struct Backends {
    addresses: RwLock<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

impl Backends {
    fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses: RwLock::new(addresses), turn: AtomicUsize::new(0) }
    }

    fn set(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// All endpoints, the one whose turn it is first.
    fn in_turn(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !addresses.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(first);
        }
        addresses
    }
}

/// Whether a socket listens there; where the system has no table to read, every endpoint is taken for one that does.
fn answers(listening: Option<&HashSet<SocketAddr>>, backend: SocketAddr) -> bool {
    let wildcard = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), backend.port());
    listening.is_none_or(|sockets| sockets.contains(&backend) || sockets.contains(&wildcard))
}

fn bind(address: SocketAddr) -> Result<TcpListener, ListenerProblem> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ListenerProblem::Held(holders::of(address)),
        ErrorKind::PermissionDenied => ListenerProblem::NotPermitted,
        _ => ListenerProblem::Other(error.to_string()),
    })
}

async fn accept(listener: TcpListener, backends: Arc<Backends>, refused: Arc<Notify>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (backends, refused) = (Arc::clone(&backends), Arc::clone(&refused));
                tokio::spawn(async move { forward(client, &backends, &refused).await });
            }
            // Out of descriptors, for example; others may be closed in a moment.
            Err(error) => {
                tracing::warn!("accepting a connection failed: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Joins the client with the next endpoint. Each direction ends on its own, as TCP allows.
async fn forward(mut client: TcpStream, backends: &Backends, refused: &Notify) {
    for backend in backends.in_turn() {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(backend)).await;
        let Ok(Ok(mut server)) = connecting else { continue };
        // Delaying small writes would only add latency between two sockets of one machine.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, COPY_BUFFER, COPY_BUFFER).await;
        return;
    }
    // The nearest thing to a refusal that is still possible is a reset.
    let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    drop(client);
    refused.notify_one();
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::plan::{ListenerKind, PlannedListener};
    use super::super::{AddressBlock, BlockClaim};
    use super::*;

    struct Lab {
        _claim: BlockClaim,
        block: AddressBlock,
    }

    fn lab() -> Lab {
        let claim = BlockClaim::take(None, None).unwrap();
        Lab { block: claim.block(), _claim: claim }
    }

    fn plan(at: SocketAddr, backends: &[SocketAddr]) -> ListenerPlan {
        let listener =
            PlannedListener { service: "a/b".into(), kind: ListenerKind::ClusterIp, backends: backends.to_vec() };
        ListenerPlan::from([(at, listener)])
    }

    /// Answers each connection with its number after the client has finished sending.
    async fn backend(at: SocketAddr, number: u8) -> JoinHandle<()> {
        let listener = TcpListener::bind(at).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut body = Vec::new();
                stream.read_to_end(&mut body).await.unwrap();
                stream.write_all(&[number]).await.unwrap();
                stream.write_all(&(body.len() as u64).to_be_bytes()).await.unwrap();
            }
        })
    }

    async fn ask(at: SocketAddr, bytes: usize) -> (u8, u64) {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(&vec![7; bytes]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        (answer[0], u64::from_be_bytes(answer[1..9].try_into().unwrap()))
    }

    #[tokio::test]
    async fn endpoints_take_turns_and_a_half_closed_stream_is_answered() {
        let lab = lab();
        let at = SocketAddr::from((lab.block.cluster_ip(9), 8501));
        let backends = [(lab.block.pod(2), 8501).into(), (lab.block.pod(3), 8501).into()];
        let _one = backend(backends[0], 1).await;
        let _two = backend(backends[1], 2).await;
        let mut proxy = ServiceProxy::new();
        proxy.set_plan(plan(at, &backends));
        assert_eq!(proxy.reconcile(), Reconciled::Settled);
        let mut answers = [ask(at, 10).await, ask(at, 5_000_000).await, ask(at, 0).await, ask(at, 1).await];
        answers.sort_unstable();
        assert_eq!(answers, [(1, 0), (1, 10), (2, 1), (2, 5_000_000)]);
    }

    #[tokio::test]
    async fn a_listener_is_closed_while_no_endpoint_listens() {
        let lab = lab();
        let at = SocketAddr::from((lab.block.cluster_ip(9), 8501));
        let endpoint = SocketAddr::from((lab.block.pod(2), 8501));
        let mut proxy = ServiceProxy::new();
        proxy.set_plan(plan(at, &[endpoint]));
        assert_eq!(proxy.reconcile(), Reconciled::Waiting(1));
        assert_eq!(TcpStream::connect(at).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let serving = backend(endpoint, 1).await;
        assert_eq!(proxy.reconcile(), Reconciled::Settled);
        assert_eq!(ask(at, 3).await, (1, 3));

        serving.abort();
        let _ = serving.await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        assert!(stream.read_u8().await.is_err(), "the connection is reset");
        proxy.refused().notified().await;
        assert_eq!(proxy.reconcile(), Reconciled::Waiting(1));
        // The listening socket goes with its task, which ends at its next turn.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(at).await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "the listener stays open");
            tokio::task::yield_now().await;
        }
        proxy.set_plan(plan(at, &[]));
        assert_eq!(proxy.reconcile(), Reconciled::Settled);
    }

    #[tokio::test]
    async fn whoever_holds_the_port_is_named_and_outwaited() {
        let lab = lab();
        let squatter = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = squatter.local_addr().unwrap().port();
        let at = SocketAddr::from((lab.block.cluster_ip(9), port));
        let endpoint = SocketAddr::from((lab.block.pod(2), 8501));
        let _serving = backend(endpoint, 1).await;
        let mut proxy = ServiceProxy::new();
        proxy.set_plan(plan(at, &[endpoint]));
        assert_eq!(proxy.reconcile(), Reconciled::Waiting(1));
        let problem = proxy.problems()[&at].to_string();
        assert!(problem.contains(&format!("(pid {}) on 0.0.0.0:{port}", std::process::id())), "{problem}");
        drop(squatter);
        assert_eq!(proxy.reconcile(), Reconciled::Settled);
        assert!(proxy.problems().is_empty());
    }
}
