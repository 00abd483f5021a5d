//! The service proxy as a task of the daemon: follows Services and Endpoints and keeps the listeners right.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{AddressBlock, Reconciled, ServiceProxy, listener_plan};
use crate::embedded::api::{Registry, WatchEvent};
use crate::objects::meta;

/// How often the socket table is read while something is awaited that has just changed.
const SOON: Duration = Duration::from_millis(50);
/// How often it is read when nothing has changed for a while.
const LATER: Duration = Duration::from_millis(200);
/// For how long after a change it is read often.
const RECENT: Duration = Duration::from_secs(5);

/// A listener that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedListener {
    /// Where it should be.
    pub address: SocketAddr,
    /// `namespace/name` of the Service.
    pub service: String,
    /// Why it is not there.
    pub problem: String,
}

/// What the service proxy listens on, as others may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReport {
    /// The addresses that answer.
    pub open: Vec<SocketAddr>,
    /// Those that cannot be opened.
    pub closed: Vec<ClosedListener>,
}

/// The proxy's handle: tells what it does, and can be told to look again.
#[derive(Debug, Clone)]
pub struct ServiceProxyHandle {
    report: Arc<Mutex<ListenerReport>>,
    looks: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// The other end of a [`ServiceProxyHandle`], for the proxy itself.
#[derive(Debug)]
pub struct ServiceProxyControl {
    report: Arc<Mutex<ListenerReport>>,
    looks: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
}

impl ServiceProxyHandle {
    /// A handle and what the proxy needs to be held by it.
    pub fn new() -> (Self, ServiceProxyControl) {
        let report = Arc::default();
        let (looks, asked) = mpsc::unbounded_channel();
        (Self { report: Arc::clone(&report), looks }, ServiceProxyControl { report, looks: asked })
    }

    /// What it listens on now.
    pub fn report(&self) -> ListenerReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the sockets of the endpoints looked at, and returns when the listeners are as these say.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        if self.looks.send(done).is_ok() {
            // Without an answer the proxy has ended, and there is nothing to wait for.
            let _ = settled.await;
        }
    }
}

/// Runs the service proxy for as long as the daemon does.
pub async fn run_service_proxy(registry: Registry, block: AddressBlock, mut control: ServiceProxyControl) {
    let mut services = registry.watch("services", None);
    let mut endpoints = registry.watch("endpoints", None);
    // A Gateway makes proxies listen, or cease to: after a change of one their sockets are worth looking at.
    let mut gateways = registry.watch("gateways.networking.istio.io", None);
    let mut known: (HashMap<String, Arc<Value>>, HashMap<String, Arc<Value>>) = Default::default();
    let mut proxy = ServiceProxy::new();
    let refused = proxy.refused();
    let mut changed_at = Instant::now();
    let mut settled: Vec<oneshot::Sender<()>> = vec![];
    loop {
        let outcome = proxy.reconcile();
        *control.report.lock().unwrap_or_else(PoisonError::into_inner) = report(&proxy);
        for done in settled.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        let wait = match outcome {
            Reconciled::Settled => None,
            // Nothing tells when a process begins to listen, so the table is read now and then until it does.
            Reconciled::Waiting(_) if changed_at.elapsed() < RECENT => Some(SOON),
            Reconciled::Waiting(_) => Some(LATER),
        };
        let pause = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = services.next() => remember(&mut known.0, &event),
            event = endpoints.next() => remember(&mut known.1, &event),
            _ = gateways.next() => {}
            Some(done) = control.looks.recv() => settled.push(done),
            () = refused.notified() => {}
            () = pause => continue,
        }
        let plan = listener_plan(block.node().into(), known.0.values().map(|service| &**service), |namespace, name| {
            known.1.get(&format!("{namespace}/{name}")).map(|endpoints| &**endpoints)
        });
        proxy.set_plan(plan);
        changed_at = Instant::now();
    }
}

fn remember(known: &mut HashMap<String, Arc<Value>>, event: &WatchEvent) {
    let key = meta::key(event.object());
    if event.is_deleted() {
        known.remove(&key);
    } else {
        known.insert(key, Arc::clone(event.object()));
    }
}

fn report(proxy: &ServiceProxy) -> ListenerReport {
    let closed = proxy.problems().iter().map(|(address, problem)| ClosedListener {
        address: *address,
        service: proxy.service_of(*address).unwrap_or_default().to_owned(),
        problem: problem.to_string(),
    });
    ListenerReport { open: proxy.open().collect(), closed: closed.collect() }
}
