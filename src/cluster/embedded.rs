//! The lab's own cluster: a daemon of this program in the background. The one file of the world that knows the box.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::Value;

use super::api::{Api, ApiError, ObjectRef};
use super::provider::{ClusterError, Gate, Provider, RouteVersion, Standing};
use crate::embedded::admin::{AdminError, Client, ClusterStatus};
use crate::embedded::daemon::{ClusterPaths, DaemonRecord, DaemonStanding, LaunchError, launch, probe};
use crate::embedded::mesh::{MeshStatus, install_objects};
use crate::process::ProcessIdentity;
use crate::routing::snapshot::ObjectVersion;
use crate::state::Home;
use crate::ui::Progress;

/// How long the daemon may take to end with all its children before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often a process is asked for that no event tells of.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of the daemon's log that a failure shows.
const LOG_LINES: usize = 5;
/// The manager of the objects that installing the mesh makes, as istioctl names itself.
const INSTALLER: &str = "istio-operator";

/// The embedded cluster of a home.
#[derive(Debug, Clone)]
pub struct Embedded {
    home: Home,
    paths: ClusterPaths,
    kubeconfig: PathBuf,
    program: PathBuf,
}

impl Embedded {
    /// The cluster of `home`; `program` is this program's file, which the daemon is started from.
    pub fn new(home: Home, program: PathBuf) -> Self {
        let paths = ClusterPaths::new(home.root());
        let kubeconfig = paths.kubeconfig();
        Self { home, paths, kubeconfig, program }
    }

    /// A client of the running daemon.
    async fn daemon(&self) -> Result<Client, ClusterError> {
        match probe(&self.paths).await {
            DaemonStanding::Running(record) => Ok(Client::new(record.admin_socket)),
            other => Err(ClusterError::NotRunning(why_down(&other))),
        }
    }

    async fn status(&self) -> Result<ClusterStatus, ClusterError> {
        Ok(self.daemon().await?.status().await?)
    }

    /// The daemon's record and the processes below it, if it can be asked; else only the daemon.
    async fn pids(&self) -> Vec<u32> {
        match probe(&self.paths).await {
            DaemonStanding::Running(record) => {
                let status = Client::new(&record.admin_socket).status().await;
                let children = status.map(|status| status.processes.iter().map(|process| process.pid).collect());
                let mut pids: Vec<u32> = children.unwrap_or_default();
                pids.insert(0, record.process.pid);
                pids
            }
            DaemonStanding::OtherVersion(record) | DaemonStanding::Silent { record, .. } => vec![record.process.pid],
            DaemonStanding::Down { .. } => Vec::new(),
        }
    }

    async fn launch(&self, progress: &Progress) -> Result<(), ClusterError> {
        let standing = probe(&self.paths).await;
        if let DaemonStanding::OtherVersion(record) | DaemonStanding::Silent { record, .. } = &standing {
            progress.awaiting("waiting for a daemon of another version to end", None);
            end(record).await;
        }
        if !matches!(standing, DaemonStanding::Running(_)) {
            progress.awaiting("waiting for the embedded cluster's API", None);
            launch(&self.paths, &self.program).await.map_err(|error| self.not_started(error))?;
        }
        Ok(())
    }

    fn not_started(&self, error: LaunchError) -> ClusterError {
        let log_file = self.paths.daemon_log();
        let text = std::fs::read_to_string(&log_file).unwrap_or_default();
        let mut log: Vec<String> = text.lines().rev().take(LOG_LINES).map(str::to_owned).collect();
        log.reverse();
        ClusterError::NotStarted { what: error.to_string(), log, log_file }
    }

    /// Follows what the gateways have acknowledged until it covers every version in `wanted`.
    async fn acknowledged(&self, wanted: &[ObjectVersion], patience: Duration) -> Result<Gate, ClusterError> {
        let daemon = self.daemon().await?;
        let started = Instant::now();
        loop {
            let status: MeshStatus = daemon.mesh().await?;
            let behind: Vec<&ObjectVersion> = wanted.iter().filter(|object| !status.is_acknowledged(object)).collect();
            let Some(first) = behind.first() else {
                let seen = format!("every gateway obeys revision {}", status.revision);
                return Ok(Gate { by: "the gateway's acknowledgement".to_owned(), seen });
            };
            let waited = started.elapsed();
            if waited > patience {
                let known = status.objects.iter().find(|object| object.kind == first.kind && object.name == first.name);
                let seen = known.map_or("none".to_owned(), |object| object.resource_version.clone());
                let wanted = format!("{} {} of {}", first.kind, first.name, first.resource_version);
                return Err(ClusterError::RouteNotLive { seen, wanted, waited });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Provider for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn logs(&self) -> PathBuf {
        self.paths.cluster().join("logs")
    }

    fn probe(&self) -> BoxFuture<'_, Result<Standing, ClusterError>> {
        Box::pin(async {
            Ok(match probe(&self.paths).await {
                DaemonStanding::Running(record) => {
                    Standing::Runs { api: record.api.trim_start_matches("https://").to_owned() }
                }
                other => Standing::Down(why_down(&other)),
            })
        })
    }

    fn start<'a>(&'a self, progress: &'a Progress) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(self.launch(progress))
    }

    fn stop(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let mut left = Vec::new();
            let below: Vec<ProcessIdentity> = self.pids().await.into_iter().filter_map(ProcessIdentity::of).collect();
            match probe(&self.paths).await {
                DaemonStanding::Running(record)
                | DaemonStanding::OtherVersion(record)
                | DaemonStanding::Silent { record, .. } => end(&record).await,
                DaemonStanding::Down { .. } => {}
            }
            // Children end with their lifeline; a moment later they are gone.
            for process in below {
                if !gone(process, STOP_WITHIN).await {
                    left.push(format!("process {}", process.pid));
                }
            }
            let sockets = self.paths.sockets();
            if sockets != self.paths.cluster() && sockets.is_dir() && std::fs::remove_dir_all(&sockets).is_err() {
                left.push(sockets.display().to_string());
            }
            Ok(left)
        })
    }

    fn mesh_name(&self, release: &str) -> String {
        format!("Istio {release} semantics (embedded mesh)")
    }

    fn probe_mesh<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(async move {
            let mut missing = Vec::new();
            for object in mesh_objects()? {
                let Some(reference) = ObjectRef::of(&object) else { continue };
                if api.get(&reference).await?.is_none() {
                    missing.push(reference.label());
                }
            }
            Ok(missing)
        })
    }

    fn install_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<Value>, ClusterError>> {
        Box::pin(async move {
            let mut created = Vec::new();
            for object in mesh_objects()? {
                let Some(reference) = ObjectRef::of(&object) else { continue };
                if api.get(&reference).await?.is_some() {
                    continue;
                }
                progress.awaiting("installing Istio", Some(reference.label()));
                match api.create(&object, INSTALLER).await {
                    Ok(object) => created.push(object),
                    Err(error) if error.is_already_there() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(created)
        })
    }

    fn probe_tunnel(&self) -> BoxFuture<'_, Result<bool, ClusterError>> {
        Box::pin(async { Ok(self.status().await?.tunnel) })
    }

    fn set_tunnel(&self, running: bool) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            self.daemon().await?.set_tunnel(running).await?;
            Ok(())
        })
    }

    fn models_on_node(&self) -> PathBuf {
        self.home.models()
    }

    fn routes_live<'a>(
        &'a self,
        routes: &'a [RouteVersion],
        patience: Duration,
    ) -> BoxFuture<'a, Result<Gate, ClusterError>> {
        let wanted: Vec<ObjectVersion> = routes
            .iter()
            .map(|route| ObjectVersion {
                kind: route.kind.clone(),
                namespace: route.namespace.clone(),
                name: route.name.clone(),
                resource_version: route.resource_version.clone(),
            })
            .collect();
        Box::pin(async move { self.acknowledged(&wanted, patience).await })
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<u32>, ClusterError>> {
        Box::pin(async { Ok(self.pids().await) })
    }

    fn direct_addresses(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let status = self.status().await?;
            let block = format!("127.{}.0.0/16", status.block.number());
            Ok(vec![status.external.to_string(), status.node.to_string(), block])
        })
    }
}

impl From<AdminError> for ClusterError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unreachable { .. } => Self::NotRunning(error.to_string()),
            AdminError::Interrupted { .. } | AdminError::Refused { .. } => {
                Self::Api(ApiError::Unexpected(error.to_string()))
            }
        }
    }
}

/// What an installation of the mesh leaves behind.
fn mesh_objects() -> Result<Vec<Value>, ClusterError> {
    install_objects().map_err(|error| ClusterError::Api(ApiError::Unexpected(error.to_string())))
}

fn why_down(standing: &DaemonStanding) -> String {
    match standing {
        DaemonStanding::Running(record) => format!("the daemon (process {}) runs", record.process.pid),
        DaemonStanding::OtherVersion(record) => {
            format!("the daemon (process {}) is of version {}", record.process.pid, record.version)
        }
        DaemonStanding::Silent { record, error } => {
            format!("the daemon (process {}) is silent: {error}", record.process.pid)
        }
        DaemonStanding::Down { left: Some(record) } => {
            format!("the daemon (process {}) ended without being stopped", record.process.pid)
        }
        DaemonStanding::Down { left: None } => "no daemon was started, or it was stopped".to_owned(),
    }
}

/// Asks the daemon to end; kills it when it does not.
async fn end(record: &DaemonRecord) {
    // A daemon that does not answer is told by a signal.
    if Client::new(&record.admin_socket).stop().await.is_err() {
        signal(record.process, rustix::process::Signal::TERM);
    }
    if !gone(record.process, STOP_WITHIN).await {
        signal(record.process, rustix::process::Signal::KILL);
        let _ = gone(record.process, STOP_WITHIN).await;
    }
}

fn signal(process: ProcessIdentity, signal: rustix::process::Signal) {
    if !process.is_alive() {
        return;
    }
    if let Some(pid) = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw) {
        // The process may end between the look and the signal; then nothing is left to do.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits for the end of a process that is not our child, which no event tells.
async fn gone(process: ProcessIdentity, within: Duration) -> bool {
    let started = Instant::now();
    while process.is_alive() {
        if started.elapsed() > within {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
