//! The one table of checks.

use std::future::ready;

use futures::future::BoxFuture;

use super::subject::{Subject, Target};
use super::{Category, Finding, cluster, host, mesh, models, network, routing, tools};

/// An entry of the table.
pub struct CheckKind {
    /// Its stable name, which is its anchor in `docs/checks.md` too.
    pub id: &'static str,
    /// What it is about.
    pub category: Category,
    /// What is looked at.
    pub looks_at: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// The clusters for which a failure is an error; for others it is a warning.
    pub concerns: &'static [Target],
    /// Checks that must have held.
    pub needs: &'static [&'static str],
    /// Whether `doctor --fix` has a safe cure.
    pub fixable: bool,
    /// The look itself.
    pub(super) look: for<'s> fn(&'s Subject<'s>) -> BoxFuture<'s, Finding>,
}

impl std::fmt::Debug for CheckKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

const ALL: &[Target] = Target::ALL;
const EMBEDDED: &[Target] = &[Target::Embedded];
const MINIKUBE: &[Target] = &[Target::Minikube];
const REAL: &[Target] = &[Target::Minikube, Target::Context];
const CONTEXT: &[Target] = &[Target::Context];

macro_rules! checks {
    ($($id:literal $category:ident $concerns:ident $([needs $($needs:literal)+])? $(($fixable:ident))? $looks_at:literal $why:literal => $look:expr;)*) => {
        /// Every check, in the order in which they are asked.
        pub static CHECKS: &[CheckKind] = &[$(CheckKind {
            id: $id,
            category: Category::$category,
            looks_at: $looks_at,
            why: $why,
            concerns: $concerns,
            needs: &[$($($needs),+)?],
            fixable: checks!(@fixable $($fixable)?),
            look: $look,
        }),*];
    };
    (@fixable fixable) => { true };
    (@fixable) => { false };
}

checks! {
    "platform" Host ALL "operating system and processor" "the embedded cluster runs on Linux; macOS and WSL2 drive a cluster elsewhere"
        => |subject| Box::pin(ready(host::platform(subject)));
    "architecture" Host MINIKUBE "whether images for amd64 run here" "tensorflow/serving:2.5.1 and Istio 1.12's images are built for amd64"
        => |subject| Box::pin(ready(host::architecture(subject)));
    "avx" Host MINIKUBE "whether the processor has AVX" "tensorflow/serving ends with `Illegal instruction` without it"
        => |subject| Box::pin(ready(host::avx(subject)));
    "memory" Host ALL "free memory" "Istio and two ResNets want 4 GiB on minikube, the embedded cluster 1 GiB"
        => |subject| Box::pin(ready(host::memory(subject)));
    "disk" Host ALL "free disk in the lab's home" "models and, on minikube, images have to lie somewhere"
        => |subject| Box::pin(ready(host::disk(subject)));
    "open-files" Host EMBEDDED "how many files a process may open" "every connection of a proxy is one"
        => |subject| Box::pin(ready(host::open_files(subject)));
    "inotify" Host MINIKUBE "the kernel's limits on watched files" "too few, and pods die with `too many open files`"
        => |subject| Box::pin(ready(host::inotify(subject)));
    "cgroup" Host MINIKUBE "the version of the kernel's control groups" "old kubelets know version 1 only"
        => |subject| Box::pin(ready(host::cgroup(subject)));
    "clock" Host ALL "the clock" "certificates are not valid in the past"
        => |subject| Box::pin(ready(host::clock(subject)));
    "user" Host MINIKUBE "whether this is root" "minikube's docker driver refuses root, its driver none wants it"
        => |subject| Box::pin(ready(host::user(subject)));
    "loopback" Host EMBEDDED "whether addresses of 127.0.0.0/8 can be bound" "each pod of the embedded cluster has one"
        => |subject| Box::pin(ready(network::loopback(subject)));
    "pod-ports" Host EMBEDDED "who listens on all addresses at 8080, 8443, 8500, 8501, 15020, 15021 or 15090" "such a listener takes the port from every pod's address"
        => |subject| Box::pin(ready(network::pod_ports(subject)));
    "ingress-ports" Host EMBEDDED "who holds ports 80 and 443" "the ingress takes another port then"
        => |subject| Box::pin(ready(network::wished_ports(subject)));
    "proxy" Host ALL "proxy variables and NO_PROXY" "curl and Python would send the lab's addresses to the proxy"
        => |subject| Box::pin(ready(network::proxy(subject)));
    "dns" Host ALL "whether names resolve" "downloads need names, and some machines do not even know localhost"
        => |subject| Box::pin(network::names(subject));

    "curl" Tools ALL "curl" "the tutorial's requests are typed with it"
        => |subject| Box::pin(ready(tools::curl(subject)));
    "kubectl" Tools ALL "kubectl, and how far its version is from the cluster's" "it works one minor version up and down"
        => |subject| Box::pin(tools::kubectl(subject));
    "minikube" Tools MINIKUBE (fixable) "minikube" "the tutorial's own cluster"
        => |subject| Box::pin(tools::minikube(subject));
    "minikube-kubernetes" Tools MINIKUBE [needs "minikube"] (fixable) "the oldest Kubernetes that this minikube starts" "from 1.37 on it starts none that Istio 1.12 runs on"
        => |subject| Box::pin(tools::minikube_kubernetes(subject));
    "docker" Tools MINIKUBE [needs "minikube"] "docker: there, running, allowed, not from snap" "minikube's usual driver"
        => |subject| Box::pin(tools::docker(subject));
    "driver-none" Tools MINIKUBE [needs "minikube"] "what driver none needs: cri-dockerd, crictl, conntrack" "from Kubernetes 1.24 on the kubelet does not bring them"
        => |subject| Box::pin(ready(tools::driver_none(subject)));
    "minikube-profiles" Tools MINIKUBE [needs "minikube"] "minikube's profiles: damaged, paused, of another driver" "a running one that fits is used"
        => |subject| Box::pin(tools::profiles(subject));
    "istioctl" Tools REAL "the istioctl on PATH" "another version installs another Istio; the lab uses its own"
        => |subject| Box::pin(tools::istioctl(subject));
    "tunnel-password" Tools MINIKUBE [needs "minikube"] "whether `minikube tunnel` will ask for a password" "a prompt out of nowhere looks like a hang"
        => |subject| Box::pin(tools::password(subject));

    "cluster" Cluster ALL "whether the lab's cluster answers" "everything below needs it"
        => |subject| Box::pin(cluster::cluster(subject));
    "permissions" Cluster CONTEXT [needs "cluster"] "what the kubeconfig's user may do" "a refusal in the middle leaves half a lab"
        => |subject| Box::pin(cluster::permissions(subject));
    "kubernetes" Cluster REAL [needs "cluster"] "the cluster's version against the matrix" "Istio 1.12 installs on Kubernetes 1.19 to 1.24"
        => |subject| Box::pin(cluster::version(subject));
    "nodes" Cluster ALL [needs "cluster"] "whether every node is ready" "pods wait for one that is"
        => |subject| Box::pin(cluster::nodes(subject));
    "namespaces" Cluster ALL [needs "cluster"] "namespaces that are stuck in deletion" "the lab cannot make what is still going away"
        => |subject| Box::pin(cluster::stuck_namespaces(subject));
    "mesh-leftovers" Cluster ALL [needs "cluster"] (fixable) "webhooks of a removed Istio" "they survive its uninstall and refuse what nobody answers for"
        => |subject| Box::pin(cluster::mesh_leftovers(subject));
    "mesh-definitions" Cluster REAL [needs "cluster"] "Istio's definitions without istiod" "leftovers of an earlier install"
        => |subject| Box::pin(cluster::definitions(subject));

    "mesh" Mesh ALL [needs "cluster"] "istiod and the ingress gateway" "without them no route takes effect"
        => |subject| Box::pin(mesh::running(subject));
    "mesh-version" Mesh REAL [needs "cluster" "mesh"] "Istio's version" "texts and rules differ between versions"
        => |subject| Box::pin(mesh::version(subject));
    "ingress" Mesh ALL [needs "cluster" "mesh"] "the ingress service's address and the tunnel" "EXTERNAL-IP stays <pending> without one"
        => |subject| Box::pin(mesh::ingress(subject));
    "injection" Mesh ALL [needs "cluster" "mesh"] (fixable) "the namespace's label for injection" "pods made without it get no sidecar"
        => |subject| Box::pin(mesh::injection(subject));
    "sidecars" Mesh ALL [needs "cluster" "mesh" "injection"] "the sidecar in each pod" "a pod that is older than the label has none"
        => |subject| Box::pin(mesh::sidecars(subject));
    "images" Mesh ALL [needs "cluster"] "whether images could be pulled" "a node without network waits for ever"
        => |subject| Box::pin(mesh::images(subject));

    "model-layout" Models ALL "NAME/VERSION/saved_model.pb and variables" "TensorFlow Serving finds a model by its folders"
        => |subject| Box::pin(ready(models::layout(subject)));
    "model-readable" Models REAL [needs "model-layout"] "whether other users may read the files" "the model server is another user in its pod"
        => |subject| Box::pin(ready(models::readable(subject)));
    "model-loadable" Models ALL [needs "model-layout"] "signature, inputs, and whether TensorFlow 2.5 knows every op" "one from TensorFlow 2.12 or later does not load"
        => |subject| Box::pin(models::loadable(subject));
    "model-on-node" Models ALL [needs "cluster" "model-layout"] "the files on the node that mounts them, by hash" "minikube's node is not your machine; an empty folder is mounted without a word"
        => |subject| Box::pin(models::on_node(subject));

    "route-namespace" Routing ALL [needs "cluster"] "objects in the wrong namespace" "a short host name means a service of the object's own namespace"
        => |subject| Box::pin(routing::ask(subject, routing::namespaces));
    "route-gateway" Routing ALL [needs "cluster"] "the Gateway's selector and hosts" "a Gateway that selects nothing opens nothing"
        => |subject| Box::pin(routing::ask(subject, routing::gateway));
    "route-bound" Routing ALL [needs "cluster"] "whether the VirtualService is bound to a gateway" "without `gateways` it means the mesh, and the ingress answers 404"
        => |subject| Box::pin(routing::ask(subject, routing::bound));
    "route-ports" Routing ALL [needs "cluster"] "the route's service and port" "where the service has two ports, the route must name one"
        => |subject| Box::pin(routing::ask(subject, routing::ports));
    "route-weights" Routing ALL [needs "cluster"] "whether weights add up to 100" "the webhook refuses others, and something may have come in without it"
        => |subject| Box::pin(routing::ask(subject, routing::weights));
    "route-subsets" Routing ALL [needs "cluster"] "DestinationRule, subsets, and pods with their labels" "a subset that does not exist, or is empty, answers 503"
        => |subject| Box::pin(routing::ask(subject, routing::subsets));
}
