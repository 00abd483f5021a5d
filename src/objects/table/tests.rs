use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().expect("a time")
}

#[test]
fn durations() {
    for (seconds, text) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (91, "91s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (900, "15m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (86_400, "24h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (13 * 86_400, "13d"),
        (800 * 86_400, "2y70d"),
        (9 * 365 * 86_400, "9y"),
    ] {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

#[test]
fn every_kind_has_a_cell_for_every_column() {
    for known in crate::objects::BUILTIN_KINDS {
        let gvk = known.gvk();
        for object in [
            json!({}),
            json!(null),
            json!({"spec": [], "status": 1, "metadata": {"name": "x", "creationTimestamp": "2026-11-23T09:59:00Z"}}),
        ] {
            assert_eq!(cells(&gvk, &object, now()).len(), columns(&gvk).len(), "{}", known.kind);
        }
        for column in columns(&gvk) {
            assert!(!column.description.is_empty(), "{} {}", known.kind, column.name);
        }
    }
}

fn pod(status: Value) -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-11-23T09:58:00Z"},
        "spec": {"containers": [{}, {}], "initContainers": [{}]},
        "status": status,
    })
}

#[test]
fn pod_words() {
    let container = |state: Value| json!({"state": state, "ready": false});
    for (status, expected) in [
        (json!({"phase": "Pending"}), "Pending"),
        (
            json!({"phase": "Pending", "initContainerStatuses": [container(json!({"waiting": {"reason": "PodInitializing"}}))]}),
            "Init:0/1",
        ),
        (json!({"phase": "Pending", "initContainerStatuses": [container(json!({"running": {}}))]}), "Init:0/1"),
        (
            json!({"phase": "Pending", "initContainerStatuses": [container(json!({"waiting": {"reason": "CrashLoopBackOff"}}))]}),
            "Init:CrashLoopBackOff",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [container(json!({"terminated": {"exitCode": 1}}))]}),
            "Init:ExitCode:1",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [container(json!({"terminated": {"exitCode": 0}}))], "containerStatuses": [container(json!({"waiting": {"reason": "PodInitializing"}}))]}),
            "PodInitializing",
        ),
        (
            json!({"phase": "Pending", "containerStatuses": [container(json!({"waiting": {"reason": "ImagePullBackOff"}}))]}),
            "ImagePullBackOff",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [container(json!({"terminated": {"exitCode": 1, "reason": "Error"}}))]}),
            "Error",
        ),
        (
            json!({"phase": "Succeeded", "containerStatuses": [container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))]}),
            "Completed",
        ),
        (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted"),
    ] {
        assert_eq!(pod_status(&pod(status.clone())), expected, "{status}");
    }
    let mut leaving = pod(json!({"phase": "Running"}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-23T10:00:30Z");
    assert_eq!(pod_status(&leaving), "Terminating");
}

#[test]
fn pod_cells() {
    let object = pod(json!({
        "phase": "Running",
        "podIPs": [{"ip": "127.64.128.1"}],
        "containerStatuses": [
            {"ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-11-23T09:59:48Z"}}},
            {"ready": true, "restartCount": 0, "state": {"running": {}}},
        ],
    }));
    assert_eq!(
        cells(&Gvk::new("", "v1", "Pod"), &object, now()),
        ["p", "2/2", "Running", "2 (12s ago)", "2m", "127.64.128.1", "<none>", "<none>", "<none>"].map(Value::from)
    );
}

#[test]
fn service_cells() {
    let service = json!({
        "metadata": {"name": "istio-ingressgateway", "creationTimestamp": "2026-11-23T09:59:52Z"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.101.126.22", "ports": [
            {"port": 15021, "nodePort": 32270, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"},
        ], "selector": {"istio": "ingressgateway", "app": "istio-ingressgateway"}},
    });
    let gvk = Gvk::new("", "v1", "Service");
    assert_eq!(
        cells(&gvk, &service, now()),
        [
            "istio-ingressgateway",
            "LoadBalancer",
            "10.101.126.22",
            "<pending>",
            "15021:32270/TCP,80/TCP",
            "8s",
            "app=istio-ingressgateway,istio=ingressgateway"
        ]
        .map(Value::from)
    );
}

#[test]
fn endpoints_are_shortened() {
    let address = |n: u8| json!({"ip": format!("10.0.0.{n}")});
    let object = json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [address(1), address(2)], "ports": [{"port": 8501}, {"port": 8500}]}]});
    assert_eq!(
        cells(&Gvk::new("", "v1", "Endpoints"), &object, now())[1],
        "10.0.0.1:8501,10.0.0.2:8501,10.0.0.1:8500 + 1 more..."
    );
}

#[test]
fn deployment_cells() {
    let object = json!({
        "metadata": {"name": "d", "creationTimestamp": "2026-11-23T09:50:00Z"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"version": "resnet50", "app": "image-classifier"}},
                 "template": {"spec": {"containers": [{"name": "tf-serving", "image": "tensorflow/serving:2.5.1"}]}}},
        "status": {"updatedReplicas": 1},
    });
    assert_eq!(
        cells(&Gvk::new("apps", "v1", "Deployment"), &object, now()),
        [
            json!("d"),
            json!("0/1"),
            json!(1),
            json!(0),
            json!("10m"),
            json!("tf-serving"),
            json!("tensorflow/serving:2.5.1"),
            json!("app=image-classifier,version=resnet50")
        ]
    );
}

#[test]
fn custom_resources_print_their_columns() {
    let columns = CustomColumns::parse(&[
        json!({"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"}),
        json!({"name": "Nothing", "type": "string", "jsonPath": ".spec.nothing"}),
        json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
    ]);
    let object =
        json!({"metadata": {"name": "v", "creationTimestamp": "2026-11-23T09:59:00Z"}, "spec": {"hosts": ["*"]}});
    assert_eq!(columns.cells(&object, now()), [json!("v"), json!("[\"*\"]"), json!(null), json!("60s")]);
    assert_eq!(columns.definitions()[0].format, "name");
    assert_eq!(CustomColumns::parse(&[]).cells(&object, now()), [json!("v"), json!("60s")]);
}
