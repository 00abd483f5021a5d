//! The table of situations: what a learner of the lab runs into, told apart more finely than by reason.
//!
//! A reason says what kind of failure it is; a situation says how it came about. [`crate::hints`] finds them in what is
//! observed of a cluster, and `docs/hints.md` is generated from here.

use serde::{Serialize, Serializer};

use super::failure::Failure;
use super::reasons::Reason;

macro_rules! situations {
    ($($name:ident $id:literal $reason:ident $sign:literal $cause:literal;)*) => {
        /// How a failure came about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Situation {
            $(#[doc = $cause] $name,)*
        }

        impl Situation {
            /// Every situation, from the cluster's ground up.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// The reason that it is a case of.
            pub const fn reason(self) -> Reason {
                match self { $(Self::$name => Reason::$reason,)* }
            }

            /// What one sees of it from outside.
            pub const fn sign(self) -> &'static str {
                match self { $(Self::$name => $sign,)* }
            }

            /// What is behind it.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }
        }
    };
}

situations! {
    NamespaceMissing "namespace-missing" ObjectMissing
        "`kubectl apply` says that the namespace is not found"
        "an object can only be made in a namespace that exists";
    NamespaceTerminating "namespace-terminating" NamespaceTerminating
        "nothing new can be made in the namespace"
        "the namespace is being deleted; it goes when everything in it has gone";
    WrongNamespace "wrong-namespace" ObjectMissing
        "`kubectl get` shows the object only with `-A`"
        "the object was made in another namespace, where nothing of the lab looks for it";
    NotApplied "not-applied" ObjectMissing
        "the object does not exist"
        "its manifest was not applied yet";
    Altered "altered" ObjectChanged
        "the object exists, with other values"
        "the object is not what the lab's manifest says";

    NamespaceNotLabelled "namespace-not-labelled" SidecarMissing
        "pods are 1/1 instead of 2/2"
        "the namespace does not ask Istio for sidecars: the label istio-injection=enabled is missing or has another value";
    LabelAfterPods "label-after-pods" SidecarMissing
        "pods are 1/1 instead of 2/2 although the namespace has its label"
        "the namespace was labelled after the pods were made, and only new pods get a sidecar";
    ReplicasZero "replicas-zero" NoHealthyUpstream
        "503 `no healthy upstream`; the Deployment is 0/0"
        "the Deployment was scaled to no pods at all";
    ConfigMapMissing "configmap-missing" ContainerConfig
        "the pod waits with CreateContainerConfigError"
        "the pod takes its environment from a ConfigMap that does not exist; it starts by itself once it is there";
    ConfigMapKeyMissing "configmap-key-missing" CrashLoop
        "the model server's arguments contain `$(NAME)` as it stands"
        "the pod's arguments refer to a variable that the ConfigMap does not have, so it is not replaced";
    ModelPathWrong "model-path-wrong" RolloutTimeout
        "the pod runs, its log says that no versions are found, requests get 503 `upstream connect error`"
        "the ConfigMap's MODEL_PATH is not where the pod mounts the model";
    HostPathEmpty "hostpath-empty" RolloutTimeout
        "the pod runs, its log says that no versions are found, requests get 503 `upstream connect error`"
        "the folder that the pod mounts from its node is empty or not there; the node need not be your own machine";
    ModelDamaged "model-damaged" ModelDamaged
        "the model server ends or reports an error while it loads"
        "the model's files are truncated or changed";
    ImageMisspelt "image-misspelt" ImageUnknown
        "the pod waits with ErrImagePull or ImagePullBackOff"
        "the image's name or tag does not exist";
    Unschedulable "unschedulable" RolloutTimeout
        "the pod stays Pending"
        "no node has room for what the pod asks for";
    Crashing "crashing" CrashLoop
        "the pod restarts again and again (CrashLoopBackOff)"
        "the container's program ends by itself";

    ServiceMissing "service-missing" RouteClusterMissing
        "503 with an empty body"
        "the route sends to a Service that does not exist";
    ServiceSelector "service-selector" NoHealthyUpstream
        "503 `no healthy upstream`; `kubectl get endpoints` shows <none>"
        "the Service's selector fits no pod's labels";
    ServicePort "service-port" RouteClusterMissing
        "503 with an empty body"
        "the route names a port that the Service does not have";
    TargetPort "target-port" PredictionFailed
        "503 `upstream connect error`"
        "the Service sends to a port at which the pod's program does not listen";

    TunnelNotRunning "tunnel-not-running" TunnelNotRunning
        "EXTERNAL-IP is <pending>"
        "nothing gives the LoadBalancer service an address; on one machine that is the tunnel's part";
    WrongPort "wrong-port" IngressUnreachable
        "connection refused, or an answer of something else"
        "the request goes to a port that the ingress service does not offer for HTTP";
    GatewayMissing "gateway-missing" IngressUnreachable
        "connection refused"
        "no Gateway object opens the port, so nothing listens";
    GatewaySelector "gateway-selector" IngressUnreachable
        "connection refused although the Gateway exists"
        "the Gateway's selector fits no gateway pod, so none obeys it";
    GatewayPort "gateway-port" IngressUnreachable
        "connection refused although the Gateway exists"
        "the Gateway opens another port than the one that is asked";
    ProxyInTheWay "proxy-in-the-way" ProxyWithoutException
        "curl gets an answer of a proxy, or none"
        "curl and Python send requests for the ingress address to the proxy of the environment";

    VirtualServiceMissing "virtualservice-missing" RouteMissing
        "404 with an empty body"
        "the gateway listens, but no VirtualService says where requests go";
    GatewayNameWrong "gateway-name-wrong" RouteMissing
        "404 with an empty body although the VirtualService exists"
        "the VirtualService names a Gateway that does not exist";
    GatewayElsewhere "gateway-elsewhere" RouteMissing
        "404 with an empty body although the VirtualService exists"
        "the VirtualService names a Gateway of its own namespace, and the Gateway is in another one";
    MeshOnly "mesh-only" RouteMissing
        "404 with an empty body although the VirtualService exists"
        "without its Gateway among `gateways` (or with `mesh` alone) a VirtualService is for the sidecars only";
    HostMismatch "host-mismatch" RouteMissing
        "404 with an empty body although the VirtualService exists"
        "the request's Host is not among the hosts of Gateway and VirtualService";
    NoRuleMatches "no-rule-matches" RouteMissing
        "404 with an empty body for some requests"
        "every rule has a condition, and the request meets none";
    DestinationRuleMissing "destinationrule-missing" RouteClusterMissing
        "503 with an empty body"
        "the route sends to a subset, and no DestinationRule defines any for the Service";
    DestinationRuleHost "destinationrule-host" RouteClusterMissing
        "503 with an empty body although the DestinationRule exists"
        "the DestinationRule is for another host than the route's, so its subsets do not count";
    SubsetMisspelt "subset-misspelt" RouteClusterMissing
        "503 with an empty body"
        "the subset is misspelt, so the gateway knows no such cluster (flag NC)";
    SubsetWithoutPods "subset-without-pods" NoHealthyUpstream
        "503 `no healthy upstream`"
        "no ready pod carries the labels of the subset";
    HostMisspelt "host-misspelt" RouteClusterMissing
        "503 with an empty body"
        "the route's host is no Service: it is misspelt, or in another namespace";
    RuleShadowed "rule-shadowed" StrayAnswer
        "the rule for the header never applies"
        "rules are read from the top, and one without a condition stands before this one";
    HeaderValue "header-value" StrayAnswer
        "a request with the header is answered as if it had none"
        "header values are compared letter by letter; the request's is written otherwise";
    HeaderName "header-name" StrayAnswer
        "a request with the header is answered as if it had none"
        "no rule looks at a header of that name; it is misspelt in the request or in the rule";
    NoSubsets "no-subsets" StrayAnswer
        "answers come from both versions in turn"
        "the route sends to the whole Service, which selects the pods of both versions";
    LeftoverRoutes "leftover-routes" StrayAnswer
        "a change of the VirtualService has no effect"
        "an older VirtualService of another name has the same host and gateway, and its rules come first";
    WeightsRefused "weights-refused" ApplyRefused
        "`kubectl apply` says: total destination weight … != 100"
        "the weights of a rule must add up to 100; nothing was changed";
    ManifestRefused "manifest-refused" ApplyRefused
        "`kubectl apply` prints an error"
        "the API server does not accept the file as it is; nothing was changed";
    FaultInjected "fault-injected" PredictionFailed
        "some requests fail with a status of the rule's choice"
        "the rule injects faults on purpose";

    ModelNameWrong "model-name-wrong" PredictionFailed
        "404 with `Servable not found for request`"
        "the model server is reached, and serves a model of another name or version than the request's path says";
    PathWrong "path-wrong" PredictionFailed
        "400 with `Malformed request`"
        "the model server is reached, and the path is none that it knows";
    NotServing "not-serving" PredictionFailed
        "503 `upstream connect error`"
        "the pod is reached, and its model server does not listen there: not yet, not any more, or at another port";
}

impl Situation {
    /// A failure by this situation, with its cause.
    pub fn seen(self, headline: impl Into<String>) -> Failure {
        let mut failure = Failure::new(self.reason(), headline).because(self.cause());
        failure.situation = Some(self);
        failure
    }
}

impl Serialize for Situation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// The text of `docs/hints.md`.
pub fn hints_page() -> String {
    let mut page = String::from(
        "# Hints\n\n<!-- Generated from src/doctor/situations.rs; `cargo test hints_page` says how to renew it. -->\n\n\
         What `canary-lab walk` (key h), `canary-lab explain`, `verify` and a failed `up` recognise by looking at the cluster.\n\
         Each is a case of a [reason](reasons.md).\n\n| situation | one sees | because | reason |\n|---|---|---|---|\n",
    );
    for situation in Situation::ALL {
        page.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            situation.id(),
            situation.sign(),
            situation.cause(),
            situation.reason().id()
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hints_page_is_current() {
        crate::testing::assert_page_is_current("hints.md", &hints_page());
    }

    #[test]
    fn ids_are_unique_and_plain() {
        let ids: BTreeSet<_> = Situation::ALL.iter().map(|situation| situation.id()).collect();
        assert_eq!(ids.len(), Situation::ALL.len());
        assert!(ids.iter().all(|id| id.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')));
    }
}
