//! The daemon's life: everything it needs in order, then waiting, then everything away again.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::detach;
use super::kubeconfig::kubeconfig;
use super::launch::Readiness;
use super::paths::ClusterPaths;
use super::record::{self, DaemonRecord, PROTOCOL, Settings};
use super::renumber;
use crate::embedded::admin::{self, AdminState, ClusterStatus, Version};
use crate::embedded::api::pki::{Authority, PkiError, load_or_create_token};
use crate::embedded::api::{ApiServer, ApiServerOptions, Registry, RegistryOptions, ServiceRange, Status};
use crate::embedded::controllers::{self, ControllerOptions};
use crate::embedded::kubelet::{Kubelet, KubeletOptions};
use crate::embedded::mesh::Mesh;
use crate::embedded::network::{
    AddressBlock, BlockClaim, ClaimError, IngressPorts, ServiceProxyHandle, holders, run_service_proxy,
};
use crate::embedded::store::{OpenError, Store};
use crate::process::ProcessIdentity;

/// Where the API server listens when nobody else does.
const API_PORT: u16 = 6443;
/// How long the children of a daemon that was killed may take to end; their lifelines end them within milliseconds.
const VACANT_WITHIN: Duration = Duration::from_secs(5);

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct DaemonOptions {
    /// The lab's home.
    pub home: PathBuf,
    /// The block to claim, 64 to 126; the one from before or any free one otherwise.
    pub block: Option<u8>,
    /// The program file that containers run; this process's own otherwise.
    pub program: Option<PathBuf>,
}

/// Why a daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The home's daemon runs already.
    #[error("the cluster of {} runs already{}", home.display(), record.as_ref().map(|record| format!(" (pid {})", record.process.pid)).unwrap_or_default())]
    AlreadyRunning {
        /// The home.
        home: PathBuf,
        /// What the running one wrote down of itself.
        record: Option<Box<DaemonRecord>>,
    },
    /// There is no such block.
    #[error("there is no address block 127.{0}.0.0/16: choose 64 to 126")]
    NoSuchBlock(u8),
    /// No block could be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Storage could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Keys or certificates could not be had.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A file or socket could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No port of the node's address is free for the API server.
    #[error("the API server finds no free port on {0}: {1}")]
    NoApiPort(Ipv4Addr, std::io::Error),
    /// The cluster's first objects could not be stored.
    #[error("the cluster could not be set up: {0}")]
    Objects(#[from] Status),
    /// Processes of an earlier daemon still hold addresses of the block.
    #[error("addresses of {block} are still in use: {holders}")]
    NotVacant {
        /// The block.
        block: AddressBlock,
        /// Who holds which, as text.
        holders: String,
    },
}

/// The whole of a daemon process: leaves the terminal, runs, and tells its starter on `out` whether it became ready.
/// Returns the process's exit code.
pub fn process_main(options: DaemonOptions, out: &mut dyn Write) -> u8 {
    detach::leave_terminal();
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no threads: {error}");
            return 1;
        }
    };
    let mut told = false;
    let mut tell = |readiness: &Readiness| {
        told = true;
        // A starter that is gone does not need to be told.
        let line = serde_json::to_string(readiness).unwrap_or_default();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        let _ = detach::close_stdout();
    };
    let ended = runtime.block_on(run_with(options, |record| tell(&Readiness::Ready(record.clone()))));
    // Whatever still runs is of no more use; storage has been closed in order.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error}");
            if !told {
                let line = serde_json::to_string(&Readiness::Failed(error.to_string())).unwrap_or_default();
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
            1
        }
    }
}

fn start_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CANARY_LAB_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    // A second daemon in one process, as in tests, logs where the first does.
    let _ = logging.try_init();
}

/// Runs the daemon until it is asked to stop.
pub async fn run(options: DaemonOptions) -> Result<(), DaemonError> {
    run_with(options, |_| {}).await
}

/// Runs the daemon; `ready` is called once it answers.
async fn run_with(options: DaemonOptions, ready: impl FnOnce(&DaemonRecord)) -> Result<(), DaemonError> {
    let paths = ClusterPaths::new(&options.home);
    paths.prepare().map_err(io_at(&paths.cluster()))?;
    let _lock = take_lock(&paths)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stopping = CancellationToken::new();
    let daemon = Daemon::start(&paths, &options, &stopping).await?;
    ready(&daemon.record);
    tracing::info!("ready: {} on {}", daemon.record.api, daemon.record.block);
    wait_for_end(&stopping).await;
    tracing::info!("stopping");
    daemon.stop().await;
    Ok(())
}

fn io_at(path: &Path) -> impl FnOnce(std::io::Error) -> DaemonError + use<> {
    let path = path.to_owned();
    move |source| DaemonError::Io { path, source }
}

/// Held for as long as the process lives, in whatever way that ends.
fn take_lock(paths: &ClusterPaths) -> Result<std::fs::File, DaemonError> {
    let path = paths.lock();
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io_at(&path))?;
    let deadline = Instant::now() + VACANT_WITHIN;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(error) if error != rustix::io::Errno::WOULDBLOCK => {
                return Err(DaemonError::Io { path, source: error.into() });
            }
            Err(_) => {}
        }
        let record = DaemonRecord::read(&paths.record()).map(Box::new);
        let is_dying = record.as_ref().is_some_and(|record| !record.process.is_alive());
        if !is_dying || Instant::now() >= deadline {
            return Err(DaemonError::AlreadyRunning { home: paths.home().to_owned(), record });
        }
        // The threads of a killed process let go of its files a moment after it counts as dead, and tell nobody.
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn wait_for_end(stopping: &CancellationToken) {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let received = async |signal: std::io::Result<tokio::signal::unix::Signal>| match signal {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = received(terminate) => {}
        () = received(interrupt) => {}
        () = stopping.cancelled() => {}
    }
    stopping.cancel();
}

/// A running cluster.
struct Daemon {
    paths: ClusterPaths,
    record: DaemonRecord,
    _claim: BlockClaim,
    /// Everything that simply ends with the daemon.
    tasks: JoinSet<()>,
    /// The kubelet, which ends its children first.
    kubelet: tokio::task::JoinHandle<()>,
}

impl Daemon {
    async fn start(
        paths: &ClusterPaths,
        options: &DaemonOptions,
        stopping: &CancellationToken,
    ) -> Result<Self, DaemonError> {
        let (claim, settings, api_listener) = settle_addresses(paths, options.block)?;
        let block = claim.block();
        let authority = Authority::load_or_create(&paths.pki())?;
        let token = load_or_create_token(&paths.pki())?;
        let store = Store::open(&paths.store())?;
        let services = ServiceRange { network: block.cluster_ip(0), prefix: 20 };
        let registry = Registry::new(store.clone(), RegistryOptions { services });
        renumber::move_to(&registry, block).await?;
        registry.add_admission(Arc::new(settings.ingress));
        let mesh = Mesh::new(registry.clone(), paths.mesh_socket());
        registry.add_admission(Arc::new(mesh.admission()));
        registry.bootstrap(settings.api.port()).await?;
        publish_api_endpoints(&registry, settings.api).await?;

        let kubelet_options = KubeletOptions {
            block,
            binary: options.program.clone(),
            logs: paths.pod_logs(),
            volumes: paths.volumes(),
            mesh_socket: paths.mesh_socket(),
            control_plane: Some(Arc::new(mesh.clone())),
        };
        let kubelet = Kubelet::new(registry.clone(), kubelet_options, stopping.clone());
        let processes = kubelet.processes();
        let (logs, access) = (kubelet.logs(), kubelet.access());
        // Before anybody can ask, and before any controller acts on it.
        kubelet.disown_earlier_runs().await?;

        let mut tasks = JoinSet::new();
        let (tunnel, tunnel_receiver) = watch::channel(settings.tunnel);
        let certificate = authority.certificate_pem().to_owned();
        let controller_options = ControllerOptions {
            block,
            certificate: certificate.clone(),
            tunnel: tunnel_receiver,
            claims: paths.claims(),
        };
        let mut controllers = controllers::start(&registry, controller_options).await?;
        tasks.spawn(async move { while controllers.join_next().await.is_some() {} });

        let (proxy, control) = ServiceProxyHandle::new();
        tasks.spawn(run_service_proxy(registry.clone(), block, control));

        let kubelet = tokio::spawn(kubelet.run());

        let addresses = [block.node(), block.cluster_ip(1), Ipv4Addr::LOCALHOST].map(IpAddr::V4);
        let server = ApiServer::new(ApiServerOptions {
            registry: registry.clone(),
            tls: authority.server_config(&addresses)?,
            token: token.clone(),
            address: settings.api,
            logs: Arc::new(logs),
            access: Arc::new(access),
        });
        tasks.spawn(server.serve(api_listener, stopping.clone().cancelled_owned()));

        let api = format!("https://{}", settings.api);
        let text = kubeconfig(&api, &certificate, &token);
        record::replace(&paths.kubeconfig(), text.as_bytes()).map_err(io_at(&paths.kubeconfig()))?;
        let record = DaemonRecord {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: ProcessIdentity::current(),
            api: api.clone(),
            block,
            admin_socket: paths.admin_socket(),
        };
        let ingress = settings.ingress;
        let mesh_status = {
            let proxy = proxy.clone();
            move || -> BoxFuture<'static, Value> {
                let (mesh, proxy) = (mesh.clone(), proxy.clone());
                Box::pin(async move {
                    let status = mesh.status();
                    // A gateway that has acknowledged listens; from here on the Services before it do as well.
                    proxy.settle().await;
                    serde_json::to_value(status).unwrap_or_default()
                })
            }
        };
        let status = {
            let (tunnel, kubeconfig) = (tunnel.clone(), paths.kubeconfig());
            let process = record.process;
            move || ClusterStatus {
                process,
                api: api.clone(),
                kubeconfig: kubeconfig.clone(),
                block,
                node: block.node().into(),
                external: block.external().into(),
                ingress,
                tunnel: *tunnel.borrow(),
                processes: processes.list(),
                listeners: proxy.report(),
                storage_trouble: store.trouble().map(|reason| reason.to_string()),
            }
        };
        let set_tunnel = {
            let (path, settings) = (paths.settings(), Mutex::new(settings));
            move |running: bool| {
                let mut settings = settings.lock().unwrap_or_else(PoisonError::into_inner);
                settings.tunnel = running;
                record::write(&path, &*settings)?;
                tunnel.send_replace(running);
                Ok(())
            }
        };
        let state = AdminState {
            version: Version { version: record.version.clone(), protocol: PROTOCOL, process: record.process },
            status: Box::new(status),
            set_tunnel: Box::new(set_tunnel),
            mesh: Box::new(mesh_status),
            stopping: stopping.clone(),
        };
        tasks.spawn(admin::serve(listen(&paths.admin_socket())?, state));
        record::write(&paths.record(), &record).map_err(io_at(&paths.record()))?;
        Ok(Self { paths: paths.clone(), record, _claim: claim, tasks, kubelet })
    }

    /// Ends the children, then everything else, and takes the files away that speak of a running daemon.
    async fn stop(mut self) {
        let _ = self.kubelet.await;
        self.tasks.shutdown().await;
        for path in [self.paths.record(), self.paths.admin_socket(), self.paths.mesh_socket()] {
            let _ = std::fs::remove_file(path);
        }
        if self.paths.sockets() != self.paths.cluster() {
            let _ = std::fs::remove_dir(self.paths.sockets());
        }
    }
}

/// Claims a block and a port for the API server; what was chosen before is kept where it is still free.
fn settle_addresses(
    paths: &ClusterPaths,
    wanted: Option<u8>,
) -> Result<(BlockClaim, Settings, tokio::net::TcpListener), DaemonError> {
    let before: Option<Settings> = record::read(&paths.settings());
    let exactly = wanted.map(|number| AddressBlock::new(number).ok_or(DaemonError::NoSuchBlock(number))).transpose()?;
    let claim = BlockClaim::take(exactly, before.as_ref().map(|settings| settings.block))?;
    let block = claim.block();
    wait_until_vacant(block)?;
    let same = before.filter(|settings| settings.block == block);
    let first = same.as_ref().map_or(API_PORT, |settings| settings.api.port());
    let listener = bind_api(block.node(), first).map_err(|error| DaemonError::NoApiPort(block.node(), error))?;
    let api = listener.local_addr().map_err(|error| DaemonError::NoApiPort(block.node(), error))?;
    let settings = Settings {
        protocol: PROTOCOL,
        block,
        api,
        ingress: same.as_ref().map_or_else(|| IngressPorts::choose(block.external()), |settings| settings.ingress),
        tunnel: same.is_some_and(|settings| settings.tunnel),
    };
    record::write(&paths.settings(), &settings).map_err(io_at(&paths.settings()))?;
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = listener.map_err(|error| DaemonError::NoApiPort(block.node(), error))?;
    Ok((claim, settings, listener))
}

/// The port from before or the usual one, the ones after it, or any that is free.
fn bind_api(node: Ipv4Addr, first: u16) -> std::io::Result<TcpListener> {
    let candidates = (first..first.saturating_add(32)).chain([0]);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for port in candidates {
        match TcpListener::bind((node, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits until no process of an earlier daemon listens on the block's pod addresses any more. Their ends are not ours
/// to be told of, so the socket table is read until they are through.
fn wait_until_vacant(block: AddressBlock) -> Result<(), DaemonError> {
    let deadline = Instant::now() + VACANT_WITHIN;
    loop {
        let left: Vec<SocketAddr> = holders::listening()
            .unwrap_or_default()
            .into_iter()
            .filter(|address| match address.ip() {
                IpAddr::V4(address) => {
                    let [a, b, c, _] = address.octets();
                    a == 127 && b == block.number() && c >= 128
                }
                IpAddr::V6(_) => false,
            })
            .collect();
        let Some(first) = left.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            let names: Vec<String> =
                left.iter().filter_map(|one| holders::of(*one)).map(|one| one.to_string()).collect();
            tracing::error!("{first} and {} more are not free", left.len() - 1);
            return Err(DaemonError::NotVacant { block, holders: names.join(", ") });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A fresh socket that only this user can open; one that a killed daemon left behind goes.
fn listen(path: &Path) -> Result<UnixListener, DaemonError> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(io_at(path)(error));
    }
    let listener = UnixListener::bind(path).map_err(io_at(path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io_at(path))?;
    Ok(listener)
}

/// The `kubernetes` Service has no selector: its endpoints are where the API server listens.
async fn publish_api_endpoints(registry: &Registry, api: SocketAddr) -> Result<(), Status> {
    let subsets = json!([{
        "addresses": [{"ip": api.ip().to_string()}],
        "ports": [{"name": "https", "port": api.port(), "protocol": "TCP"}],
    }]);
    match registry.get("endpoints", Some("default"), "kubernetes") {
        Ok(_) => {
            let changed = registry
                .modify("endpoints", Some("default"), "kubernetes", |stored| stored["subsets"] = subsets.clone());
            changed.await?;
        }
        Err(status) if status.is_not_found() => {
            let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": "kubernetes", "namespace": "default"}, "subsets": subsets});
            registry.create("endpoints", Some("default"), endpoints).await?;
        }
        Err(status) => return Err(status),
    }
    // The Service was made for the port of its first day.
    let changed = registry.modify("services", Some("default"), "kubernetes", |stored| {
        stored["spec"]["ports"][0]["targetPort"] = json!(api.port());
    });
    changed.await.map(drop)
}
