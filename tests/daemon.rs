//! The embedded cluster as a daemon: started, asked, stopped, killed and started again, each in a home of its own.

#![allow(clippy::unwrap_used)] // A test file: whatever is missing fails the test.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use canary_lab::embedded::admin::Client;
use canary_lab::embedded::daemon::{ClusterPaths, DaemonRecord, DaemonStanding, LaunchError, launch, probe};
use canary_lab::process::ProcessIdentity;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Nothing here takes long; this is for machines that are busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// The block that the next home asks for. A new home would take the first that is free, and a test beside this one could
/// have it the moment that a daemon here is killed; so each home settles on one of its own, from the upper end.
static NEXT_BLOCK: AtomicU8 = AtomicU8::new(126);

/// A home whose daemon is stopped when the test ends, in whatever way.
struct Lab {
    home: tempfile::TempDir,
    paths: ClusterPaths,
}

impl Lab {
    fn new() -> Self {
        // An install of the same provider by another test is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir().unwrap();
        let paths = ClusterPaths::new(home.path());
        let lab = Self { home, paths };
        let block = NEXT_BLOCK.fetch_sub(1, Ordering::Relaxed);
        lab.write_network(&serde_json::json!({
            "protocol": 1, "block": block, "api": format!("127.{block}.0.2:6443"),
            "ingress": {"http": 80, "https": 443, "status": 15021}, "tunnel": false,
        }));
        lab
    }

    /// Makes the addresses of an earlier daemon this home's.
    fn write_network(&self, settings: &serde_json::Value) {
        std::fs::create_dir_all(self.home.path().join("cluster")).unwrap();
        std::fs::write(self.home.path().join("cluster/network.json"), settings.to_string()).unwrap();
    }

    fn network(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.home.path().join("cluster/network.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn launch(&self) -> DaemonRecord {
        launch(&self.paths, Path::new(env!("CARGO_BIN_EXE_canary-lab"))).await.unwrap()
    }

    async fn client(&self) -> kube::Client {
        let config = Kubeconfig::read_from(self.paths.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(record) = DaemonRecord::read(&self.paths.record())
            && record.process.is_alive()
        {
            kill(record.process, rustix::process::Signal::KILL);
        }
    }
}

fn kill(process: ProcessIdentity, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Looks until the test holds: processes that are not our children tell nobody of their end.
async fn until(what: &str, mut test: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !test().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "data": {"a": "b"}})).unwrap()
}

#[tokio::test]
async fn a_daemon_answers_when_it_is_launched_and_leaves_nothing_when_it_stops() {
    let lab = Lab::new();
    assert!(matches!(probe(&lab.paths).await, DaemonStanding::Down { left: None }));
    let record = lab.launch().await;
    assert!(matches!(probe(&lab.paths).await, DaemonStanding::Running(_)));
    let namespaces: Api<Namespace> = Api::all(lab.client().await);
    let names: Vec<_> = namespaces.list(&ListParams::default()).await.unwrap().items;
    assert!(names.iter().any(|one| one.metadata.name.as_deref() == Some("kube-system")));
    let admin = Client::new(&record.admin_socket);
    let status = admin.status().await.unwrap();
    assert_eq!((status.api, status.tunnel, status.block), (record.api, false, record.block));
    admin.set_tunnel(true).await.unwrap();
    assert!(admin.status().await.unwrap().tunnel);

    admin.stop().await.unwrap();
    until("the daemon runs on", async || !record.process.is_alive()).await;
    assert!(!lab.paths.record().exists() && !record.admin_socket.exists());
    assert!(admin.version().await.is_err());
    let again = lab.launch().await;
    assert_eq!(again.block, record.block, "the block is kept");
    assert!(Client::new(&again.admin_socket).status().await.unwrap().tunnel, "so is the tunnel");
}

#[tokio::test]
async fn one_home_has_one_daemon_and_two_homes_have_two() {
    let (one, other) = (Lab::new(), Lab::new());
    let first = one.launch().await;
    let refused = launch(&one.paths, Path::new(env!("CARGO_BIN_EXE_canary-lab"))).await.unwrap_err();
    let LaunchError::Refused(reason) = refused else { panic!("{refused}") };
    assert!(reason.contains(&format!("(pid {})", first.process.pid)), "{reason}");
    let second = other.launch().await;
    assert_ne!(first.block, second.block);
    let maps = |client: kube::Client| -> Api<ConfigMap> { Api::namespaced(client, "default") };
    maps(one.client().await).create(&PostParams::default(), &config_map("mine")).await.unwrap();
    assert!(maps(other.client().await).get_opt("mine").await.unwrap().is_none());
}

#[tokio::test]
async fn a_killed_daemon_is_taken_up_by_the_next() {
    let lab = Lab::new();
    let record = lab.launch().await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client().await, "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
    kill(record.process, rustix::process::Signal::KILL);
    until("the daemon survives", async || !record.process.is_alive()).await;
    assert!(matches!(probe(&lab.paths).await, DaemonStanding::Down { left: Some(_) }));
    assert!(record.admin_socket.exists(), "a killed daemon cannot tidy up");
    let next = lab.launch().await;
    assert_eq!((&next.api, next.block), (&record.api, record.block));
    let maps: Api<ConfigMap> = Api::namespaced(lab.client().await, "default");
    assert!(maps.get_opt("kept").await.unwrap().is_some());
}

#[tokio::test]
async fn a_cluster_moves_when_its_block_is_taken() {
    let (lab, other) = (Lab::new(), Lab::new());
    let record = lab.launch().await;
    Client::new(&record.admin_socket).stop().await.unwrap();
    until("the daemon runs on", async || !record.process.is_alive()).await;
    // Another lab takes the block that lies free now.
    other.write_network(&lab.network());
    let taker = other.launch().await;
    assert_eq!(taker.block, record.block);
    let moved = lab.launch().await;
    assert_ne!(moved.block, record.block);
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(lab.client().await, "default");
    let address = services.get("kubernetes").await.unwrap().spec.unwrap().cluster_ip.unwrap();
    assert_eq!(address, moved.block.cluster_ip(1).to_string());
}

fn serving_pod(name: &str, models: &Path) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "serving", "image": "tensorflow/serving:2.5.1", "args": ["--model_base_path=/models/tiny"],
                "volumeMounts": [{"name": "model", "mountPath": "/models/tiny"}],
            }],
            "volumes": [{"name": "model", "hostPath": {"path": models}}],
        },
    }))
    .unwrap()
}

fn restarts(pod: &Pod) -> Option<i32> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.state.as_ref()?.running.as_ref().map(|_| status.restart_count)
}

async fn wait_for_restarts(pods: &Api<Pod>, name: &str, wanted: i32) {
    until(&format!("pod {name} does not run with {wanted} restarts"), async || {
        pods.get(name).await.is_ok_and(|pod| restarts(&pod) == Some(wanted))
    })
    .await;
}

async fn process_of(record: &DaemonRecord, pod: &str) -> ProcessIdentity {
    let status = Client::new(&record.admin_socket).status().await.unwrap();
    let process = status.processes.iter().find(|process| process.pod == pod).unwrap();
    ProcessIdentity::of(process.pid).unwrap()
}

#[tokio::test]
async fn containers_are_restarted_and_end_with_the_daemon() {
    let lab = Lab::new();
    let models = lab.home.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let record = lab.launch().await;
    let pods: Api<Pod> = Api::namespaced(lab.client().await, "default");
    pods.create(&PostParams::default(), &serving_pod("p", &models)).await.unwrap();
    wait_for_restarts(&pods, "p", 0).await;
    let first = process_of(&record, "p").await;
    kill(first, rustix::process::Signal::KILL);
    wait_for_restarts(&pods, "p", 1).await;
    let ended = pods.get("p").await.unwrap().status.unwrap().container_statuses.unwrap()[0].last_state.clone().unwrap();
    assert_eq!(ended.terminated.unwrap().exit_code, 137);

    let second = process_of(&record, "p").await;
    assert_ne!(first, second);
    kill(record.process, rustix::process::Signal::KILL);
    until("the container outlives the daemon", async || !second.is_alive()).await;
    let record = lab.launch().await;
    let pods: Api<Pod> = Api::namespaced(lab.client().await, "default");
    wait_for_restarts(&pods, "p", 2).await;

    let third = process_of(&record, "p").await;
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    until("the pod stays", async || pods.get_opt("p").await.unwrap().is_none()).await;
    assert!(!third.is_alive());

    pods.create(&PostParams::default(), &serving_pod("q", &models)).await.unwrap();
    wait_for_restarts(&pods, "q", 0).await;
    let last = process_of(&record, "q").await;
    let stopping = tokio::time::Instant::now();
    kill(record.process, rustix::process::Signal::TERM);
    until("the daemon runs on", async || !record.process.is_alive()).await;
    assert!(!last.is_alive(), "a stopped daemon has no children left");
    assert!(stopping.elapsed() < Duration::from_secs(10));
}
