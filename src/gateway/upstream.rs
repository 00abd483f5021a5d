//! Connections to endpoints: kept alive and used again, one pool for each address and worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::request_body::RequestBody;

/// Runs hyper's tasks on the worker's own thread.
#[derive(Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Why a try failed before any response head came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended.
    Termination,
    /// The stream was reset.
    RemoteReset,
    /// The stream was refused before anything was done with it.
    RefusedStream,
    /// What came back was not HTTP.
    Protocol,
    /// The client's body broke off; nobody waits for an answer.
    ClientGone,
    /// A try's own time limit.
    PerTryTimeout,
}

/// A response head with the connection that its body still needs.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) local: Option<SocketAddr>,
    pub(super) lease: Lease,
}

/// An HTTP/1.1 connection in use; it goes back to its pool once the response has been read to its end.
pub(super) struct Lease {
    endpoint: Rc<Endpoint>,
    connection: Option<Connection>,
}

impl Lease {
    /// Gives the connection back.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.endpoint.idle.borrow_mut().push(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.active.set(self.endpoint.active.get() - 1);
    }
}

struct Connection {
    sender: http1::SendRequest<RequestBody>,
    local: Option<SocketAddr>,
}

/// One address with its idle connections and the count of requests in flight.
pub(super) struct Endpoint {
    address: SocketAddr,
    idle: RefCell<Vec<Connection>>,
    multiplexed: RefCell<Option<(http2::SendRequest<RequestBody>, Option<SocketAddr>)>>,
    active: Cell<usize>,
}

/// All endpoints that a worker talks to.
#[derive(Default)]
pub(super) struct Pools {
    endpoints: RefCell<HashMap<SocketAddr, Rc<Endpoint>>>,
}

impl Pools {
    pub(super) fn endpoint(&self, address: SocketAddr) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let new = || {
            Rc::new(Endpoint {
                address,
                idle: RefCell::default(),
                multiplexed: RefCell::default(),
                active: Cell::new(0),
            })
        };
        endpoints.entry(address).or_insert_with(new).clone()
    }

    /// Requests in flight to an address.
    pub(super) fn active(&self, address: SocketAddr) -> usize {
        self.endpoints.borrow().get(&address).map_or(0, |endpoint| endpoint.active.get())
    }

    /// Forgets addresses that no cluster names any more; requests in flight finish.
    pub(super) fn retain(&self, keep: impl Fn(&SocketAddr) -> bool) {
        self.endpoints.borrow_mut().retain(|address, _| keep(address));
    }
}

impl Endpoint {
    /// Sends one try over HTTP/1.1 or HTTP/2.
    pub(super) async fn send(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        http2: bool,
        connect_timeout: Duration,
    ) -> Result<Answer, Failure> {
        self.active.set(self.active.get() + 1);
        let lease = Lease { endpoint: self.clone(), connection: None };
        if http2 {
            self.send_http2(request, connect_timeout, lease).await
        } else {
            self.send_http1(request, connect_timeout, lease).await
        }
    }

    async fn send_http1(
        self: &Rc<Self>,
        mut request: Request<RequestBody>,
        connect_timeout: Duration,
        mut lease: Lease,
    ) -> Result<Answer, Failure> {
        loop {
            let (mut connection, reused) = match self.take_idle().await {
                Some(connection) => (connection, true),
                None => (self.connect_http1(connect_timeout).await?, false),
            };
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let local = connection.local;
                    lease.connection = Some(connection);
                    return Ok(Answer { response, local, lease });
                }
                // An idle connection that the other side had closed took nothing of the request: the next one may.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(classify(error.error())),
                },
            }
        }
    }

    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn open(&self, connect_timeout: Duration) -> Result<TcpStream, Failure> {
        let stream = tokio::time::timeout(connect_timeout, TcpStream::connect(self.address))
            .await
            .map_err(|_| Failure::Connect)?
            .map_err(|_| Failure::Connect)?;
        // Without it small answers wait for acknowledgements; a socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn connect_http1(&self, connect_timeout: Duration) -> Result<Connection, Failure> {
        let stream = self.open(connect_timeout).await?;
        let local = stream.local_addr().ok();
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        // The connection's own end is learnt through its sender.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Connection { sender, local })
    }

    async fn send_http2(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        connect_timeout: Duration,
        lease: Lease,
    ) -> Result<Answer, Failure> {
        let current = self.multiplexed.borrow().clone().filter(|(sender, _)| !sender.is_closed());
        let (mut sender, local) = if let Some(known) = current {
            known
        } else {
            let stream = self.open(connect_timeout).await?;
            let local = stream.local_addr().ok();
            let (sender, connection) = http2::Builder::new(LocalExecutor)
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(4 << 20)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|_| Failure::Connect)?;
            tokio::task::spawn_local(async move { drop(connection.await) });
            *self.multiplexed.borrow_mut() = Some((sender.clone(), local));
            (sender, local)
        };
        sender.ready().await.map_err(|error| classify(&error))?;
        let response = sender.send_request(request).await.map_err(|error| classify(&error))?;
        Ok(Answer { response, local, lease })
    }
}

fn classify(error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_parse_status() {
        return Failure::Protocol;
    }
    if error.is_user() {
        return Failure::ClientGone;
    }
    let source = std::error::Error::source(error);
    if let Some(reset) = source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        return match reset.kind() {
            std::io::ErrorKind::ConnectionRefused => Failure::Connect,
            _ => Failure::Termination,
        };
    }
    // The HTTP/2 library's error type is not ours to name; its text is what tells a refusal from a reset.
    match source.map(ToString::to_string) {
        Some(text) if text.contains("refused stream") || text.contains("REFUSED_STREAM") => Failure::RefusedStream,
        Some(text) if text.contains("stream error") => Failure::RemoteReset,
        _ => Failure::Termination,
    }
}
