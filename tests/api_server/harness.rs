//! An API server of its own on a free port, with a client that trusts it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use canary_lab::embedded::api::pki::Authority;
use canary_lab::embedded::api::{
    ApiServer, ApiServerOptions, ExecAnswer, ExecEnd, ExecStreams, LogAnswer, LogOptions, Output, PodAccess, PodLogs,
    Registry, RegistryOptions, ServiceRange,
};
use canary_lab::embedded::mesh::{Mesh, install_objects};
use canary_lab::embedded::store::{OpenError, Store};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the recorded stand-in for a model server printed, for every container.
struct TwoLines;

const LINES: [&str; 2] = [
    "Successfully loaded servable version {name: image_classifier version: 1}\n",
    "[rig stand-in] Exporting HTTP/REST API at:localhost:8501 ...\n",
];

impl PodLogs for TwoLines {
    fn logs<'a>(&'a self, _pod: &'a Value, _container: &'a str, options: LogOptions) -> LogAnswer<'a> {
        Box::pin(async move {
            let skip = options.tail_lines.map_or(0, |tail| LINES.len().saturating_sub(tail));
            let stamp = |line: &str| {
                if options.timestamps { format!("2026-11-23T08:38:42.753476858Z {line}") } else { line.to_owned() }
            };
            let chunks: Vec<_> = LINES.into_iter().skip(skip).map(|line| Ok(Bytes::from(stamp(line)))).collect();
            Ok(Box::pin(futures::stream::iter(chunks)) as canary_lab::embedded::api::LogStream)
        })
    }
}

/// Runs one command, which gives back what it is given and ends with the code that its last word is.
struct Echo;

impl PodAccess for Echo {
    fn exec(&self, _pod: &Value, _container: &str, command: Vec<String>, mut streams: ExecStreams) -> ExecAnswer {
        Box::pin(async move {
            while let Some(bytes) = streams.stdin.recv().await {
                streams.output.send(Output::Stdout(bytes)).await.unwrap();
            }
            let _ = streams.output.send(Output::Stderr(Bytes::from(command.join(" ")))).await;
            ExecEnd::Exit(command.last().unwrap().parse().unwrap_or(0))
        })
    }

    fn local_addresses(&self, _pod: &Value) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    certificate: reqwest::Certificate,
    pub(crate) registry: Registry,
    _home: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
    _stopping: DropGuard,
}

fn open(home: &Path) -> Registry {
    // An earlier store lets go of the file a moment after it was dropped.
    let store = loop {
        match Store::open(&home.join("store.redb")) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    let services = ServiceRange { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 12 };
    Registry::new(store, RegistryOptions { services })
}

/// Stores what an installation of Istio leaves.
async fn install_istio(home: &Path) {
    let registry = open(home);
    registry.bootstrap(6443).await.unwrap();
    for object in install_objects().unwrap() {
        let group = object["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group).to_owned();
        let resource = registry.catalog().of_kind(&group, object["kind"].as_str().unwrap()).unwrap().full_name();
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        registry.create(&resource, namespace.as_deref(), object).await.unwrap();
    }
}

/// Runs the mesh's control plane, on which the webhooks depend.
async fn run_istio(registry: &Registry, home: &Path, stopping: &CancellationToken) {
    let mesh = Mesh::new(registry.clone(), home.join("mesh.sock"));
    registry.add_admission(Arc::new(mesh.admission()));
    let (running, stopping) = (mesh.clone(), stopping.clone());
    tokio::spawn(async move { running.run(stopping).await.unwrap() });
    while !mesh.status().running {
        tokio::task::yield_now().await;
    }
}

impl Server {
    /// A client that can change protocols, as HTTP/2 cannot.
    pub(crate) fn http1(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy().http1_only();
        builder.tls_certs_only([self.certificate.clone()]).build().unwrap()
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// A server on which Istio is installed, its control plane at work.
    pub(crate) async fn start_with_istio() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(istio: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&home.path().join("pki")).unwrap();
        if istio {
            // Storage is opened again afterwards, so that its first revisions are no longer known.
            install_istio(home.path()).await;
        }
        let registry = open(home.path());
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        registry.bootstrap(address.port()).await.unwrap();
        let stopping = CancellationToken::new();
        if istio {
            run_istio(&registry, home.path(), &stopping).await;
        }
        let server = ApiServer::new(ApiServerOptions {
            registry: registry.clone(),
            tls: authority.server_config(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap(),
            token: TOKEN.to_owned(),
            address,
            logs: Arc::new(TwoLines),
            access: Arc::new(Echo),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(listener, async move {
            let _ = stopped.await;
        }));
        let certificate = reqwest::Certificate::from_pem(authority.certificate_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate.clone()]).build().unwrap();
        Self { address, client, certificate, registry, _home: home, _stop: stop, _stopping: stopping.drop_guard() }
    }
}
