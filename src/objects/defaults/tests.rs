use serde_json::json;

use super::*;
use crate::objects::meta::at;

fn defaulted(api_version: &str, kind: &str, mut object: Value) -> Value {
    let gvk = Gvk::from_api_version(api_version, kind);
    apply_defaults(&gvk, &mut object);
    let once = object.clone();
    apply_defaults(&gvk, &mut object);
    assert_eq!(object, once, "filling in twice changes nothing");
    object
}

#[test]
fn a_deployment_comes_back_as_from_kubernetes() {
    // The answer recorded from Kubernetes 1.20 (which has no other defaults here than 1.24).
    let found = defaulted(
        "apps/v1",
        "Deployment",
        json!({"spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "c", "image": "rig/echo:1", "imagePullPolicy": "IfNotPresent"}],
                },
            },
        }}),
    );
    assert_eq!(
        found,
        json!({
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "d"}},
                "template": {
                    "metadata": {"creationTimestamp": null, "labels": {"app": "d"}},
                    "spec": {
                        "containers": [{
                            "name": "c", "image": "rig/echo:1", "resources": {},
                            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                            "imagePullPolicy": "IfNotPresent",
                        }],
                        "restartPolicy": "Always", "terminationGracePeriodSeconds": 1, "dnsPolicy": "ClusterFirst",
                        "securityContext": {}, "schedulerName": "default-scheduler",
                    },
                },
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
            "status": {},
        })
    );
}

#[test]
fn containers() {
    let pod = defaulted(
        "v1",
        "Pod",
        json!({"spec": {
            "containers": [
                {"image": "a", "livenessProbe": {"httpGet": {"port": 1}}, "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}},
                {"image": "r:5000/a:latest", "env": [{"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
                {"image": "r:5000/a:1", "ports": [{"containerPort": 1}]},
                {"image": "a@sha256:00"},
            ],
            "volumes": [{"name": "a", "hostPath": {"path": "/x"}}, {"name": "b"}, {"name": "c", "configMap": {"name": "c"}}],
        }}),
    );
    let spec = &pod["spec"];
    let policies: Vec<&Value> =
        spec["containers"].as_array().into_iter().flatten().map(|container| &container["imagePullPolicy"]).collect();
    assert_eq!(policies, ["Always", "Always", "IfNotPresent", "IfNotPresent"]);
    assert_eq!(
        spec["containers"][0]["livenessProbe"],
        json!({"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(spec["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(spec["containers"][1]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(spec["containers"][2]["ports"][0]["protocol"], "TCP");
    assert_eq!(
        spec["volumes"],
        json!([{"name": "a", "hostPath": {"path": "/x", "type": ""}}, {"name": "b", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c", "defaultMode": 420}}])
    );
    assert_eq!(spec["enableServiceLinks"], true);
}

#[test]
fn services() {
    let service = defaulted(
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81, "targetPort": "x"}]}}),
    );
    assert_eq!(
        service["spec"],
        json!({
            "type": "LoadBalancer", "sessionAffinity": "None", "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
            "allocateLoadBalancerNodePorts": true, "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}, {"port": 81, "targetPort": "x", "protocol": "TCP"}],
        })
    );
    let plain = defaulted("v1", "Service", json!({"spec": {}}));
    assert_eq!(at(&plain, &["spec", "externalTrafficPolicy"]), None);
}

#[test]
fn small_kinds() {
    assert_eq!(
        defaulted("v1", "Namespace", json!({"metadata": {"name": "n"}})),
        json!({"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}}, "spec": {}, "status": {"phase": "Active"}})
    );
    assert_eq!(
        defaulted("v1", "Secret", json!({"data": {"a": "eA=="}, "stringData": {"a": "y", "b": "z"}})),
        json!({"data": {"a": "eQ==", "b": "eg=="}, "type": "Opaque"})
    );
    assert_eq!(defaulted("v1", "ConfigMap", json!({"data": {}})), json!({"data": {}}));
}

#[test]
fn odd_shapes_do_no_harm() {
    for known in crate::objects::BUILTIN_KINDS {
        for odd in [
            json!(null),
            json!([]),
            json!({"spec": 1, "metadata": [], "status": ""}),
            json!({"spec": {"template": [], "ports": {}, "containers": [1]}}),
        ] {
            let mut object = odd;
            apply_defaults(&known.gvk(), &mut object);
            admit_pod(&mut object, "abcde");
        }
    }
}

#[test]
fn admitted_pods_have_account_and_tolerations() {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "x"}]}});
    admit_pod(&mut pod, "6wcws");
    assert_eq!(pod["spec"]["serviceAccount"], "default");
    assert_eq!(pod["spec"]["volumes"][0]["name"], "kube-api-access-6wcws");
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-6wcws");
    assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(2));
    assert_eq!(pod["status"]["qosClass"], "BestEffort");
    let mut again = pod.clone();
    admit_pod(&mut again, "other");
    assert_eq!(again, pod);
}
