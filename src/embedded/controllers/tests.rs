//! The controllers together, on a registry in a temporary directory; a stand-in for the kubelet says what becomes of
//! pods.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{ControllerOptions, start};
use crate::embedded::api::admission::{Admission, AdmissionRequest, Denial};
use crate::embedded::api::{DeleteOptions, Propagation, Registry, RegistryOptions, ServiceRange};
use crate::embedded::network::AddressBlock;
use crate::embedded::store::Store;
use crate::objects::meta;

struct Cluster {
    registry: Registry,
    tunnel: watch::Sender<bool>,
    _tasks: JoinSet<()>,
    _home: tempfile::TempDir,
}

async fn cluster() -> Cluster {
    let home = tempfile::tempdir().unwrap();
    let block = AddressBlock::new(70).unwrap();
    let store = Store::open(&home.path().join("store.redb")).unwrap();
    let services = ServiceRange { network: block.cluster_ip(0), prefix: 20 };
    let registry = Registry::new(store, RegistryOptions { services });
    registry.bootstrap(6443).await.unwrap();
    let (tunnel, receiver) = watch::channel(false);
    let options =
        ControllerOptions { block, certificate: "PEM".into(), tunnel: receiver, claims: home.path().join("claims") };
    let mut tasks = start(&registry, options).await.unwrap();
    tasks.spawn(kubelet(registry.clone(), block));
    Cluster { registry, tunnel, _tasks: tasks, _home: home }
}

/// Makes every pod with a node ready at once, unless its image is `broken`, and removes those that are being deleted.
async fn kubelet(registry: Registry, block: AddressBlock) {
    let mut pods = registry.watch("pods", None);
    let mut next = 2;
    loop {
        let event = pods.next().await;
        let pod = event.object();
        let (namespace, name) = (meta::namespace(pod), meta::name(pod));
        if event.is_deleted() || !pod["spec"]["nodeName"].is_string() {
            continue;
        }
        if meta::is_terminating(pod) {
            let _ = registry.finalize_pod(namespace.unwrap(), name, meta::uid(pod)).await;
        } else if !pod["status"]["podIP"].is_string() {
            let ready = if pod["spec"]["containers"][0]["image"] == "broken" { "False" } else { "True" };
            let ip: Ipv4Addr = block.pod(next);
            next += 1;
            let written = registry.modify("pods", namespace, name, |stored| {
                stored["status"]["podIP"] = json!(ip.to_string());
                stored["status"]["phase"] = json!("Running");
                let conditions = stored["status"]["conditions"].as_array_mut().unwrap();
                conditions
                    .push(json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-23T09:14:37Z"}));
            });
            let _ = written.await;
        }
    }
}

/// Waits until the objects of a resource satisfy the test; says what they are when they never do.
async fn eventually(registry: &Registry, resource: &str, test: impl Fn(&[Arc<Value>]) -> bool) -> Vec<Arc<Value>> {
    let mut watch = registry.watch(resource, None);
    let waiting = async {
        loop {
            let (objects, _) = registry.list(resource, None).unwrap();
            if test(&objects) {
                return objects;
            }
            watch.next().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    found.unwrap_or_else(|_| panic!("{resource} never got there: {:#?}", registry.list(resource, None).unwrap().0))
}

fn deployment(name: &str, replicas: u64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8501}]}]},
            },
        },
    })
}

fn named<'a>(objects: &'a [Arc<Value>], name: &str) -> Option<&'a Arc<Value>> {
    objects.iter().find(|object| meta::name(object) == name)
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    object["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == *kind).unwrap()
}

async fn available(cluster: &Cluster, name: &str, replicas: u64) -> Arc<Value> {
    let found = eventually(&cluster.registry, "deployments.apps", |all| {
        named(all, name).is_some_and(|one| {
            one["status"]["availableReplicas"].as_u64().unwrap_or(0) == replicas
                && one["status"]["updatedReplicas"].as_u64().unwrap_or(0) == replicas
                && one["status"]["replicas"].as_u64().unwrap_or(0) == replicas
                && one["status"]["observedGeneration"] == one["metadata"]["generation"]
        })
    });
    Arc::clone(named(&found.await, name).unwrap())
}

#[tokio::test]
async fn a_deployment_becomes_available_and_tells_about_it() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    registry.create("deployments.apps", Some("default"), deployment("web", 2, "a")).await.unwrap();
    let web = available(&cluster, "web", 2).await;
    assert_eq!(condition(&web, "Available")["reason"], "MinimumReplicasAvailable");
    assert_eq!(condition(&web, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let (sets, _) = registry.list("replicasets.apps", None).unwrap();
    let set_name = meta::name(&sets[0]).to_owned();
    let (pods, _) = registry.list("pods", None).unwrap();
    assert!(pods.iter().all(|pod| meta::name(pod).starts_with(&format!("{set_name}-"))));
    assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] == super::NODE_NAME));
    let events = eventually(registry, "events", |events| {
        ["SuccessfulCreate", "ScalingReplicaSet", "Scheduled"]
            .iter()
            .all(|reason| events.iter().any(|event| event["reason"] == *reason))
    });
    let events = events.await;
    let scaled = events.iter().find(|event| event["reason"] == "ScalingReplicaSet").unwrap();
    assert_eq!(scaled["message"], format!("Scaled up replica set {set_name} to 2"));
    assert_eq!(scaled["source"]["component"], "deployment-controller");
}

#[tokio::test]
async fn a_new_template_rolls_out_and_an_old_one_comes_back() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    registry.create("deployments.apps", Some("default"), deployment("web", 3, "a")).await.unwrap();
    available(&cluster, "web", 3).await;
    let set_image = async |image: &str| {
        let image = image.to_owned();
        let changed = registry.modify("deployments.apps", Some("default"), "web", |stored| {
            stored["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
        changed.await.unwrap();
    };
    set_image("b").await;
    available(&cluster, "web", 3).await;
    set_image("a").await;
    let web = available(&cluster, "web", 3).await;
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    let (sets, _) = registry.list("replicasets.apps", None).unwrap();
    assert_eq!(sets.len(), 2, "the first template's set is used again");
    let wanted: Vec<u64> = sets.iter().map(|set| set["spec"]["replicas"].as_u64().unwrap()).collect();
    assert_eq!(wanted.iter().sum::<u64>(), 3, "{wanted:?}");
}

#[tokio::test]
async fn a_broken_template_leaves_the_old_pods_alone() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    registry.create("deployments.apps", Some("default"), deployment("web", 1, "a")).await.unwrap();
    available(&cluster, "web", 1).await;
    let changed = registry.modify("deployments.apps", Some("default"), "web", |stored| {
        stored["spec"]["template"]["spec"]["containers"][0]["image"] = json!("broken");
    });
    changed.await.unwrap();
    let found = eventually(registry, "deployments.apps", |all| {
        let status = &all[0]["status"];
        status["updatedReplicas"] == 1 && status["replicas"] == 2 && status["availableReplicas"] == 1
    });
    let web = &found.await[0];
    assert_eq!(web["status"]["unavailableReplicas"], 1);
    assert_eq!(condition(web, "Available")["status"], "True");
    // Scaling in the middle of it removes the broken pod's set in proportion, never the working pod alone.
    let changed =
        registry.modify("deployments.apps", Some("default"), "web", |stored| stored["spec"]["replicas"] = json!(0));
    changed.await.unwrap();
    eventually(registry, "pods", <[_]>::is_empty).await;
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_and_a_stray_one_adopted() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    registry.create("deployments.apps", Some("default"), deployment("web", 1, "a")).await.unwrap();
    available(&cluster, "web", 1).await;
    let (pods, _) = registry.list("pods", None).unwrap();
    let first = meta::name(&pods[0]).to_owned();
    let _ = registry.delete("pods", Some("default"), &first, DeleteOptions::default()).await.unwrap();
    eventually(registry, "pods", |pods| pods.len() == 1 && meta::name(&pods[0]) != first).await;
    // A pod with the set's labels and no owner makes one too many, so one has to go.
    let (sets, _) = registry.list("replicasets.apps", None).unwrap();
    let stray = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "stray", "namespace": "default", "labels": sets[0]["spec"]["template"]["metadata"]["labels"]},
        "spec": {"containers": [{"name": "c", "image": "a"}]}});
    registry.create("pods", Some("default"), stray).await.unwrap();
    eventually(registry, "events", |events| events.iter().any(|event| event["reason"] == "SuccessfulDelete")).await;
    let left = eventually(registry, "pods", |pods| pods.len() == 1).await;
    assert!(meta::controller_of(&left[0]).is_some());
}

#[tokio::test]
async fn a_service_knows_its_ready_pods_and_gets_an_address_from_the_tunnel() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    registry.create("deployments.apps", Some("default"), deployment("web", 1, "a")).await.unwrap();
    registry.create("deployments.apps", Some("default"), deployment("sick", 1, "broken")).await.unwrap();
    for name in ["web", "sick"] {
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}});
        registry.create("services", Some("default"), service).await.unwrap();
    }
    let endpoints = eventually(registry, "endpoints", |all| {
        named(all, "web").is_some_and(|one| one["subsets"][0]["addresses"].is_array())
            && named(all, "sick").is_some_and(|one| one["subsets"][0]["notReadyAddresses"].is_array())
    });
    let endpoints = endpoints.await;
    assert_eq!(named(&endpoints, "web").unwrap()["subsets"][0]["ports"][0]["port"], 8501);
    eventually(registry, "endpointslices.discovery.k8s.io", |all| {
        all.iter().any(|one| one["endpoints"][0]["conditions"]["ready"] == true)
    })
    .await;
    let addresses = |all: &[Arc<Value>]| -> usize {
        all.iter().filter(|one| one["status"]["loadBalancer"]["ingress"].is_array()).count()
    };
    assert_eq!(addresses(&registry.list("services", None).unwrap().0), 0);
    cluster.tunnel.send_replace(true);
    let services = eventually(registry, "services", |all| addresses(all) == 2).await;
    let ip = |name: &str| named(&services, name).unwrap()["status"]["loadBalancer"]["ingress"][0]["ip"].clone();
    assert_ne!(ip("web"), ip("sick"));
    cluster.tunnel.send_replace(false);
    eventually(registry, "services", |all| addresses(all) == 0).await;
    let _ = registry.delete("services", Some("default"), "web", DeleteOptions::default()).await.unwrap();
    eventually(registry, "endpoints", |all| named(all, "web").is_none()).await;
    eventually(registry, "endpointslices.discovery.k8s.io", |all| all.len() == 1).await;
}

#[tokio::test]
async fn deleting_a_deployment_takes_its_pods_along_or_leaves_them() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    for (name, propagation) in [("back", Propagation::Background), ("fore", Propagation::Foreground)] {
        registry.create("deployments.apps", Some("default"), deployment(name, 2, "a")).await.unwrap();
        available(&cluster, name, 2).await;
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let _ = registry.delete("deployments.apps", Some("default"), name, options).await.unwrap();
        for resource in ["pods", "replicasets.apps", "deployments.apps"] {
            eventually(registry, resource, <[_]>::is_empty).await;
        }
    }
    registry.create("deployments.apps", Some("default"), deployment("orphan", 1, "a")).await.unwrap();
    available(&cluster, "orphan", 1).await;
    let options = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    let _ = registry.delete("deployments.apps", Some("default"), "orphan", options).await.unwrap();
    eventually(registry, "deployments.apps", <[_]>::is_empty).await;
    let sets =
        eventually(registry, "replicasets.apps", |sets| sets.len() == 1 && meta::owner_references(&sets[0]).is_empty());
    sets.await;
    assert_eq!(registry.list("pods", None).unwrap().0.len(), 1);
}

#[tokio::test]
async fn namespaces_come_furnished_and_go_emptied() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab"}});
    registry.create("namespaces", None, namespace).await.unwrap();
    eventually(registry, "configmaps", |all| {
        all.iter().any(|one| meta::namespace(one) == Some("lab") && one["data"]["ca.crt"] == "PEM")
    })
    .await;
    eventually(registry, "serviceaccounts", |all| all.iter().any(|one| meta::namespace(one) == Some("lab"))).await;
    let mut web = deployment("web", 1, "a");
    web["metadata"]["namespace"] = json!("lab");
    registry.create("deployments.apps", Some("lab"), web).await.unwrap();
    available(&cluster, "web", 1).await;
    let _ = registry.delete("namespaces", None, "lab", DeleteOptions::default()).await.unwrap();
    eventually(registry, "namespaces", |all| named(all, "lab").is_none()).await;
    for resource in ["pods", "replicasets.apps", "deployments.apps", "events", "configmaps", "serviceaccounts"] {
        let (left, _) = registry.list(resource, Some("lab")).unwrap();
        assert!(left.is_empty(), "{resource}: {left:?}");
    }
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_waits_until_it_does() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    let pod = |name: &str, cpu: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "a", "resources": {"requests": {"cpu": cpu}}}]}})
    };
    let half = (std::thread::available_parallelism().unwrap().get() * 500 + 100).to_string() + "m";
    registry.create("pods", Some("default"), pod("first", &half)).await.unwrap();
    eventually(registry, "pods", |pods| pods[0]["spec"]["nodeName"].is_string()).await;
    registry.create("pods", Some("default"), pod("second", &half)).await.unwrap();
    let pods = eventually(registry, "pods", |pods| {
        named(pods, "second").is_some_and(|pod| pod["status"]["conditions"][0]["reason"] == "Unschedulable")
    });
    let pods = pods.await;
    let message = named(&pods, "second").unwrap()["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    let _ = registry.delete("pods", Some("default"), "first", DeleteOptions::default()).await.unwrap();
    eventually(registry, "pods", |pods| named(pods, "second").is_some_and(|pod| pod["spec"]["nodeName"].is_string()))
        .await;
}

/// Refuses every pod, each time in other words, as a refusal that names a random pod name does.
struct Refusal(std::sync::atomic::AtomicU32);

impl Admission for Refusal {
    fn mutate(&self, request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Denial> {
        if request.resource != "pods" {
            return Ok(());
        }
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Err(Denial { code: 403, reason: Some("Forbidden".into()), message: format!("no pod number {number}") })
    }

    fn validate(&self, _request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denial> {
        Ok(vec![])
    }
}

#[tokio::test]
async fn pods_that_are_refused_are_tried_again_with_longer_and_longer_waits() {
    let cluster = cluster().await;
    let registry = &cluster.registry;
    let refusal = Arc::new(Refusal(0.into()));
    registry.add_admission(Arc::clone(&refusal) as Arc<dyn Admission>);
    let first = tokio::time::Instant::now();
    registry.create("deployments.apps", Some("default"), deployment("web", 1, "a")).await.unwrap();
    let found = eventually(registry, "deployments.apps", |all| {
        all[0]["status"]["conditions"]
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one["type"] == "ReplicaFailure"))
    });
    assert_eq!(condition(&found.await[0], "ReplicaFailure")["message"], "no pod number 0");
    // With waits of 5, 10, 20, … ms the eleventh attempt comes seconds later; a few may be brought about by events.
    eventually(registry, "events", |_| refusal.0.load(std::sync::atomic::Ordering::Relaxed) >= 11).await;
    assert!(first.elapsed() > Duration::from_millis(300), "{:?}", first.elapsed());
}
