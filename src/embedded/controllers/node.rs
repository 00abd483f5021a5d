//! The one node: what it is called, what it has, and that it is ready.

use serde_json::{Value, json};

use crate::embedded::api::{Registry, Status};
use crate::embedded::clock;
use crate::embedded::network::AddressBlock;

/// The node's name; honest about what it is, since no other machine is there.
pub(crate) const NODE_NAME: &str = "canary-lab";

/// Makes the node's object say what is true now. Called once at the start: nothing about the machine changes while the
/// daemon runs, and a write every few seconds would only keep disk and processor awake.
pub(super) async fn register(registry: &Registry, block: AddressBlock) -> Result<(), Status> {
    let wanted = node(block);
    let result = match registry.get("nodes", None, NODE_NAME) {
        Ok(_) => {
            let changed = registry.modify("nodes", None, NODE_NAME, |stored| {
                let since = |kind: &str| {
                    let list = stored["status"]["conditions"].as_array().into_iter().flatten();
                    list.into_iter().find(|one| one["type"] == *kind).map(|one| one["lastTransitionTime"].clone())
                };
                let mut status = wanted["status"].clone();
                for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                    if let Some(time) = since(condition["type"].as_str().unwrap_or_default()) {
                        condition["lastTransitionTime"] = time;
                    }
                }
                stored["status"] = status;
            });
            changed.await
        }
        Err(status) if status.is_not_found() => {
            let mut bare = wanted.clone();
            let status = bare.as_object_mut().and_then(|fields| fields.shift_remove("status"));
            registry.create("nodes", None, bare).await?;
            registry
                .modify("nodes", None, NODE_NAME, |stored| {
                    stored["status"] = status.clone().unwrap_or_default();
                })
                .await
        }
        Err(status) => Err(status),
    };
    let stored = result?;
    registry.event(&stored, "Normal", "Starting", "", "kube-proxy").await;
    let text = format!("Node {NODE_NAME} event: Registered Node {NODE_NAME} in Controller");
    registry.event(&stored, "Normal", "RegisteredNode", &text, "node-controller").await;
    Ok(())
}

fn node(block: AddressBlock) -> Value {
    let now = clock::now();
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if status { "True" } else { "False" },
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        })
    };
    let machine = rustix::system::uname();
    let release = machine.release().to_string_lossy().into_owned();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let memory = format!("{}Ki", memory_kibibytes());
    let resources = json!({
        "cpu": processors,
        "ephemeral-storage": "0",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": memory,
        "pods": "110",
    });
    let version = concat!("canary-lab://", env!("CARGO_PKG_VERSION"));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE_NAME,
            "labels": {
                "beta.kubernetes.io/arch": architecture,
                "beta.kubernetes.io/os": std::env::consts::OS,
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": NODE_NAME,
                "kubernetes.io/os": std::env::consts::OS,
                "node-role.kubernetes.io/control-plane": "",
            },
        },
        "spec": {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            ],
            "addresses": [
                {"type": "InternalIP", "address": block.node().to_string()},
                {"type": "Hostname", "address": NODE_NAME},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": release,
                "osImage": operating_system(),
                "containerRuntimeVersion": version,
                "kubeletVersion": "v1.24.3",
                "kubeProxyVersion": "v1.24.3",
                "operatingSystem": std::env::consts::OS,
                "architecture": architecture,
            },
        },
    })
}

fn memory_kibibytes() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(4 * 1024 * 1024)
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}
