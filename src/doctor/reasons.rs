//! The one table of reasons: id, layer, likely cause, commands to go on with.

use serde::{Serialize, Serializer};

use super::layer::Layer;

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
    ArgumentNotUnicode "ARGUMENT_NOT_UNICODE" Usage "what the lab records and answers is JSON, which has no place for a name that is not UTF-8"
        ["ln -s NAME OTHER" => "gives a file or folder a second name, to use instead"];
    StageUnknown "STAGE_UNKNOWN" Usage "the lab has no stage of that name"
        ["canary-lab status" => "lists the stages"];
    ClusterOptionUnfit "CLUSTER_OPTION_UNFIT" Usage "an option is for another kind of cluster than the one that was chosen"
        ["canary-lab help up" => "says which option goes with which cluster"];
    ClusterChanged "CLUSTER_CHANGED" Usage "the lab in this home stands on another cluster, and one home is one lab on one cluster"
        ["canary-lab down" => "takes the lab down there", "canary-lab --home DIR up" => "builds a second lab beside it"];

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
    PortHeld "PORT_HELD" Machine "another program uses a port that the lab or the tutorial's commands would like"
        ["canary-lab doctor" => "names the program; the lab takes another port where it can"];
    DiskLow "DISK_LOW" Machine "the models need about 400 MB in the home directory"
        ["df -h" => "shows what is full", "canary-lab --home DIR up" => "uses a directory elsewhere"];
    MemoryLow "MEMORY_LOW" Machine "two ResNets need about 1 GiB of free memory"
        ["free -h" => "shows what is used"];
    OpenFilesLow "OPEN_FILES_LOW" Machine "a cluster of processes needs more open files than the limit allows"
        ["ulimit -n 1024" => "raises the limit for this shell"];
    InotifyLow "INOTIFY_LOW" Machine "kubelet, istiod and Envoy watch more files than the kernel's limits allow; pods then fail with `too many open files`"
        ["sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288" => "raises the limits until the next start"];
    CgroupUnfit "CGROUP_UNFIT" Machine "this kernel runs cgroup version 2 only, and old kubelets know version 1"
        ["canary-lab up --kubernetes-version v1.24.3" => "takes a Kubernetes that knows version 2", "canary-lab up --cluster embedded" => "needs no kubelet"];
    ClockWrong "CLOCK_WRONG" Machine "certificates are valid from a moment on that the machine's clock has not reached"
        ["timedatectl set-ntp true" => "sets the clock from the network"];
    NameNotResolved "NAME_NOT_RESOLVED" Machine "the machine cannot turn host names into addresses"
        ["canary-lab up --cluster embedded" => "needs no network", "getent hosts github.com" => "tries it without the lab"];
    UserUnfit "USER_UNFIT" Machine "minikube's driver does not work for this user: docker's refuses root, none's needs root"
        ["canary-lab up --cluster embedded" => "works for every user"];
    ToolMissing "TOOL_MISSING" Machine "the lab itself does not need the tool; typing the tutorial's commands does"
        ["canary-lab up" => "works without it"];
    ToolFailed "TOOL_FAILED" Machine "the program is there, but does not do what it should"
        ["canary-lab doctor --trace" => "shows the command and all that it prints"];
    ToolHung "TOOL_HUNG" Machine "the program waits for something that does not come, such as a password, a network or a frozen engine"
        ["canary-lab doctor --trace" => "shows the command and all that it prints"];
    KubectlSkew "KUBECTL_SKEW" Machine "kubectl works with clusters one minor version older or newer than itself"
        ["canary-lab up" => "works without kubectl; most of the tutorial's commands do with any"];
    DockerDown "DOCKER_DOWN" Machine "the Docker engine does not run"
        ["sudo systemctl start docker" => "starts it", "canary-lab up --cluster embedded" => "needs no Docker"];
    DockerForbidden "DOCKER_FORBIDDEN" Machine "this user is not in the group that may talk to the Docker engine"
        ["sudo usermod -aG docker $USER && newgrp docker" => "adds the user and starts a shell with the group"];
    DockerFromSnap "DOCKER_FROM_SNAP" Machine "snap confines its Docker, so that minikube's driver cannot mount what it needs"
        ["sudo snap remove docker" => "removes it; then install Docker's own packages", "canary-lab up --cluster embedded" => "needs no Docker"];
    IstioctlOther "ISTIOCTL_OTHER" Machine "the istioctl on PATH is of another version than the lab's Istio; the lab uses its own"
        ["eval \"$(canary-lab env)\"" => "puts the lab's own istioctl first, once it was downloaded"];
    PasswordNeeded "PASSWORD_NEEDED" Machine "`minikube tunnel` adds a route to this machine, which needs root; sudo is going to ask for a password"
        ["sudo -v" => "gives it beforehand", "canary-lab up --cluster minikube --ingress node-port" => "goes without a tunnel"];
    ProxyWithoutException "PROXY_WITHOUT_EXCEPTION" Machine "curl and Python would send requests for the lab's loopback addresses to the proxy"
        ["eval \"$(canary-lab env)\"" => "exports NO_PROXY with the lab's addresses"];
    CpuWithoutAvx "CPU_WITHOUT_AVX" Machine "tensorflow/serving's image needs AVX; the embedded model server does not"
        ["canary-lab up --cluster embedded" => "works on this processor"];
    ArchitectureUnfit "ARCHITECTURE_UNFIT" Machine "tensorflow/serving:2.5.1 and Istio 1.12's images are built for amd64 only"
        ["canary-lab up --cluster embedded" => "runs the lab's own model server on this processor"];
    ArchiveUnsafe "ARCHIVE_UNSAFE" Machine "the archive holds paths, links or devices that a release has no use for; nothing of it was unpacked into place"
        ["canary-lab up --istio-url URL" => "takes another mirror"];

    ClusterNotStarted "CLUSTER_NOT_STARTED" Cluster "the embedded cluster's daemon ended before it was ready"
        ["canary-lab up" => "starts it again", "canary-lab doctor" => "checks this machine"];
    ClusterNotRunning "CLUSTER_NOT_RUNNING" Cluster "the cluster was never started, or it was stopped"
        ["canary-lab up" => "starts it and continues from what stands"];
    ApiUnreachable "API_UNREACHABLE" Cluster "the API server does not answer"
        ["canary-lab up" => "restarts what is down and continues"];
    ClusterVersion "CLUSTER_VERSION" Cluster "the cluster is of another Kubernetes version than the lab was written for"
        ["canary-lab down" => "takes the lab down", "canary-lab up" => "builds it anew"];
    ContextUnknown "CONTEXT_UNKNOWN" Cluster "the kubeconfig has no context of that name"
        ["kubectl config get-contexts" => "lists the contexts"];
    KubernetesTooNew "KUBERNETES_TOO_NEW" Cluster "Istio 1.12 writes policy/v1beta1 and autoscaling/v2beta1, which Kubernetes 1.25 took away"
        ["canary-lab up --cluster minikube --kubernetes-version v1.24.3" => "starts a cluster that fits", "canary-lab up --cluster embedded" => "runs the lab on the embedded cluster"];
    KubernetesTooOld "KUBERNETES_TOO_OLD" Cluster "Istio 1.12 supports Kubernetes from 1.19 on"
        ["canary-lab up --cluster minikube --kubernetes-version v1.24.3" => "starts a cluster that fits"];
    PermissionMissing "PERMISSION_MISSING" Cluster "the kubeconfig's user may not do what the lab needs in this cluster"
        ["kubectl auth can-i --list" => "shows what this user may do"];
    NamespaceStuck "NAMESPACE_STUCK" Cluster "a namespace waits for a finalizer that nothing fulfils, or for an API that does not answer any more"
        ["kubectl get apiservices" => "shows APIs that are not available"];
    NodeNotReady "NODE_NOT_READY" Cluster "a node of the cluster does not run pods"
        ["kubectl describe nodes" => "says why"];
    MinikubeMissing "MINIKUBE_MISSING" Cluster "minikube is not installed, or not on PATH"
        ["canary-lab up --cluster embedded" => "runs the lab on the embedded cluster", "canary-lab doctor --fix minikube" => "downloads minikube 1.36.0 for this lab only"];
    MinikubeTooNew "MINIKUBE_TOO_NEW" Cluster "minikube from 1.37 on starts no Kubernetes older than 1.28, and Istio 1.12 needs 1.24 or older"
        ["canary-lab doctor --fix minikube" => "downloads minikube 1.36.0 (checksum-verified) for this lab only", "canary-lab up --cluster minikube --minikube-force" => "lets this minikube try it all the same", "canary-lab up --cluster context:NAME" => "uses another cluster that you have", "canary-lab up --cluster embedded" => "runs the lab on the embedded cluster"];
    MinikubeVersionUnfit "MINIKUBE_VERSION_UNFIT" Cluster "this minikube does not start the Kubernetes version that was asked for"
        ["canary-lab up --cluster minikube --kubernetes-version v1.24.3" => "takes the tutorial's version", "canary-lab up --cluster embedded" => "runs the lab on the embedded cluster"];
    MinikubeProfileUnfit "MINIKUBE_PROFILE_UNFIT" Cluster "a minikube profile is in the way that the lab did not make and cannot use"
        ["minikube profile list" => "shows the profiles", "canary-lab up --cluster embedded" => "runs the lab on the embedded cluster"];
    MinikubeProfilePaused "MINIKUBE_PROFILE_PAUSED" Cluster "the profile is paused, so its pods stand still"
        ["minikube unpause" => "lets it go on"];
    MinikubeUsage "MINIKUBE_USAGE" Cluster "minikube does not accept the way it was called, perhaps because of its own configuration"
        ["minikube config view" => "shows its configuration"];
    MinikubeResources "MINIKUBE_RESOURCES" Cluster "the machine has fewer processors, less memory or less disk than minikube wants"
        ["canary-lab up --cluster embedded" => "needs much less"];
    MinikubeDiskFull "MINIKUBE_DISK_FULL" Cluster "the node's disk is more than 99 % full, so Kubernetes takes no new pods there and evicts old ones"
        ["df -h" => "shows how full the disks of this machine are", "canary-lab up --cluster embedded" => "needs much less"];
    MinikubeHost "MINIKUBE_HOST" Cluster "minikube meets a problem of this machine: permissions, files or its own folder"
        ["minikube logs" => "shows more"];
    MinikubeNetwork "MINIKUBE_NETWORK" Cluster "minikube cannot download what it needs"
        ["minikube start --download-only" => "tries only the download", "canary-lab up --cluster embedded" => "needs no download"];
    MinikubeDriver "MINIKUBE_DRIVER" Cluster "minikube's driver cannot be used here"
        ["canary-lab up --cluster minikube --driver docker" => "takes Docker", "canary-lab up --cluster embedded" => "needs no driver"];
    MinikubeGuest "MINIKUBE_GUEST" Cluster "minikube's node does not come up"
        ["minikube logs" => "shows more", "canary-lab up" => "tries again"];
    MinikubeRuntime "MINIKUBE_RUNTIME" Cluster "driver none needs cri-dockerd, crictl, CNI plugins and conntrack from Kubernetes 1.24 on"
        ["canary-lab up --cluster minikube --driver docker" => "takes Docker, which brings them along", "canary-lab up --cluster minikube --kubernetes-version v1.20.2" => "takes a Kubernetes that does without"];
    MinikubeKubernetes "MINIKUBE_KUBERNETES" Cluster "Kubernetes does not come up in minikube's node"
        ["minikube logs" => "shows more", "canary-lab up" => "tries again"];
    MinikubeFailed "MINIKUBE_FAILED" Cluster "minikube gave up without a reason that the lab knows"
        ["minikube logs" => "shows more", "canary-lab up --trace" => "shows each command and all that it prints"];

    MeshNotReady "MESH_NOT_READY" Mesh "a part of the mesh does not run"
        ["canary-lab up" => "installs what is missing"];
    MeshInstallFailed "MESH_INSTALL_FAILED" Mesh "istioctl gave up; its last words say where"
        ["canary-lab up --trace" => "shows each command and all that it prints", "kubectl get pods -n istio-system" => "shows the mesh's pods"];
    MeshOptionRefused "MESH_OPTION_REFUSED" Mesh "istioctl does not know one of the values that were given with `--set`"
        ["canary-lab up" => "installs Istio without it"];
    MeshOtherVersion "MESH_OTHER_VERSION" Mesh "the cluster has an Istio of another version; it is used as it is, and texts may differ from the tutorial's"
        ["istioctl version" => "shows both versions"];
    MeshLeftovers "MESH_LEFTOVERS" Mesh "an Istio was removed and left webhooks that refuse objects in its name: nobody answers them any more"
        ["canary-lab doctor --fix mesh-leftovers" => "removes the webhooks whose service is gone"];
    MeshDefinitionsLeft "MESH_DEFINITIONS_LEFT" Mesh "an Istio was removed and left its definitions; the next install takes them over"
        ["canary-lab up" => "installs Istio over them"];
    InjectionOff "INJECTION_OFF" Mesh "the namespace is not labelled for injection, so pods get no sidecar"
        ["kubectl label ns tf-serving istio-injection=enabled" => "asks for sidecars from now on"];
    IstioctlWrong "ISTIOCTL_WRONG" Mesh "the program that came with the release does not say the release's version"
        ["canary-lab up --istio-url URL" => "takes another mirror"];

    TunnelNotRunning "TUNNEL_NOT_RUNNING" Tunnel "no tunnel runs, so nothing gives the LoadBalancer service an address"
        ["canary-lab tunnel" => "runs it in this terminal", "canary-lab up" => "starts it in the background"];
    IngressUnreachable "INGRESS_UNREACHABLE" Tunnel "nothing accepts connections at the ingress address: no Gateway object opens the port, or the gateway does not run"
        ["kubectl get gateways.networking.istio.io -A" => "lists the Gateway objects", "canary-lab up" => "puts back what is missing"];
    IngressUnfit "INGRESS_UNFIT" Tunnel "this way in does not exist here: no node port, no load balancer, or nothing to forward to"
        ["canary-lab up --ingress port-forward" => "goes through the cluster's API, which always works"];
    TunnelEnded "TUNNEL_ENDED" Tunnel "`minikube tunnel` ended again and again; its log says why"
        ["canary-lab up --ingress node-port" => "goes without a tunnel", "canary-lab tunnel" => "runs it in this terminal"];
    GatewayConflict "GATEWAY_CONFLICT" Tunnel "another Gateway object already takes every host on the same port of the same ingress gateway"
        ["kubectl get gateways.networking.istio.io -A" => "lists the Gateway objects", "canary-lab up --ingress-host NAME" => "serves under a host name of its own"];

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
    ModelLayout "MODEL_LAYOUT" Models "TensorFlow Serving wants NAME/VERSION/saved_model.pb with variables beside it"
        ["canary-lab up" => "builds the model again"];
    ModelNotOnNode "MODEL_NOT_ON_NODE" Models "the node is not this machine: the folder that pods mount has to lie there, and an empty one is mounted without a word"
        ["canary-lab up" => "copies the models to the node and compares them there"];
    ModelUnreadable "MODEL_UNREADABLE" Models "the model server's user may not read the files"
        ["canary-lab up" => "builds the model again"];
    ModelNotPlaced "MODEL_NOT_PLACED" Models "the files could not be copied to where pods mount them"
        ["canary-lab up" => "tries again"];
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
    ImageNotPulled "IMAGE_NOT_PULLED" Workload "the node cannot get the image: no network, no such image, or a registry that wants a login"
        ["canary-lab up --serving-image IMAGE --pull-secret NAME" => "takes it from a registry of yours"];
    Unschedulable "UNSCHEDULABLE" Workload "no node has room for the pod"
        ["kubectl describe nodes" => "shows what is asked for and what there is"];
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
    GatewayMismatch "GATEWAY_MISMATCH" Routing "no ingress gateway has the labels that the Gateway object selects, or the hosts do not fit"
        ["canary-lab up" => "puts the lab's own Gateway back"];
    SubsetEmpty "SUBSET_EMPTY" Routing "a subset's labels fit no pod, so its share of the requests gets 503"
        ["kubectl get pods -n tf-serving --show-labels" => "shows the pods' labels"];
    WeightsWrong "WEIGHTS_WRONG" Routing "the weights of a rule do not add up to 100"
        ["canary-lab up" => "puts the lab's own VirtualService back"];
    PortAmbiguous "PORT_AMBIGUOUS" Routing "the Service has several ports and the route names none, so Istio drops the route"
        ["canary-lab up" => "puts the lab's own VirtualService back"];
    RouteInMesh "ROUTE_IN_MESH" Routing "the VirtualService is bound to the mesh, not to the ingress gateway, which then answers 404"
        ["canary-lab up" => "puts the lab's own VirtualService back"];
    RouteElsewhere "ROUTE_ELSEWHERE" Routing "the object lies in another namespace than the ones it belongs to, where its short names mean something else"
        ["kubectl get virtualservices.networking.istio.io,destinationrules.networking.istio.io,gateways.networking.istio.io -A" => "lists them all"];
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
