//! The lab's own cluster: a daemon of this program in the background. The one file of the world that knows the box.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::api::{Api, ApiError, ObjectRef};
use super::apply::Applied;
use super::provider::{ClusterError, Entrance, Gate, MeshStanding, Provider, RouteVersion, Standing};
use super::removal::Removal;
use crate::embedded::admin::{AdminError, Client, ClusterStatus};
use crate::embedded::daemon::{ClusterPaths, DaemonRecord, DaemonStanding, LaunchError, launch, probe};
use crate::embedded::mesh::{MeshStatus, install_objects};
use crate::objects::{Gvk, meta};
use crate::process::{ProcessIdentity, kin};
use crate::routing::snapshot::ObjectVersion;
use crate::state::Home;
use crate::ui::Progress;

/// How long the daemon may take to end with all its children before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often a process is asked for that no event tells of.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long one object of the mesh may take to go, with all that depends on it.
const REMOVED_WITHIN: Duration = Duration::from_secs(45);
/// Objects of the mesh that are looked at side by side.
const AT_ONCE: usize = 8;
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

    /// The daemon and the processes below it, whether it can be asked or not, and those that an earlier one left behind.
    fn pids(&self) -> Vec<u32> {
        let recorded = DaemonRecord::read(&self.paths.record()).filter(|record| record.process.is_alive());
        let mut pids: Vec<u32> = recorded.into_iter().map(|record| record.process.pid).collect();
        pids.extend(
            self.kin().into_iter().map(|process| process.pid).filter(|pid| !pids.contains(pid)).collect::<Vec<_>>(),
        );
        pids
    }

    /// Every process of this home's cluster, found by what it was started with.
    fn kin(&self) -> Vec<ProcessIdentity> {
        kin::of_cluster(self.paths.home(), &self.paths.sockets())
    }

    async fn launch(&self, progress: &Progress) -> Result<(), ClusterError> {
        let mut standing = probe(&self.paths).await;
        if let DaemonStanding::OtherVersion(record) | DaemonStanding::Silent { record, .. } = &standing {
            progress.awaiting("waiting for a daemon of another version to end", None);
            end(record).await;
            standing = probe(&self.paths).await;
        }
        if matches!(standing, DaemonStanding::Down { .. }) && !self.is_coming_or_going() {
            // Children that outlived their daemon (one that is stopped hears of nothing) would hold its addresses.
            self.kin().into_iter().for_each(|orphan| orphan.signal(Signal::KILL));
        }
        let started = Instant::now();
        while !matches!(standing, DaemonStanding::Running(_)) {
            progress.awaiting("waiting for the embedded cluster's API", None);
            match launch(&self.paths, &self.program).await {
                Ok(_) => return Ok(()),
                // One that an interrupted command has started may be on its way up, or on its way down.
                Err(LaunchError::Refused(_)) if started.elapsed() < STOP_WITHIN && self.is_coming_or_going() => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(self.not_started(error)),
            }
            standing = probe(&self.paths).await;
        }
        Ok(())
    }

    /// Whether a daemon of this home lives, though nobody may have heard of it yet.
    fn is_coming_or_going(&self) -> bool {
        !kin::daemons_of(self.paths.home()).is_empty()
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
            let below = self.kin();
            match probe(&self.paths).await {
                DaemonStanding::Running(record)
                | DaemonStanding::OtherVersion(record)
                | DaemonStanding::Silent { record, .. } => end(&record).await,
                DaemonStanding::Down { .. } => {}
            }
            // One that was still starting, and children that outlived a daemon: nobody else ends them.
            for process in self.kin() {
                if kin::daemons_of(self.paths.home()).contains(&process) {
                    process.signal(Signal::TERM);
                } else {
                    process.signal(Signal::KILL);
                }
            }
            for process in below.into_iter().chain(self.kin()) {
                if !process.gone_within(STOP_WITHIN).await {
                    process.signal(Signal::KILL);
                    if !process.gone_within(STOP_WITHIN).await {
                        left.push(format!("process {}", process.pid));
                    }
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

    fn probe_mesh<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<MeshStanding, ClusterError>> {
        Box::pin(async move {
            // Kinds of one group are looked up once; the definitions come first and their objects are not asked for.
            let looks = mesh_objects()?.into_iter().map(|object| look_at(api, object));
            let found: Vec<Look> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
            let mut standing = MeshStanding::default();
            for look in found {
                match look {
                    Look::Missing { label, .. } => standing.missing.push(label),
                    Look::Same(live) => standing.objects.push(live),
                    Look::Changed { label, live, fields, .. } => {
                        standing.changed.push(format!("{label} differs in {}", fields.join(", ")));
                        standing.objects.push(live);
                    }
                }
            }
            Ok(standing)
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
                match look_at(api, object).await? {
                    Look::Same(_) => {}
                    Look::Missing { label, object } => {
                        progress.awaiting("installing Istio", Some(label));
                        match api.create(&object, INSTALLER).await {
                            Ok(object) => created.push(object),
                            Err(error) if error.is_already_there() => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                    Look::Changed { label, object, live, .. } => {
                        progress.awaiting("mending Istio", Some(label));
                        let (Applied::Created(_) | Applied::Configured(_) | Applied::Unchanged(_)) =
                            api.mend(&object, live, INSTALLER).await?;
                    }
                }
            }
            Ok(created)
        })
    }

    fn remove_mesh<'a>(
        &'a self,
        api: &'a Api,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Vec<String>, ClusterError>> {
        Box::pin(async move {
            let mut removed = Vec::new();
            // Webhooks first: they would judge what follows, and outlive whoever answers them.
            for object in mesh_objects()?.into_iter().rev() {
                let Some(reference) = ObjectRef::of(&object) else { continue };
                progress.awaiting("removing Istio", Some(reference.label()));
                match api.remove(&reference, None, REMOVED_WITHIN).await? {
                    Removal::Gone => removed.push(reference.label()),
                    Removal::Absent | Removal::AnotherOne => {}
                    Removal::Lingers => {
                        let text = format!("{} is still being deleted", reference.label());
                        return Err(ClusterError::Api(ApiError::Unexpected(text)));
                    }
                }
            }
            // What istiod puts into every namespace goes with it.
            for map in api.list(&Gvk::new("", "v1", "ConfigMap"), None, "istio.io/config=true").await? {
                let reference = ObjectRef::new("v1", "ConfigMap", meta::namespace(&map), meta::name(&map));
                if meta::name(&map) == "istio-ca-root-cert" && api.delete(&reference, None).await? {
                    removed.push(reference.label());
                }
            }
            Ok(removed)
        })
    }

    fn probe_tunnel(&self) -> BoxFuture<'_, Result<Entrance, ClusterError>> {
        Box::pin(async {
            let runs = self.status().await?.tunnel;
            Ok(if runs { Entrance::Open } else { Entrance::Shut("the tunnel does not run".to_owned()) })
        })
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

    fn facts(&self) -> BoxFuture<'_, Value> {
        Box::pin(async {
            let standing = match probe(&self.paths).await {
                DaemonStanding::Running(record) => record,
                other => return json!({"standing": why_down(&other)}),
            };
            let client = Client::new(&standing.admin_socket);
            let status = client.status().await.map_or_else(|error| json!(error.to_string()), |status| json!(status));
            let mesh = client.mesh::<Value>().await.unwrap_or_else(|error| json!(error.to_string()));
            json!({"standing": "runs", "record": standing, "status": status, "mesh": mesh})
        })
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<u32>, ClusterError>> {
        Box::pin(async { Ok(self.pids()) })
    }

    fn direct_addresses(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        Box::pin(async {
            let status = match self.status().await {
                Ok(status) => status,
                // Which block it will have is not known yet; every one lies in here.
                Err(ClusterError::NotRunning(_)) => return Ok(vec!["127.0.0.0/8".to_owned()]),
                Err(error) => return Err(error),
            };
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

/// One of the mesh's objects, compared with how it was installed.
enum Look {
    Missing { label: String, object: Value },
    Same(Value),
    Changed { label: String, object: Value, live: Value, fields: Vec<String> },
}

async fn look_at(api: &Api, object: Value) -> Result<Look, ClusterError> {
    let Some(reference) = ObjectRef::of(&object) else {
        return Err(ApiError::Unexpected("an object of the mesh has no name".to_owned()).into());
    };
    let label = reference.label();
    let Some(live) = api.get(&reference).await? else { return Ok(Look::Missing { label, object }) };
    let fields = api.deviations(&object, &live).await?;
    Ok(if fields.is_empty() { Look::Same(live) } else { Look::Changed { label, object, live, fields } })
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
        record.process.signal(Signal::TERM);
    }
    if !record.process.gone_within(STOP_WITHIN).await {
        record.process.signal(Signal::KILL);
        let _ = record.process.gone_within(STOP_WITHIN).await;
    }
}
