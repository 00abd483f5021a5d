//! The one table of reasons: id, layer, likely cause, commands to go on with.

use serde::{Serialize, Serializer};

/// Where a failure lies; each layer has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The lab's own mistake.
    Internal,
    /// The command line.
    Usage,
    /// The lab's data.
    Lab,
    /// The home directory, the state file and the lock.
    Home,
    /// This machine.
    Machine,
    /// The cluster and its API.
    Cluster,
    /// The mesh.
    Mesh,
    /// The way in from outside.
    Tunnel,
    /// Models on disk.
    Models,
    /// Objects in the cluster.
    Objects,
    /// Deployments and pods.
    Workload,
    /// Answers of the model.
    Prediction,
    /// Routes.
    Routing,
    /// Judgements about a sample.
    Split,
    /// Neither right nor wrong could be shown.
    Inconclusive,
    /// Something was left behind.
    Teardown,
    /// Stopped by the person.
    Interrupted,
}

impl Layer {
    /// Every layer, by exit code.
    pub const ALL: &'static [Self] = &[
        Self::Internal,
        Self::Usage,
        Self::Lab,
        Self::Home,
        Self::Machine,
        Self::Cluster,
        Self::Mesh,
        Self::Tunnel,
        Self::Models,
        Self::Objects,
        Self::Workload,
        Self::Prediction,
        Self::Routing,
        Self::Split,
        Self::Inconclusive,
        Self::Teardown,
        Self::Interrupted,
    ];

    /// The process's exit code for a failure of this layer.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Lab => 3,
            Self::Home => 4,
            Self::Machine => 10,
            Self::Cluster => 11,
            Self::Mesh => 12,
            Self::Tunnel => 13,
            Self::Models => 14,
            Self::Objects => 20,
            Self::Workload => 21,
            Self::Prediction => 22,
            Self::Routing => 23,
            Self::Split => 24,
            Self::Inconclusive => 25,
            Self::Teardown => 30,
            Self::Interrupted => 130,
        }
    }

    /// A heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Internal => "The lab itself",
            Self::Usage => "Command line",
            Self::Lab => "Lab data",
            Self::Home => "Home directory and state",
            Self::Machine => "This machine",
            Self::Cluster => "Cluster",
            Self::Mesh => "Mesh",
            Self::Tunnel => "Way in",
            Self::Models => "Models",
            Self::Objects => "Objects",
            Self::Workload => "Workloads",
            Self::Prediction => "Predictions",
            Self::Routing => "Routes",
            Self::Split => "Traffic",
            Self::Inconclusive => "Inconclusive",
            Self::Teardown => "Teardown",
            Self::Interrupted => "Interrupted",
        }
    }

    /// What the exit code says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Internal => "the lab itself is at fault: an error that it has no better name for",
            Self::Usage => "the command line was not understood, or asks for what is not there",
            Self::Lab => "a lab file or a manifest is not valid",
            Self::Home => "the home directory, its state file or its lock stand in the way",
            Self::Machine => "this machine lacks something, or something else holds what is needed",
            Self::Cluster => "the cluster is not there, not reachable or not the right one",
            Self::Mesh => "the mesh is not installed or not ready",
            Self::Tunnel => "the ingress gateway has no address that can be reached",
            Self::Models => "a model could not be built, or its files are damaged",
            Self::Objects => "the cluster refused an object, or an object is missing or was changed",
            Self::Workload => "a workload does not become ready",
            Self::Prediction => "a prediction failed, or is not what the SavedModel says",
            Self::Routing => "the gateway has no working route for a request",
            Self::Split => "a sample shows that traffic is not divided as wanted",
            Self::Inconclusive => "nothing could be shown, neither right nor wrong: errors, or time was up",
            Self::Teardown => "something of the lab could not be removed",
            Self::Interrupted => "stopped by Ctrl-C or a termination signal; the next `up` goes on from there",
        }
    }
}

macro_rules! reasons {
    ($($name:ident $id:literal $layer:ident $cause:literal [$($command:literal => $effect:literal),*];)*) => {
        /// A stable name for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $cause] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the layers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable id, which scripts and reports use.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Where it lies.
            pub const fn layer(self) -> Layer {
                match self { $(Self::$name => Layer::$layer,)* }
            }

            /// The likely cause, for when nothing more precise is known.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }

            /// Commands to go on with, each with what it does.
            pub const fn next(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Self::$name => &[$(($command, $effect)),*],)* }
            }
        }
    };
}

reasons! {
    Internal "INTERNAL" Internal "the lab met a situation that it does not know"
        ["canary-lab status" => "shows what stands and where the evidence is"];

    Usage "USAGE" Usage "the arguments do not fit together"
        ["canary-lab help" => "lists the commands"];
    StageUnknown "STAGE_UNKNOWN" Usage "the lab has no stage of that name"
        ["canary-lab status" => "lists the stages"];
    ProviderNotAvailable "PROVIDER_NOT_AVAILABLE" Usage "this build of the lab brings its own cluster and does not drive others yet"
        ["canary-lab up --cluster embedded" => "runs the lab on the embedded cluster"];

    LabNotFound "LAB_NOT_FOUND" Lab "there is no lab.yaml where `--lab` points"
        ["canary-lab export DIR" => "writes the built-in lab's files, to start from"];
    LabInvalid "LAB_INVALID" Lab "the lab file does not follow the schema"
        ["canary-lab export DIR" => "writes the built-in lab's files, to compare with"];
    ManifestInvalid "MANIFEST_INVALID" Lab "the manifest is not a Kubernetes object as the API describes it"
        ["canary-lab export DIR" => "writes the built-in lab's manifests, to compare with"];

    HomeUnknown "HOME_UNKNOWN" Home "neither HOME nor XDG_DATA_HOME is set, so there is no place for the lab"
        ["canary-lab --home DIR up" => "names the place"];
    HomeNotWritable "HOME_NOT_WRITABLE" Home "the directory belongs to someone else or lies on a read-only file system"
        ["canary-lab --home DIR up" => "uses another directory"];
    HomeFull "HOME_FULL" Home "the file system of the home directory is full"
        ["df -h" => "shows what is full", "canary-lab --home DIR up" => "uses a directory elsewhere"];
    HomeLocked "HOME_LOCKED" Home "another command is changing this lab"
        ["canary-lab status" => "shows how far it is", "canary-lab --home DIR up" => "builds a second lab beside it"];
    HomeOtherLab "HOME_OTHER_LAB" Home "this home holds a lab of another name, and two labs do not share one cluster"
        ["canary-lab down" => "takes the other lab down", "canary-lab --home DIR up" => "builds this one elsewhere"];
    StateNewer "STATE_NEWER" Home "the state file was written by a newer canary-lab, which this one must not overwrite"
        ["canary-lab --version" => "shows this version", "canary-lab --home DIR up" => "builds a lab beside it"];
    StateUnreadable "STATE_UNREADABLE" Home "the state file cannot be read"
        ["canary-lab --home DIR up" => "uses another directory"];
    StateSetAside "STATE_SET_ASIDE" Home "the state file was not one that the lab wrote completely, so it was kept aside and what stands is found out anew"
        ["canary-lab up" => "finds out what stands and continues"];

    PlatformUnsupported "PLATFORM_UNSUPPORTED" Machine "the embedded cluster needs Linux on x86_64 or aarch64"
        ["canary-lab doctor" => "shows every check"];
    PortHeldByWildcard "PORT_HELD_BY_WILDCARD" Machine "a program listens on all addresses at a port that pods of the lab need on their own addresses"
        ["canary-lab doctor" => "names the program; stop it, or let it listen on 127.0.0.1 only"];
    AddressesTaken "ADDRESSES_TAKEN" Machine "every block of loopback addresses that a lab may use is claimed, or this kernel has no 127.0.0.0/8 on lo"
        ["canary-lab ls" => "lists the labs that run on this machine"];
    DiskLow "DISK_LOW" Machine "the models need about 400 MB in the home directory"
        ["df -h" => "shows what is full", "canary-lab --home DIR up" => "uses a directory elsewhere"];
    MemoryLow "MEMORY_LOW" Machine "two ResNets need about 1 GiB of free memory"
        ["free -h" => "shows what is used"];
    OpenFilesLow "OPEN_FILES_LOW" Machine "a cluster of processes needs more open files than the limit allows"
        ["ulimit -n 1024" => "raises the limit for this shell"];
    ToolMissing "TOOL_MISSING" Machine "the lab itself does not need the tool; typing the tutorial's commands does"
        ["canary-lab up" => "works without it"];
    ProxyWithoutException "PROXY_WITHOUT_EXCEPTION" Machine "curl and Python would send requests for the lab's loopback addresses to the proxy"
        ["eval \"$(canary-lab env)\"" => "exports NO_PROXY with the lab's addresses"];
    CpuWithoutAvx "CPU_WITHOUT_AVX" Machine "tensorflow/serving's image needs AVX; the embedded model server does not"
        ["canary-lab up --cluster embedded" => "works on this processor"];

    ClusterNotStarted "CLUSTER_NOT_STARTED" Cluster "the embedded cluster's daemon ended before it was ready"
        ["canary-lab up" => "starts it again", "canary-lab doctor" => "checks this machine"];
    ClusterNotRunning "CLUSTER_NOT_RUNNING" Cluster "the cluster was never started, or it was stopped"
        ["canary-lab up" => "starts it and continues from what stands"];
    ApiUnreachable "API_UNREACHABLE" Cluster "the API server does not answer"
        ["canary-lab up" => "restarts what is down and continues"];
    ClusterVersion "CLUSTER_VERSION" Cluster "the cluster is of another Kubernetes version than the lab was written for"
        ["canary-lab down" => "takes the lab down", "canary-lab up" => "builds it anew"];

    MeshNotReady "MESH_NOT_READY" Mesh "a part of the mesh does not run"
        ["canary-lab up" => "installs what is missing"];

    TunnelNotRunning "TUNNEL_NOT_RUNNING" Tunnel "no tunnel runs, so nothing gives the LoadBalancer service an address"
        ["canary-lab tunnel" => "runs it in this terminal", "canary-lab up" => "starts it in the background"];
    IngressUnreachable "INGRESS_UNREACHABLE" Tunnel "nothing accepts connections at the ingress address: no Gateway object opens the port, or the gateway does not run"
        ["kubectl get gateways.networking.istio.io -A" => "lists the Gateway objects", "canary-lab up" => "puts back what is missing"];

    ModelNotBuilt "MODEL_NOT_BUILT" Models "the SavedModel could not be written"
        ["canary-lab up" => "builds it again"];
    ModelDamaged "MODEL_DAMAGED" Models "the SavedModel's files are not what was built: truncated or changed"
        ["canary-lab up" => "builds it again"];
    ModelUnknown "MODEL_UNKNOWN" Models "the name is not one of the catalogue's, or not one of the lab's"
        ["canary-lab models list" => "shows the catalogue"];
    ModelMissing "MODEL_MISSING" Models "the directory holds no saved_model.pb, neither itself nor in a folder that is named by a number"
        ["ls -l DIR DIR/1" => "shows what is there"];
    ModelVersionNotNumber "MODEL_VERSION_NOT_NUMBER" Models "TensorFlow Serving takes a folder for a version only if its name is a number, and ignores every other"
        ["mv DIR/NAME DIR/1" => "names the folder as a version"];
    ModelWithoutServeTag "MODEL_WITHOUT_SERVE_TAG" Models "the SavedModel was exported for something else than serving, such as training"
        ["canary-lab models inspect DIR" => "shows what the model is made of"];
    ModelLinkOutside "MODEL_LINK_OUTSIDE" Models "a link in the model's directory leads out of it, where a pod that mounts the directory finds nothing"
        ["find DIR -type l -ls" => "shows the links; put the files themselves there"];
    ModelTooNew "MODEL_TOO_NEW" Models "it was saved by a TensorFlow or Keras whose graphs TensorFlow 2.5, which tensorflow/serving:2.5.1 embeds, does not know"
        ["canary-lab models inspect DIR" => "shows every op and attribute that came later", "canary-lab models build --from DIR OUT" => "writes the same model with ops that TensorFlow 2.5 knows"];
    ModelNotServable "MODEL_NOT_SERVABLE" Models "the model is no image classifier: it must take one batch of pictures and give one list of scores for each"
        ["canary-lab models inspect DIR" => "shows the signatures"];
    WeightsUnreadable "WEIGHTS_UNREADABLE" Models "the file is not HDF5 as Keras writes weights, or it is cut off"
        ["ls -l FILE" => "shows its size", "canary-lab models list --output json" => "shows the sizes and digests of the published files"];
    WeightsOtherArchitecture "WEIGHTS_OTHER_ARCHITECTURE" Models "the weights were saved from another network"
        ["canary-lab models list" => "shows the networks that the lab builds", "canary-lab up --model-dir NAME=DIR" => "serves any SavedModel instead"];
    WeightsNotNumbers "WEIGHTS_NOT_NUMBERS" Models "the file is damaged, or the training that it comes from diverged"
        ["canary-lab up --weights synthetic" => "uses the lab's own weights"];
    WeightsMissing "WEIGHTS_MISSING" Models "the folder has neither a weights file nor a SavedModel for the model"
        ["canary-lab prefetch --cache DIR" => "downloads the published files into a folder"];
    DownloadUnreachable "DOWNLOAD_UNREACHABLE" Models "there is no network, a firewall is in the way, or the proxy's address is wrong"
        ["canary-lab up --weights synthetic" => "needs no network", "canary-lab prefetch --cache DIR" => "downloads on a machine that has one; take DIR along and use `up --cache DIR`"];
    DownloadRefused "DOWNLOAD_REFUSED" Models "the server has no such file, or gives it to nobody"
        ["canary-lab prefetch --mirror URL" => "downloads from another server"];
    DownloadBroken "DOWNLOAD_BROKEN" Models "the connection broke or fell silent; what came is kept"
        ["canary-lab prefetch" => "goes on where it stopped"];
    DownloadWebPage "DOWNLOAD_WEB_PAGE" Models "the network wants a login first, or a proxy answers in the server's place"
        ["curl -I https://storage.googleapis.com" => "shows who answers; log in with a browser, then try again"];
    DownloadDamaged "DOWNLOAD_DAMAGED" Models "the file is another one than was published, or was changed on the way; it was not kept"
        ["canary-lab prefetch" => "downloads it anew"];
    PictureUnreadable "PICTURE_UNREADABLE" Models "the file is neither a JPEG nor a PNG that can be decoded"
        ["canary-lab payload PICTURE" => "turns a JPEG or PNG into a request body"];

    ApplyRefused "APPLY_REFUSED" Objects "the API server or an admission webhook does not accept the object"
        ["canary-lab export DIR" => "writes the lab's manifests, to compare with"];
    NamespaceTerminating "NAMESPACE_TERMINATING" Objects "the namespace is being deleted"
        ["canary-lab up" => "continues once it is gone"];
    ObjectMissing "OBJECT_MISSING" Objects "the object was deleted since the lab made it"
        ["canary-lab up" => "makes it again"];
    ObjectChanged "OBJECT_CHANGED" Objects "the object was changed since the lab applied it"
        ["canary-lab up" => "applies the lab's manifest again"];
    WorkFileChanged "WORK_FILE_CHANGED" Objects "a file of the work folder is missing or differs from the lab's"
        ["canary-lab up" => "writes it again and keeps the changed one beside it"];

    RolloutTimeout "ROLLOUT_TIMEOUT" Workload "the pods did not become ready in time"
        ["canary-lab status" => "shows where the logs are", "canary-lab up" => "waits once more"];
    ImageUnknown "IMAGE_UNKNOWN" Workload "the embedded cluster has no such image: it knows tensorflow/serving and Istio's"
        ["canary-lab up" => "applies the lab's manifest again"];
    ContainerConfig "CONTAINER_CONFIG" Workload "the container refers to a ConfigMap, Secret or key that does not exist"
        ["canary-lab up" => "makes what is missing"];
    CrashLoop "CRASH_LOOP" Workload "the container's program ends again and again"
        ["kubectl logs -n tf-serving -l app=image-classifier -c tf-serving" => "shows why"];
    SidecarMissing "SIDECAR_MISSING" Workload "the namespace was labelled after the pods were made, and only new pods get a sidecar"
        ["kubectl rollout restart deployment -n tf-serving" => "makes new pods, with sidecars"];

    PredictionFailed "PREDICTION_FAILED" Prediction "the model server did not answer the request with a prediction"
        ["kubectl logs -n tf-serving -l app=image-classifier -c tf-serving" => "shows the model server's side"];
    PredictionWrong "PREDICTION_WRONG" Prediction "the answer is not what any of the lab's SavedModels computes for the picture"
        ["canary-lab up" => "checks the models' files and builds damaged ones again"];
    PublishedListMissed "PUBLISHED_LIST_MISSED" Prediction "the model answers as its SavedModel says, but not as the tutorial prints: the weights or the picture are not the tutorial's"
        ["canary-lab models list --output json" => "shows the published list and digests"];
    AnsweredByOther "ANSWERED_BY_OTHER" Prediction "the answer is right, but it is another model's"
        ["canary-lab up" => "puts the lab's routes back"];

    RouteMissing "ROUTE_MISSING" Routing "no rule of a VirtualService that is bound to the gateway matches the request (404, flag NR)"
        ["canary-lab up" => "puts the lab's own VirtualService back"];
    RouteClusterMissing "ROUTE_CLUSTER_MISSING" Routing "the matching rule sends to a service or subset that does not exist (503, flag NC)"
        ["canary-lab up" => "puts the lab's own VirtualService and DestinationRule back"];
    NoHealthyUpstream "NO_HEALTHY_UPSTREAM" Routing "the route's destination has no ready pod (503, flag UH)"
        ["kubectl get pods -n tf-serving" => "shows the pods", "canary-lab up" => "puts back what is missing"];
    RouteNotLive "ROUTE_NOT_LIVE" Routing "the gateway did not take over the new routes in time"
        ["canary-lab up" => "waits once more"];

    SplitOff "SPLIT_OFF" Split "two samples in a row lie so far from the wanted share that chance does not explain them"
        ["kubectl get virtualservices.networking.istio.io -n tf-serving -o yaml" => "shows the weights", "canary-lab up" => "puts the lab's own VirtualService back"];
    StrayAnswer "STRAY_ANSWER" Split "a request was answered by a model that must not answer it"
        ["kubectl get virtualservices.networking.istio.io -n tf-serving -o yaml" => "shows the rules", "canary-lab up" => "puts the lab's own VirtualService back"];

    SampleInconclusive "SAMPLE_INCONCLUSIVE" Inconclusive "too many requests failed, or the time for the sample was up"
        ["canary-lab up" => "samples again"];

    Leftovers "LEFTOVERS" Teardown "something changed while the lab was taken down, or belongs to someone else"
        ["canary-lab down" => "tries once more"];
    NotOurs "NOT_OURS" Teardown "objects that the lab did not make stand in a namespace that is to go, and would go with it"
        ["kubectl get all,cm,secret -n NAMESPACE" => "shows them", "canary-lab reset --force" => "removes them as well"];

    Interrupted "INTERRUPTED" Interrupted "stopped from the keyboard or by a signal"
        ["canary-lab up" => "goes on from here"];
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_exit_codes_are_unique() {
        let ids: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.id()).collect();
        assert_eq!(ids.len(), Reason::ALL.len());
        let codes: BTreeSet<_> = Layer::ALL.iter().map(|layer| layer.exit_code()).collect();
        assert_eq!(codes.len(), Layer::ALL.len());
        assert!(!codes.contains(&0));
    }

    #[test]
    fn every_reason_ends_with_something_to_do() {
        for reason in Reason::ALL {
            assert!(!reason.next().is_empty(), "{}", reason.id());
            assert!(!reason.cause().ends_with('.'), "{}: causes are put into sentences by their readers", reason.id());
        }
    }
}
