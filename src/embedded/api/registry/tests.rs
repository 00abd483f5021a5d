use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::*;
use crate::embedded::network::IngressPorts;
use crate::objects::meta;

/// A registry of its own in a temporary directory that lasts as long as the second value.
async fn registry() -> (Registry, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    let services = ServiceRange { network: Ipv4Addr::new(127, 64, 16, 0), prefix: 20 };
    let registry = Registry::new(store, RegistryOptions { services });
    registry.bootstrap(6443).await.expect("bootstrapped");
    (registry, home)
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

#[tokio::test]
async fn creation_gives_identity_and_names_are_taken_once() {
    let (registry, _home) = registry().await;
    let object = registry.create("configmaps", Some("default"), config_map("a")).await.expect("created");
    assert!(!meta::uid(&object).is_empty() && meta::creation_time(&object).is_some());
    let again = registry.create("configmaps", Some("default"), config_map("a")).await.expect_err("taken");
    assert_eq!((again.code, again.message.as_str()), (409, "configmaps \"a\" already exists"));
    let nowhere = registry.create("configmaps", Some("nowhere"), config_map("a")).await.expect_err("no namespace");
    assert_eq!((nowhere.code, nowhere.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    let generated = json!({"metadata": {"generateName": "gen-"}});
    let generated = registry.create("configmaps", Some("default"), generated).await.expect("created");
    assert!(meta::name(&generated).starts_with("gen-") && meta::name(&generated).len() == 9);
}

#[tokio::test]
async fn updates_lock_optimistically_and_equal_states_are_not_stored() {
    let (registry, _home) = registry().await;
    let first = registry.create("configmaps", Some("default"), config_map("a")).await.expect("created");
    let same = registry.update("configmaps", Some("default"), "a", (*first).clone()).await.expect("same");
    assert_eq!(meta::resource_version(&same), meta::resource_version(&first));
    let mut changed = (*first).clone();
    changed["data"]["k"] = "w".into();
    registry.update("configmaps", Some("default"), "a", changed.clone()).await.expect("changed");
    let stale = registry.update("configmaps", Some("default"), "a", changed).await.expect_err("stale");
    assert!(stale.is_conflict(), "{stale}");
    let modified = registry
        .modify("configmaps", Some("default"), "a", |object| object["data"]["n"] = "1".into())
        .await
        .expect("modified");
    assert_eq!(modified["data"], json!({"k": "w", "n": "1"}));
}

#[tokio::test]
async fn generation_counts_spec_and_deletion_but_not_status() {
    let (registry, _home) = registry().await;
    let deployment = json!({
        "metadata": {"name": "d"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": {
            "metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    });
    registry.create("deployments.apps", Some("default"), deployment).await.expect("created");
    let change = |field: &'static str| {
        let registry = registry.clone();
        async move {
            let modified = registry
                .modify("deployments.apps", Some("default"), "d", |object| object[field]["replicas"] = 2.into())
                .await;
            meta::generation(&modified.expect("modified"))
        }
    };
    assert_eq!(change("status").await, 1);
    assert_eq!(change("spec").await, 2);
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    let deletion = registry.delete("deployments.apps", Some("default"), "d", options).await.expect("deleted");
    let Deletion::Pending(object) = deletion else { panic!("a finalizer holds it") };
    assert_eq!(meta::generation(&object), 3);
    registry
        .modify("deployments.apps", Some("default"), "d", |object| {
            meta::remove_finalizer(object, "foregroundDeletion");
        })
        .await
        .expect("let go");
    assert!(registry.get("deployments.apps", Some("default"), "d").expect_err("gone").is_not_found());
}

#[tokio::test]
async fn a_running_pod_has_its_grace_and_its_kubelet_the_last_word() {
    let (registry, _home) = registry().await;
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n", "terminationGracePeriodSeconds": 7},
    });
    let pod = registry.create("pods", Some("default"), pod).await.expect("created");
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    let mut watch = registry.watch("pods", Some("default"));
    assert!(matches!(watch.next().await, WatchEvent::Added { .. }));
    let deletion = registry.delete("pods", Some("default"), "p", DeleteOptions::default()).await.expect("marked");
    assert!(matches!(deletion, Deletion::Pending(_)));
    assert_eq!(deletion.object()["metadata"]["deletionGracePeriodSeconds"], 7);
    let other = registry.finalize_pod("default", "p", "another").await.expect_err("another pod is meant");
    assert!(other.is_conflict());
    let gone = registry.finalize_pod("default", "p", meta::uid(&pod)).await.expect("removed");
    assert!(matches!(gone, Deletion::Gone(_)));
    assert!(matches!(watch.next().await, WatchEvent::Modified { .. }));
    assert!(matches!(watch.next().await, WatchEvent::Deleted { .. }));
}

#[tokio::test]
async fn a_namespace_ends_when_its_finalizer_is_gone() {
    let (registry, _home) = registry().await;
    registry.create("namespaces", None, json!({"metadata": {"name": "ns"}})).await.expect("created");
    let deletion = registry.delete("namespaces", None, "ns", DeleteOptions::default()).await.expect("marked");
    assert_eq!(deletion.object()["status"]["phase"], "Terminating");
    let late = registry.create("configmaps", Some("ns"), config_map("late")).await.expect_err("too late");
    assert_eq!(late.code, 403);
    registry.modify("namespaces", None, "ns", |object| object["spec"] = json!({})).await.expect("finalized");
    assert!(registry.get("namespaces", None, "ns").is_err());
    let kept = registry.delete("namespaces", None, "default", DeleteOptions::default()).await.expect_err("kept");
    assert_eq!(kept.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[tokio::test]
async fn services_get_addresses_of_the_range_and_keep_them() {
    let (registry, _home) = registry().await;
    let kubernetes = registry.get("services", Some("default"), "kubernetes").expect("bootstrapped");
    assert_eq!(kubernetes["spec"]["clusterIP"], "127.64.16.1");
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let service = registry.create("services", Some("default"), service).await.expect("created");
    let address: Ipv4Addr = service["spec"]["clusterIP"].as_str().expect("given").parse().expect("an address");
    assert!(address > Ipv4Addr::new(127, 64, 16, 15) && address < Ipv4Addr::new(127, 64, 31, 255), "{address}");
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("given");
    assert!((30000..=32767).contains(&port));
    let mut bare = json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    bare["spec"]["selector"] = json!({"app": "d"});
    let updated = registry.update("services", Some("default"), "s", bare).await.expect("updated");
    assert_eq!(updated["spec"]["clusterIP"], service["spec"]["clusterIP"]);
    assert_eq!(updated["spec"]["ports"][0]["nodePort"], port);
    let wrong = json!({"metadata": {"name": "t"}, "spec": {"clusterIP": "1.2.3.4", "ports": [{"port": 80}]}});
    let wrong = registry.create("services", Some("default"), wrong).await.expect_err("out of range");
    assert!(wrong.message.contains("failed to allocate IP 1.2.3.4"), "{wrong}");
}

#[tokio::test]
async fn a_definition_serves_its_resource_and_takes_its_objects_along() {
    let (registry, _home) = registry().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}},
        ]},
    });
    assert!(registry.resource("foos.example.com").is_err());
    let definition = registry.create(DEFINITIONS, None, definition).await.expect("created");
    assert_eq!(definition["status"]["conditions"][1]["type"], "Established");
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {"a": 1}});
    let foo = registry.create("foos.example.com", Some("default"), foo).await.expect("created");
    assert_eq!(meta::generation(&foo), 1);
    let without = registry.update("foos.example.com", Some("default"), "f", json!({"metadata": {"name": "f"}})).await;
    assert_eq!(without.expect_err("no revision").code, 422);
    let gone = registry.delete(DEFINITIONS, None, "foos.example.com", DeleteOptions::default()).await.expect("gone");
    assert!(matches!(gone, Deletion::Gone(_)));
    assert!(registry.resource("foos.example.com").is_err());
    assert!(registry.0.store.list("foos.example.com", None).0.is_empty());
}

#[tokio::test]
async fn equal_events_are_counted() {
    let (registry, _home) = registry().await;
    let about = registry.get("services", Some("default"), "kubernetes").expect("there");
    for message in ["one", "two", "one"] {
        registry.event(&about, "Normal", "Tested", message, "test").await;
    }
    let (events, _) = registry.list("events", Some("default")).expect("listed");
    let mut counts: Vec<_> = events.iter().map(|event| event["count"].as_i64().unwrap_or_default()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
}

/// Adds a container as the mesh does.
struct Injector;

impl Admission for Injector {
    fn mutate(
        &self,
        request: &crate::embedded::api::admission::AdmissionRequest<'_>,
        object: &mut Value,
    ) -> Result<(), crate::embedded::api::admission::Denial> {
        if request.resource == "pods"
            && let Some(containers) = object["spec"]["containers"].as_array_mut()
        {
            containers.push(json!({"name": "sidecar", "image": "i", "resources": {"requests": {"cpu": "10m"}}}));
        }
        Ok(())
    }

    fn validate(
        &self,
        _request: &crate::embedded::api::admission::AdmissionRequest<'_>,
    ) -> Result<Vec<String>, crate::embedded::api::admission::Denial> {
        Ok(vec!["mind the sidecar".to_owned()])
    }
}

#[tokio::test]
async fn injected_containers_share_the_token_and_count_for_the_class() {
    let (registry, _home) = registry().await;
    registry.add_admission(Arc::new(Injector));
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let resource = registry.resource("pods").expect("served");
    let written = registry.create_with(&resource, Some("default"), pod, &WriteOptions::default()).await;
    let written = written.expect("created");
    assert_eq!(written.warnings, ["mind the sidecar"]);
    let pod = written.object;
    assert_eq!(meta::list_at(&pod, &["spec", "volumes"]).len(), 1);
    for container in meta::list_at(&pod, &["spec", "containers"]) {
        assert_eq!(container["volumeMounts"][0]["name"], pod["spec"]["volumes"][0]["name"]);
    }
    assert_eq!(pod["status"]["qosClass"], "Burstable");
}

#[tokio::test]
async fn a_service_whose_ports_are_chosen_for_it_keeps_its_node_ports_when_it_is_replaced() {
    let (registry, _home) = registry().await;
    // As where an ordinary user may bind neither 80 nor 443.
    registry.add_admission(Arc::new(IngressPorts { http: 8080, https: 8443, status: 15021 }));
    let namespace = json!({"metadata": {"name": "istio-system"}});
    registry.create("namespaces", None, namespace).await.expect("created");
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "http2", "port": 80, "targetPort": 8080}]},
    });
    let first = registry.create("services", Some("istio-system"), service.clone()).await.expect("created");
    assert_eq!(first["spec"]["ports"][0]["port"], 8080);
    let again = registry.update("services", Some("istio-system"), "istio-ingressgateway", service).await;
    assert_eq!(again.expect("replaced")["spec"]["ports"], first["spec"]["ports"]);
}
