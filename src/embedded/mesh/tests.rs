//! The mesh on a real registry: an installation is stored, writes are judged, proxies are told and acknowledge.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::{Mesh, install_objects};
use crate::embedded::api::{Registry, RegistryOptions, ServiceRange};
use crate::embedded::store::Store;
use crate::gateway::control::{Applied, Hello, PROTOCOL, ProxyKind, Push, read_frame, write_frame};
use crate::routing::snapshot::ObjectVersion;

struct Lab {
    registry: Registry,
    mesh: Mesh,
    folder: tempfile::TempDir,
    stopping: CancellationToken,
}

/// A cluster with Istio installed and its control plane not running yet.
async fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.redb")).unwrap();
    let services = ServiceRange { network: [127, 77, 16, 0].into(), prefix: 20 };
    let registry = Registry::new(store, RegistryOptions { services });
    registry.bootstrap(6443).await.unwrap();
    let mesh = Mesh::new(registry.clone(), folder.path().join("mesh.sock"));
    registry.add_admission(std::sync::Arc::new(mesh.admission()));
    for object in install_objects().unwrap() {
        let (api, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let group = api.split_once('/').map_or("", |(group, _)| group);
        let resource = registry.catalog().of_kind(group, kind).unwrap_or_else(|| panic!("{api} {kind}")).full_name();
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        registry.create(&resource, namespace.as_deref(), object).await.unwrap();
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "tf-serving", "labels": {"istio-injection": "enabled"}}});
    registry.create("namespaces", None, namespace).await.unwrap();
    Lab { registry, mesh, folder, stopping: CancellationToken::new() }
}

impl Lab {
    /// Starts the control plane and connects a proxy to it.
    async fn proxy(&self, kind: ProxyKind) -> UnixStream {
        let (mesh, stopping) = (self.mesh.clone(), self.stopping.clone());
        tokio::spawn(async move { mesh.run(stopping).await.unwrap() });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        // The socket announces itself by nothing.
        let mut stream = loop {
            match UnixStream::connect(self.folder.path().join("mesh.sock")).await {
                Ok(stream) => break stream,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        let hello = Hello { protocol: PROTOCOL, kind, namespace: "istio-system".into(), name: "gateway-1".into() };
        write_frame(&mut stream, &hello).await.unwrap();
        stream
    }

    async fn create(&self, resource: &str, object: Value) -> Result<std::sync::Arc<Value>, String> {
        self.registry.create(resource, Some("tf-serving"), object).await.map_err(|status| status.message)
    }
}

fn gateway() -> Value {
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "Gateway", "metadata": {"name": "g"}, "spec": {
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "tensorflow/serving:2.5.1"}]}})
}

#[tokio::test]
async fn a_gateway_is_told_and_its_acknowledgement_counts() {
    let lab = lab().await;
    let mut proxy = lab.proxy(ProxyKind::Gateway).await;
    let gateways = "gateways.networking.istio.io";
    let Some(Push::Routes(first)) = read_frame(&mut proxy).await.unwrap() else { panic!("routes") };
    assert!(first.listeners.is_empty() && first.access_log);
    let answer = |revision| Applied { revision, listening: Vec::new(), refused: Vec::new() };
    write_frame(&mut proxy, &answer(first.revision)).await.unwrap();

    let stored = lab.create(gateways, gateway()).await.unwrap();
    let version = ObjectVersion {
        kind: "Gateway".into(),
        namespace: "tf-serving".into(),
        name: "g".into(),
        resource_version: stored["metadata"]["resourceVersion"].as_str().unwrap().into(),
    };
    let told = loop {
        let Some(Push::Routes(push)) = read_frame(&mut proxy).await.unwrap() else { panic!("routes") };
        if push.objects.contains(&version) {
            break push;
        }
        write_frame(&mut proxy, &answer(push.revision)).await.unwrap();
    };
    assert_eq!(told.listeners[0].port, 8080);
    assert!(!lab.mesh.status().is_acknowledged(&version), "not before the proxy says so");
    write_frame(&mut proxy, &answer(told.revision)).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !lab.mesh.status().is_acknowledged(&version) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", lab.mesh.status());
        tokio::task::yield_now().await;
    }
    lab.stopping.cancel();
}

#[tokio::test]
async fn webhooks_answer_only_while_the_control_plane_runs() {
    let lab = lab().await;
    let gateways = "gateways.networking.istio.io";
    let down = lab.create(gateways, gateway()).await.unwrap_err();
    assert!(down.contains("failed calling webhook \"validation.istio.io\""), "{down}");
    let down = lab.create("pods", pod("early")).await.unwrap_err();
    assert!(down.contains("no endpoints available for service \"istiod\""), "{down}");

    let mut proxy = lab.proxy(ProxyKind::Sidecar).await;
    assert!(read_frame::<Push>(&mut proxy).await.unwrap().is_some());
    let mut empty = gateway();
    empty["spec"]["servers"] = json!([]);
    assert_eq!(
        lab.create(gateways, empty).await.unwrap_err(),
        "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: gateway must have at least one server"
    );
    let mut https = gateway();
    https["spec"]["servers"][0]["port"]["protocol"] = json!("HTTPS");
    https["spec"]["servers"][0]["tls"] = json!({"mode": "SIMPLE", "credentialName": "s"});
    let refused = lab.create(gateways, https).await.unwrap_err();
    assert!(
        refused.starts_with("admission webhook \"limits.embedded.canary-lab\" denied the request: spec.servers[0]")
    );
    let stored = lab.create("pods", pod("late")).await.unwrap();
    assert_eq!(stored["spec"]["containers"][1]["name"], "istio-proxy");
    lab.stopping.cancel();
}
