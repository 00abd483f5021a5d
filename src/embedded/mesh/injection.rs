//! Sidecar injection: which pods get one, and what is added (specification section 9).

use serde_json::{Map, Value, json};

const IMAGE: &str = "docker.io/istio/proxyv2:1.12.7";
const PROXY_USER: u32 = 1337;
const NEVER: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
const VOLUMES: [&str; 5] = ["istio-envoy", "istio-data", "istio-podinfo", "istio-token", "istiod-ca-cert"];

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

/// Whether a pod that is being created in the namespace gets a sidecar.
pub(super) fn is_wanted(namespace: &Value, pod: &Value) -> bool {
    let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
    if NEVER.contains(&name) || pod["spec"]["hostNetwork"] == true {
        return false;
    }
    let of_pod = label(pod, "sidecar.istio.io/inject")
        .or_else(|| pod["metadata"]["annotations"]["sidecar.istio.io/inject"].as_str());
    match (label(namespace, "istio-injection"), label(namespace, "istio.io/rev")) {
        (Some("enabled"), _) | (None, Some("default")) => of_pod != Some("false"),
        (Some(_), _) | (None, Some(_)) => false,
        (None, None) => of_pod == Some("true"),
    }
}

/// What the proxy is told about the workload.
struct Workload {
    name: String,
    owner: String,
}

fn workload(pod: &Value, namespace: &str) -> Workload {
    let owner = &pod["metadata"]["ownerReferences"][0];
    let generated = pod["metadata"]["generateName"].as_str().unwrap_or_default().trim_end_matches('-');
    let hash = label(pod, "pod-template-hash").map(|hash| format!("-{hash}")).unwrap_or_default();
    let (api, kind, name) = match owner["kind"].as_str() {
        // A pod of a ReplicaSet with a template hash belongs to the Deployment above it.
        Some("ReplicaSet") if !hash.is_empty() => {
            let set = owner["name"].as_str().unwrap_or(generated);
            ("apps/v1", "deployments", set.strip_suffix(&hash).unwrap_or(set).to_owned())
        }
        Some(kind) => {
            let api = owner["apiVersion"].as_str().unwrap_or("v1");
            let name = owner["name"].as_str().unwrap_or(generated).to_owned();
            return Workload {
                owner: format!("kubernetes://apis/{api}/namespaces/{namespace}/{}s/{name}", kind.to_lowercase()),
                name,
            };
        }
        None => ("v1", "pods", pod["metadata"]["name"].as_str().unwrap_or(generated).to_owned()),
    };
    Workload { owner: format!("kubernetes://apis/{api}/namespaces/{namespace}/{kind}/{name}"), name }
}

fn member<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let slot = &mut object[key];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(members) => members,
        _ => unreachable!("just made an object"),
    }
}

fn items<'a>(object: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let slot = &mut object[key];
    if !slot.is_array() {
        *slot = json!([]);
    }
    match slot {
        Value::Array(items) => items,
        _ => unreachable!("just made an array"),
    }
}

/// Adds the init container, the proxy, its volumes, labels and annotations. A pod that has a proxy stays as it is.
pub(super) fn inject(pod: &mut Value, namespace: &str) {
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    if containers.iter().any(|container| container["name"] == "istio-proxy") {
        return;
    }
    let workload = workload(pod, namespace);
    let names: Vec<String> = containers.iter().filter_map(|c| c["name"].as_str().map(str::to_owned)).collect();
    let proxy = proxy_container(&containers, &names, &workload);

    let app =
        ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"].iter().find_map(|key| label(pod, key));
    let canonical_name = app.unwrap_or(&workload.name).to_owned();
    let version = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|key| label(pod, key));
    let canonical_revision = version.unwrap_or("latest").to_owned();
    let metadata = &mut pod["metadata"];
    let labels = member(metadata, "labels");
    labels.insert("security.istio.io/tlsMode".into(), json!("istio"));
    labels.insert("service.istio.io/canonical-name".into(), json!(canonical_name));
    labels.insert("service.istio.io/canonical-revision".into(), json!(canonical_revision));
    let annotations = member(metadata, "annotations");
    if let [only] = names.as_slice() {
        annotations.insert("kubectl.kubernetes.io/default-container".into(), json!(only));
        annotations.insert("kubectl.kubernetes.io/default-logs-container".into(), json!(only));
    }
    annotations.insert("prometheus.io/path".into(), json!("/stats/prometheus"));
    annotations.insert("prometheus.io/port".into(), json!("15020"));
    annotations.insert("prometheus.io/scrape".into(), json!("true"));
    let status = json!({
        "initContainers": ["istio-init"], "containers": ["istio-proxy"], "volumes": VOLUMES,
        "imagePullSecrets": null, "revision": "default",
    });
    annotations.insert("sidecar.istio.io/status".into(), json!(status.to_string()));

    let spec = &mut pod["spec"];
    items(spec, "initContainers").push(init_container());
    items(spec, "containers").push(proxy);
    items(spec, "volumes").splice(0..0, volumes());
    member(spec, "securityContext").entry("fsGroup").or_insert_with(|| json!(PROXY_USER));
}

fn resources() -> Value {
    json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}})
}

fn init_container() -> Value {
    json!({
        "name": "istio-init",
        "image": IMAGE,
        "args": ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "",
            "-b", "*", "-d", "15090,15021,15020"],
        "resources": resources(),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": false,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
        },
    })
}

/// The declared ports as the injector's template lays them out.
fn pod_ports(containers: &[Value]) -> String {
    let ports: Vec<String> = containers
        .iter()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .map(|port| {
            let mut line = Map::new();
            for key in ["name", "containerPort", "protocol"] {
                if let Some(value) = port.get(key) {
                    line.insert(key.to_owned(), value.clone());
                }
            }
            line.entry("protocol").or_insert_with(|| json!("TCP"));
            Value::Object(line).to_string()
        })
        .collect();
    format!("[\n    {}\n]", ports.join("\n    ,"))
}

fn proxy_container(containers: &[Value], names: &[String], workload: &Workload) -> Value {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let env = json!([
        {"name": "JWT_POLICY", "value": "third-party-jwt"},
        {"name": "PILOT_CERT_PROVIDER", "value": "istiod"},
        {"name": "CA_ADDR", "value": "istiod.istio-system.svc:15012"},
        {"name": "POD_NAME", "valueFrom": field("metadata.name")},
        {"name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "INSTANCE_IP", "valueFrom": field("status.podIP")},
        {"name": "SERVICE_ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
        {"name": "HOST_IP", "valueFrom": field("status.hostIP")},
        {"name": "PROXY_CONFIG", "value": "{}\n"},
        {"name": "ISTIO_META_POD_PORTS", "value": pod_ports(containers)},
        {"name": "ISTIO_META_APP_CONTAINERS", "value": names.join(",")},
        {"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"},
        {"name": "ISTIO_META_INTERCEPTION_MODE", "value": "REDIRECT"},
        {"name": "ISTIO_META_WORKLOAD_NAME", "value": workload.name},
        {"name": "ISTIO_META_OWNER", "value": workload.owner},
        {"name": "ISTIO_META_MESH_ID", "value": "cluster.local"},
        {"name": "TRUST_DOMAIN", "value": "cluster.local"},
    ]);
    json!({
        "name": "istio-proxy",
        "image": IMAGE,
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning",
            "--proxyComponentLogLevel=misc:error", "--log_output_level=default:info", "--concurrency", "2"],
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
        "env": env,
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": 15021},
            "initialDelaySeconds": 1, "periodSeconds": 2, "failureThreshold": 30, "timeoutSeconds": 3,
        },
        "resources": resources(),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": PROXY_USER,
            "runAsNonRoot": true,
            "runAsUser": PROXY_USER,
        },
        "volumeMounts": [
            {"mountPath": "/var/run/secrets/istio", "name": "istiod-ca-cert"},
            {"mountPath": "/var/lib/istio/data", "name": "istio-data"},
            {"mountPath": "/etc/istio/proxy", "name": "istio-envoy"},
            {"mountPath": "/var/run/secrets/tokens", "name": "istio-token"},
            {"mountPath": "/etc/istio/pod", "name": "istio-podinfo"},
        ],
    })
}

fn volumes() -> Vec<Value> {
    let podinfo = json!([
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
    ]);
    let token =
        json!([{"serviceAccountToken": {"path": "istio-token", "expirationSeconds": 43200, "audience": "istio-ca"}}]);
    vec![
        json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "istio-data", "emptyDir": {}}),
        json!({"name": "istio-podinfo", "downwardAPI": {"items": podinfo}}),
        json!({"name": "istio-token", "projected": {"sources": token}}),
        json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(labels: Value) -> Value {
        json!({"metadata": {"name": "tf-serving", "labels": labels}})
    }

    #[test]
    fn labels_of_namespace_and_pod_decide() {
        let pod = |labels: Value| json!({"metadata": {"labels": labels}, "spec": {}});
        let inject = |value: &str| pod(json!({"sidecar.istio.io/inject": value}));
        let cases = [
            (json!({"istio-injection": "enabled"}), pod(json!({})), true),
            (json!({"istio-injection": "enabled"}), inject("false"), false),
            (json!({"istio-injection": "disabled"}), inject("true"), false),
            (json!({"istio.io/rev": "default"}), pod(json!({})), true),
            (json!({"istio-injection": "disabled", "istio.io/rev": "default"}), pod(json!({})), false),
            (json!({}), pod(json!({})), false),
            (json!({}), inject("true"), true),
        ];
        for (labels, pod, wanted) in cases {
            assert_eq!(is_wanted(&namespace(labels.clone()), &pod), wanted, "{labels} {pod}");
        }
        let host_network = json!({"metadata": {}, "spec": {"hostNetwork": true}});
        assert!(!is_wanted(&namespace(json!({"istio-injection": "enabled"})), &host_network));
    }

    #[test]
    fn a_pod_of_the_tutorial_looks_as_described() {
        let mut pod = json!({
            "metadata": {
                "generateName": "image-classifier-resnet50-9bbd8bf5-",
                "labels": {"app": "image-classifier", "version": "resnet50", "pod-template-hash": "9bbd8bf5"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "image-classifier-resnet50-9bbd8bf5"}],
            },
            "spec": {
                "containers": [{"name": "tf-serving", "ports": [
                    {"name": "http", "containerPort": 8501, "protocol": "TCP"}, {"name": "grpc", "containerPort": 8500}]}],
                "volumes": [{"name": "model", "hostPath": {"path": "/m"}}],
            },
        });
        inject(&mut pod, "tf-serving");
        let once = pod.clone();
        inject(&mut pod, "tf-serving");
        assert_eq!(pod, once, "a second injection changes nothing");
        assert_eq!(pod["spec"]["containers"][1]["name"], "istio-proxy");
        assert_eq!(pod["spec"]["volumes"][5]["name"], "model");
        assert_eq!(label(&pod, "service.istio.io/canonical-revision"), Some("resnet50"));
        let env = pod["spec"]["containers"][1]["env"].as_array().unwrap();
        let value = |name: &str| env.iter().find(|entry| entry["name"] == name).unwrap()["value"].as_str().unwrap();
        assert_eq!(value("ISTIO_META_WORKLOAD_NAME"), "image-classifier-resnet50");
        assert_eq!(
            value("ISTIO_META_OWNER"),
            "kubernetes://apis/apps/v1/namespaces/tf-serving/deployments/image-classifier-resnet50"
        );
        assert_eq!(
            value("ISTIO_META_POD_PORTS"),
            "[\n    {\"name\":\"http\",\"containerPort\":8501,\"protocol\":\"TCP\"}\n    \
             ,{\"name\":\"grpc\",\"containerPort\":8500,\"protocol\":\"TCP\"}\n]"
        );
    }
}
