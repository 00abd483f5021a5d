//! A cluster that is not the lab's: another home's embedded cluster plays it, reached through its kubeconfig alone.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use canary_lab::cluster::Api;
use canary_lab::objects::Gvk;
use serde_json::Value;

use super::bench::{Bench, Ended, finish, kill, processes, project};
use super::kubernetes::Cluster;

/// Two homes: one whose cluster is the foreign one, and one whose lab stands on it.
struct Pair {
    foreign: Bench,
    lab: Bench,
}

impl Pair {
    /// The foreign cluster with this much of its own.
    fn until(stage: &str) -> Self {
        let pair = Self { foreign: Bench::new(), lab: Bench::new() };
        let up = pair.foreign.tiny(&["up", "--cluster", "embedded", "--until", stage]);
        assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
        pair
    }

    fn kubeconfig(&self) -> PathBuf {
        self.foreign.home().join("kubeconfig")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.lab.tiny_command(args);
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args))
    }

    /// Puts an object of the lab's inventory back to what a run says before it makes one.
    fn forget_but_intend(&self, kind: &str, name: &str) {
        let file = self.lab.home().join("state.json");
        let mut envelope: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let state = &mut envelope["state"];
        let inventory = state["inventory"].as_array_mut().unwrap();
        let index = inventory.iter().position(|item| item["kind"] == kind && item["name"] == name).unwrap();
        let item = inventory.remove(index);
        let label = format!("{kind} {}/{name}", item["namespace"].as_str().unwrap());
        state["intended"] = serde_json::json!([label]);
        fs::write(&file, serde_json::to_vec(&envelope).unwrap()).unwrap();
    }

    /// Names of a kind in a namespace of the foreign cluster, asked of its API.
    fn names(&self, group: &str, kind: &str, namespace: Option<&str>) -> Vec<String> {
        let gvk = Gvk::new(group, "v1", kind);
        let listed = tokio::runtime::Runtime::new().unwrap().block_on(async {
            Api::connect(&self.kubeconfig()).await.unwrap().list(&gvk, namespace, "").await.unwrap()
        });
        listed.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_lab_stands_on_a_foreign_cluster_and_leaves_it_as_it_was() {
    let pair = Pair::until("tunnel");
    let before = pair.names("", "Namespace", None);
    let up = pair.run(&[
        "up",
        "--cluster",
        "context:canary-lab",
        "--namespace",
        "team-a",
        "--set",
        "resnet50.replicas=2",
        "--set",
        "resnet101.resources.requests.cpu=50m",
    ]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert!(up.out.contains("13 stages proven"), "{}", up.out);
    assert!(up.out.contains("which was there before"), "the mesh is used as it is: {}", up.out);
    assert!(up.out.contains("300 requests: resnet50 "), "{}", up.out);
    let pods = pair.names("", "Pod", Some("team-a"));
    assert_eq!(pods.iter().filter(|name| name.contains("resnet50")).count(), 2, "{pods:?}");

    // Later commands find the context from any terminal, and keep to what was asked for.
    let verify = pair.lab.tiny(&["verify"]);
    assert_eq!(verify.code, 0, "{}\n{}", verify.out, verify.err);
    let elsewhere = pair.lab.tiny(&["up", "--cluster", "embedded"]);
    assert!(elsewhere.code == 2 && elsewhere.err.contains("CLUSTER_CHANGED"), "{elsewhere:?}");
    let doctor = pair.lab.json(&["doctor"]);
    let check = |id: &str| doctor["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone();
    for id in
        ["cluster", "permissions", "mesh", "injection", "sidecars", "model-on-node", "route-subsets", "route-weights"]
    {
        assert_eq!(check(id)["severity"], "fine", "{}", check(id));
    }

    let down = pair.lab.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(pair.names("", "Namespace", None), before);
    assert!(pair.names("apps", "Deployment", Some("istio-system")).contains(&"istiod".to_owned()));
    assert!(pair.foreign.daemon() > 0, "the foreign cluster runs on");
}

#[test]
fn two_labs_share_a_cluster_by_namespace_and_host_name() {
    let pair = Pair::until("tunnel");
    let before = pair.names("", "Namespace", None);
    let second = Bench::new();
    for (bench, team) in [(&pair.lab, "team-a"), (&second, "team-b")] {
        let host = format!("{team}.example");
        let mut up = bench.tiny_command(&[
            "up",
            "--cluster",
            "context:canary-lab",
            "--namespace",
            team,
            "--ingress-host",
            &host,
        ]);
        up.env("KUBECONFIG", pair.kubeconfig());
        let up = finish(up);
        assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
        assert!(up.out.contains("13 stages proven"), "{}", up.out);
    }
    for bench in [&pair.lab, &second] {
        let verify = bench.tiny(&["verify"]);
        assert_eq!(verify.code, 0, "{}\n{}", verify.out, verify.err);
    }
    // One goes, and the other does not notice.
    let down = pair.lab.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    let verify = second.tiny(&["verify"]);
    assert_eq!(verify.code, 0, "{}\n{}", verify.out, verify.err);
    let down = second.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(pair.names("", "Namespace", None), before);
}

#[test]
fn a_context_that_is_not_there_is_named_with_those_that_are() {
    let pair = Pair::until("cluster");
    let ended = pair.run(&["up", "--cluster", "context:prod"]);
    assert_eq!(ended.code, 11, "{ended:?}");
    assert!(ended.err.contains("CONTEXT_UNKNOWN") && ended.err.contains("it has canary-lab"), "{}", ended.err);
}

#[test]
fn models_go_into_claims_where_the_nodes_are_other_machines() {
    let pair = Pair::until("tunnel");
    let cluster = Cluster::of(&pair.foreign);
    let before = pair.names("", "Namespace", None);
    // From here the node is a machine far away.
    let far = r#"{"status": {"addresses": [{"type": "InternalIP", "address": "203.0.113.7"}]}}"#;
    cluster.patch(("v1", "Node", None, "canary-lab/status"), far);
    let claims = || pair.names("", "PersistentVolumeClaim", Some("tf-serving"));
    let up = pair.run(&["up", "--cluster", "context:canary-lab", "--until", "models"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert!(up.out.contains("resnet50 lies in PersistentVolumeClaim tf-serving/model-resnet50"), "{}", up.out);
    assert_eq!(claims(), ["model-resnet101", "model-resnet50"]);
    assert!(pair.names("", "Pod", Some("tf-serving")).is_empty(), "the loaders are gone");
    let up = pair.run(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    assert!(up.out.contains("13 stages proven"), "{}", up.out);
    let work = fs::read_to_string(pair.lab.home().join("work/deployment-resnet50.yaml")).unwrap();
    assert!(work.contains("claimName: model-resnet50") && !work.contains("hostPath"), "{work}");

    // What lies in the claim is compared by its hashes, through the model server that mounts it; and mended.
    let claim = cluster.get(("v1", "PersistentVolumeClaim", Some("tf-serving"), "model-resnet101")).unwrap();
    let volume = pair.foreign.home().join("cluster/claims").join(claim["metadata"]["uid"].as_str().unwrap());
    let graph = volume.join("1/saved_model.pb");
    let own = fs::read(pair.lab.home().join("models/resnet101/1/saved_model.pb")).unwrap();
    assert_eq!(fs::read(&graph).unwrap(), own);
    fs::write(&graph, "damaged").unwrap();
    let verify = pair.run(&["verify"]);
    assert!(verify.err.contains("MODEL_NOT_ON_NODE"), "{verify:?}");
    assert!(verify.err.contains("model-resnet101/1/saved_model.pb differs"), "{verify:?}");
    let again = pair.run(&["up"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(fs::read(&graph).unwrap(), own);

    // A run that was killed between making a claim and remembering it: it is the lab's own all the same.
    pair.forget_but_intend("PersistentVolumeClaim", "model-resnet50");
    let again = pair.run(&["up"]);
    assert_eq!(again.code, 0, "{again:?}");
    pair.forget_but_intend("PersistentVolumeClaim", "model-resnet50");
    let listed = pair.run(&["down", "--dry-run"]);
    assert!(listed.out.contains("PersistentVolumeClaim tf-serving/model-resnet50"), "{listed:?}");

    // Back to before the models and on again; then away, with every volume.
    let reset = pair.run(&["reset", "--to", "tunnel"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert_eq!(pair.names("", "Namespace", None), before);
    let again = pair.run(&["up", "--until", "predict"]);
    assert_eq!(again.code, 0, "{again:?}");
    let down = pair.lab.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(pair.names("", "Namespace", None), before);
    super::bench::eventually("the claims' volumes go", std::time::Duration::from_secs(10), || {
        pair.names("", "PersistentVolume", None).is_empty()
    });
    assert!(!volume.exists());
}

/// A port of this machine whose connections end at the ingress gateway's node port, as kubectl's port-forward leads them
/// through the API.
fn forwarder(foreign: &Bench) -> u16 {
    let cluster = Cluster::of(foreign);
    let service = cluster.get(("v1", "Service", Some("istio-system"), "istio-ingressgateway")).unwrap();
    let ports = service["spec"]["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == "http2").unwrap()["nodePort"].as_u64().unwrap();
    let node = cluster.get(("v1", "Node", None, "canary-lab")).unwrap();
    let addresses = node["status"]["addresses"].as_array().unwrap();
    let host = addresses.iter().find(|one| one["type"] == "InternalIP").unwrap()["address"].as_str().unwrap();
    let gateway = format!("{host}:{port}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Before a Gateway object opens the port, the connection ends at once.
            let Ok(server) = TcpStream::connect(&gateway) else { continue };
            copy(client.try_clone().unwrap(), server.try_clone().unwrap());
            copy(server, client);
        }
    });
    own
}

#[test]
fn requests_enter_by_a_node_port_or_a_port_forward_where_no_address_is_given_out() {
    let pair = Pair::until("istio");
    let folder = pair.lab.directory().join("fakes");
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::copy(project().join("tests/fakes/kubectl"), folder.join("bin/kubectl")).unwrap();
    fs::write(folder.join("forward"), forwarder(&pair.foreign).to_string()).unwrap();
    let run = |args: &[&str]| {
        let mut command = pair.command(args);
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display())).env("FAKE_DIR", &folder);
        finish(command)
    };
    let keeper = pair.lab.home().join("cluster/tunnel.json");
    for way in ["node-port", "port-forward"] {
        let up = run(&["up", "--cluster", "context:canary-lab", "--ingress", way]);
        assert_eq!(up.code, 0, "{way}: {}\n{}", up.out, up.err);
        assert!(up.out.contains("13 stages proven"), "{way}: {}", up.out);
        assert!(up.out.contains("300 requests: resnet50 "), "{way}: {}", up.out);
        let kept = fs::read_to_string(&keeper).ok();
        assert_eq!(kept.is_some(), way == "port-forward", "{way}: {kept:?}");
        let verify = run(&["verify"]);
        assert_eq!(verify.code, 0, "{way}: {verify:?}");
        let down = run(&["down"]);
        assert_eq!(down.code, 0, "{way}: {down:?}");
        if let Some(kept) = kept {
            let kept: Value = serde_json::from_str(&kept).unwrap();
            let pids = ["keeper", "child"].map(|one| u32::try_from(kept[one]["pid"].as_u64().unwrap()).unwrap());
            // One that ended and that nobody has asked about yet has no command line any more.
            let runs = |process: &super::bench::Process| pids.contains(&process.pid) && !process.command.is_empty();
            assert!(!processes().iter().any(runs), "{kept}");
        }
    }
    let calls = fs::read_to_string(folder.join("calls")).unwrap();
    assert!(calls.contains("port-forward --namespace=istio-system"), "{calls}");
    // No address was ever given out, so a load balancer is waited for in vain, and says so.
    let none = run(&["up", "--cluster", "context:canary-lab", "--ingress", "load-balancer", "--until", "tunnel"]);
    assert_ne!(none.code, 0, "{none:?}");
    assert!(none.err.contains("TUNNEL_NOT_RUNNING") && none.err.contains("has no external address after"), "{none:?}");
}

/// The fakes of `tests/fakes` in a folder of their own, which is first on PATH.
struct Fakes {
    pair: Pair,
    folder: PathBuf,
}

impl Fakes {
    /// The kubeconfig of a person whose only context is this profile's; its place and text.
    fn write_persons_kubeconfig(&self, profile: &str) -> (PathBuf, String) {
        let text = fs::read_to_string(self.folder.join("kubeconfig")).unwrap();
        let text = text
            .replace("- name: canary-lab # context", &format!("- name: {profile}"))
            .replace("current-context: canary-lab", &format!("current-context: {profile}"));
        let place = self.pair.lab.directory().join(".kube/config");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, &text).unwrap();
        (place, text)
    }

    /// minikube of this version, with a Kubernetes behind it and an Istio release on a server.
    fn new(version: &str) -> Self {
        let pair = Pair::until("cluster");
        let folder = pair.lab.directory().join("fakes");
        let programs = folder.join("bin");
        fs::create_dir_all(&programs).unwrap();
        for name in ["minikube", "kubectl", "sudo", "ip"] {
            fs::copy(project().join("tests/fakes").join(name), programs.join(name)).unwrap();
        }
        // What driver none looks for from Kubernetes 1.24 on.
        for name in ["cri-dockerd", "crictl", "conntrack"] {
            fs::copy(project().join("tests/fakes/ip"), programs.join(name)).unwrap();
        }
        let fakes = Self { pair, folder };
        fakes.set("version", version);
        let config = fs::read_to_string(fakes.pair.kubeconfig()).unwrap();
        let (clusters, rest) = config.split_once("contexts:\n- name: canary-lab\n").unwrap();
        fakes.set("kubeconfig", &format!("{clusters}contexts:\n- name: canary-lab # context\n{rest}"));
        let behind = |args: &str| {
            let (program, lab) = (env!("CARGO_BIN_EXE_canary-lab"), project().join("lab/tiny"));
            let home = fakes.pair.foreign.home();
            format!("exec {program} --lab {} --home {} {args}", lab.display(), home.display())
        };
        fakes.set("mesh-command", &behind("up --cluster embedded --until istio"));
        fakes.set("tunnel-command", &behind("tunnel"));
        fakes
    }

    fn set(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), format!("{text}\n")).unwrap();
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.pair.lab.tiny_command(args);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.folder.join("bin").display()));
        command.env("FAKE_DIR", &self.folder);
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args))
    }
}

/// A release server: one archive with the fake istioctl in it, and its checksum.
fn release_server() -> String {
    use std::io::{BufRead, BufReader, Write};
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let script = fs::read(project().join("tests/fakes/istioctl")).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(script.len() as u64);
    tar.append_data(&mut header, "istio-1.12.7/bin/istioctl", script.as_slice()).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&archive);
    let digest: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = lines.find(String::is_empty);
            let name = Path::new(path.trim_end_matches(".sha256"))
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let body = if path.ends_with(".sha256") {
                format!("{} {name}\n", digest.concat()).into_bytes()
            } else {
                archive.clone()
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[test]
fn minikube_istio_and_tunnel_from_nothing_again_and_away() {
    let fakes = Fakes::new("v1.36.0");
    let url = release_server();
    let args = [
        "up",
        "--cluster",
        "minikube",
        "--driver",
        "none",
        "--istio-url",
        &url,
        "--set",
        "values.telemetry.enabled=false",
    ];
    // A first start that dies half-way is gone on from.
    fakes.set("start", "die");
    let died = fakes.run(&args);
    assert_ne!(died.code, 0, "{died:?}");
    assert!(died.err.contains("MINIKUBE_"), "{}", died.err);
    let up = fakes.run(&args);
    assert_eq!(up.code, 0, "{}\n{}\n{}", up.out, up.err, fakes.calls());
    assert!(up.out.contains("13 stages proven") && up.out.contains("EXTERNAL-IP <pending> →"), "{}", up.out);
    let calls = fakes.calls();
    assert!(
        calls.contains(
            "minikube start --profile minikube --output json --interactive=false --kubernetes-version=v1.24.3"
        ),
        "{calls}"
    );
    assert!(calls.contains("istioctl install -y --set values.telemetry.enabled=false"), "{calls}");
    assert!(calls.contains("minikube tunnel --profile minikube"), "{calls}");

    let again = fakes.run(&["--output", "json", "up"]);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    for stage in again["stages"].as_array().unwrap() {
        assert_eq!(stage["outcome"], "satisfied", "{stage}");
    }
    let doctor = fakes.run(&["--output", "table", "doctor"]);
    assert!(doctor.out.contains("minikube (none, v1.24.3, running, fits)"), "{}", doctor.out);
    // A tunnel that is killed is started again.
    let record = fs::read_to_string(fakes.pair.lab.home().join("cluster/tunnel.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    kill(record["child"]["pid"].as_u64().unwrap().try_into().unwrap(), "-KILL");
    super::bench::eventually("the tunnel is started again", std::time::Duration::from_secs(20), || {
        fakes.calls().matches("minikube tunnel").count() >= 2
    });

    let down = fakes.run(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(fakes.calls().contains("minikube delete --profile minikube"), "{}", fakes.calls());
    assert!(!fakes.folder.join("profile").exists());
    let home = fakes.pair.lab.home();
    let left: Vec<String> = processes()
        .into_iter()
        .map(|process| process.command)
        .filter(|command| command.contains(home.to_str().unwrap()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn refusals_of_minikube_and_istioctl_have_their_reasons() {
    let fakes = Fakes::new("v1.36.0");
    let url = release_server();
    let up = |set: &[&str]| {
        let args = ["up", "--cluster", "minikube", "--driver", "none", "--istio-url", &url, "--until", "istio"];
        fakes.run(&[&args[..], set].concat())
    };
    for (start, reason, code) in [
        (
            "refuse RSRC_INSUFFICIENT_CORES 29 Requested cpu count 64 is greater than the available cpus of 2",
            "MINIKUBE_RESOURCES",
            11,
        ),
        (
            "refuse GUEST_MISSING_CONNTRACK 86 Sorry, Kubernetes 1.24.3 requires crictl to be installed in root's path",
            "MINIKUBE_RUNTIME",
            11,
        ),
        (
            "refuse-text DRV_UNSUPPORTED_OS 56 The driver 'banana' is not supported on linux/amd64",
            "MINIKUBE_DRIVER",
            11,
        ),
    ] {
        fakes.set("start", start);
        let ended = up(&[]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.err.contains(reason), "{start}: {}", ended.err);
        assert!(!ended.err.contains("specversion"), "events are told in words: {}", ended.err);
    }
    fakes.set("start", "ok");
    for (how, reason) in [("fail", "MESH_INSTALL_FAILED"), ("too-new", "KUBERNETES_TOO_NEW")] {
        fakes.set("istioctl-install", how);
        let ended = up(&[]);
        assert!(ended.err.contains(reason), "{how}: {}", ended.err);
    }
    // A delete that deletes nothing is not taken for one, and can be tried again.
    fakes.set("delete-fails", "");
    let down = fakes.run(&["down"]);
    assert!(down.code != 0 && down.err.contains("error deleting profile"), "{down:?}");
    fs::remove_file(fakes.folder.join("delete-fails")).unwrap();
    let down = fakes.run(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(!fakes.folder.join("profile").exists(), "{}", fakes.calls());
}

#[test]
fn the_classic_is_explained_before_anything_is_downloaded() {
    let fakes = Fakes::new("v1.37.0");
    let doctor = fakes.run(&["--output", "json", "doctor", "--cluster", "minikube", "--driver", "docker"]);
    assert_eq!(doctor.code, 11, "{doctor:?}");
    let doctor: Value = serde_json::from_str(&doctor.out).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let classic = checks.iter().find(|check| check["id"] == "minikube-kubernetes").unwrap();
    assert_eq!(
        (classic["severity"].as_str(), classic["reason"].as_str()),
        (Some("error"), Some("MINIKUBE_TOO_NEW")),
        "{classic}"
    );
    let fixes: Vec<&str> =
        classic["fix"].as_array().unwrap().iter().map(|fix| fix["command"].as_str().unwrap()).collect();
    for way in ["doctor --fix minikube", "--minikube-force", "context:NAME", "--cluster embedded"] {
        assert!(fixes.iter().any(|fix| fix.contains(way)), "{way}: {fixes:?}");
    }
    let auto = fakes.run(&["up", "--until", "preflight"]);
    assert_eq!(auto.code, 0, "{auto:?}");
    assert!(
        auto.out.contains("cluster embedded (minikube 1.37.0 starts no Kubernetes older than 1.28.0"),
        "{}",
        auto.out
    );
    assert!(!fakes.calls().contains("minikube start"), "{}", fakes.calls());
    let traced = fakes.run(&["--trace", "--output", "short", "doctor"]);
    assert!(traced.err.contains("+ minikube version\n  | minikube version: v1.37.0"), "{}", traced.err);
}

#[test]
fn a_profile_that_runs_and_fits_needs_nothing_that_a_start_would() {
    // This minikube starts no Kubernetes that fits, and driver none would want programs that are not there.
    let fakes = Fakes::new("v1.37.0");
    fakes.set("profile", "minikube Running none v1.24.3");
    fakes.write_persons_kubeconfig("minikube");
    let doctor = fakes.run(&["--output", "json", "doctor", "--cluster", "minikube"]);
    let doctor: Value = serde_json::from_str(&doctor.out).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    for id in ["minikube-kubernetes", "driver-none"] {
        let check = checks.iter().find(|check| check["id"] == id).unwrap();
        assert!(
            check["severity"] == "fine" && check.to_string().contains("runs Kubernetes v1.24.3 already"),
            "{check}"
        );
    }
    // Another version than the one that runs would have to be started.
    let other = ["--output", "json", "doctor", "--cluster", "minikube", "--kubernetes-version", "v1.23.0"];
    assert!(fakes.run(&other).out.contains("MINIKUBE_TOO_NEW"));
    let auto = fakes.run(&["up", "--until", "cluster"]);
    assert!(auto.code == 0 && auto.out.contains("cluster minikube"), "{auto:?}");
    assert!(!fakes.calls().contains("minikube start"), "{}", fakes.calls());
}

#[test]
fn models_are_copied_to_a_node_that_is_not_this_machine_and_compared_there() {
    let fakes = Fakes::new("v1.36.0");
    fakes.set("profile", "work Running docker v1.24.3");
    let (theirs, config) = fakes.write_persons_kubeconfig("work");
    let url = release_server();
    let up =
        fakes.run(&["up", "--cluster", "minikube", "--ingress", "node-port", "--istio-url", &url, "--until", "models"]);
    assert_eq!(up.code, 0, "{}\n{}\n{}", up.out, up.err, fakes.calls());
    assert!(!fakes.calls().contains("minikube start"), "a running profile that fits is used: {}", fakes.calls());
    assert!(!fakes.calls().contains("tunnel"), "{}", fakes.calls());
    let model = fakes.folder.join("node/var/lib/canary-lab/models/resnet50/1/saved_model.pb");
    let own = fakes.pair.lab.home().join("models/resnet50/1/saved_model.pb");
    assert_eq!(fs::read(&model).unwrap(), fs::read(own).unwrap());
    // Damaged behind our back: seen by its hash, and copied again.
    fs::write(&model, "damaged").unwrap();
    let verify = fakes.run(&["verify"]);
    assert!(verify.err.contains("MODEL_NOT_ON_NODE"), "{verify:?}");
    let again = fakes.run(&["up", "--until", "models"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_ne!(fs::read(&model).unwrap(), b"damaged");
    let down = fakes.run(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(!fakes.calls().contains("minikube delete"), "the profile is not the lab's: {}", fakes.calls());
    assert_eq!(fs::read_to_string(theirs).unwrap(), config, "the person's kubeconfig is read and never written");
}

#[test]
fn a_paused_profile_and_a_start_that_hangs_are_told_apart() {
    let fakes = Fakes::new("v1.36.0");
    let up = |set: &[&str]| {
        fakes.run(&[&["up", "--cluster", "minikube", "--driver", "none", "--until", "cluster"][..], set].concat())
    };
    // Somebody's own profile of the machine, paused before the lab came.
    fakes.set("profile", "minikube Paused none v1.24.3");
    let paused = up(&[]);
    assert_eq!(paused.code, 11, "{paused:?}");
    assert!(paused.err.contains("MINIKUBE_PROFILE_PAUSED") && paused.err.contains("minikube unpause"), "{paused:?}");
    fs::remove_file(fakes.folder.join("profile")).unwrap();

    fakes.set("start", "hang");
    let hung = up(&["--start-within", "2s"]);
    assert_eq!(hung.code, 10, "{hung:?}");
    assert!(hung.err.contains("TOOL_HUNG") && hung.err.contains("did not end within 2 s"), "{hung:?}");
    assert!(hung.err.contains("Using the none driver") && hung.err.contains("--start-within 1h"), "{hung:?}");
    let program = fakes.folder.join("bin/minikube");
    assert!(processes().iter().all(|process| !process.command.contains(program.to_str().unwrap())));

    fakes.set("start", "ok");
    let up = up(&[]);
    assert_eq!(up.code, 0, "{up:?}");
    // Back to before the cluster: it is gone, and the way on leads to the same one with the same options.
    let reset = fakes.run(&["reset", "--to", "preflight"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert!(!fakes.folder.join("profile").exists());
    let again = fakes.run(&["up", "--until", "cluster"]);
    assert!(again.code == 0 && again.out.contains("cluster minikube"), "{again:?}");
    assert_eq!(fakes.calls().matches("--driver=none").count(), 3, "{}", fakes.calls());
    // The lab's own profile, paused behind its back.
    fakes.set("profile", "minikube Paused none v1.24.3");
    let paused = fakes.run(&["verify"]);
    assert!(paused.code != 0 && paused.err.contains("paused"), "{paused:?}");
    let again = fakes.run(&["up", "--until", "cluster"]);
    assert!(again.code == 11 && again.err.contains("minikube unpause"), "{again:?}");
    // minikube's word for a node whose disk is full; it says so in the list only.
    fakes.set("profile", "minikube InsufficientStorage none v1.24.3");
    let full = fakes.run(&["up", "--until", "cluster"]);
    assert!(full.code == 11 && full.err.contains("MINIKUBE_DISK_FULL"), "{full:?}");
    assert!(full.err.contains("out of disk") && full.err.contains("docker system prune"), "{full:?}");
}

#[test]
fn a_class_takes_istio_along_and_needs_no_release_server() {
    let fakes = Fakes::new("v1.36.0");
    let url = release_server();
    let stick = fakes.pair.lab.directory().join("stick");
    let stick = stick.to_str().unwrap();
    let args = ["prefetch", "--cache", stick, "--cluster", "minikube", "--istio-url", &url];
    let prefetch = fakes.run(&args);
    assert_eq!(prefetch.code, 0, "{prefetch:?}");
    assert!(prefetch.out.contains("(Istio 1.12.7, ") && prefetch.out.contains("downloaded"), "{prefetch:?}");
    assert!(fakes.run(&args).out.contains("was there, whole"));
    let plain = fakes.run(&["prefetch", "--cache", stick]);
    assert!(!plain.out.contains("Istio"), "the embedded cluster needs none: {plain:?}");
    // In the class nothing answers at the publisher's address.
    let closed = "http://127.0.0.1:9";
    let up = ["up", "--cluster", "minikube", "--driver", "none", "--istio-url", closed, "--until", "istio"];
    let without = fakes.run(&up);
    assert!(without.code != 0, "{without:?}");
    let with = fakes.run(&[&up[..], &["--cache", stick]].concat());
    assert_eq!(with.code, 0, "{}\n{}\n{}", with.out, with.err, fakes.calls());
}
