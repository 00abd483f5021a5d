//! The one place where the rooms' typed errors become failures with a reason.

use std::io;

use crate::cluster::minikube::MinikubeError;
use crate::cluster::{ApiError, ClusterError, ContextError, MeshError};
use crate::doctor::{Failure, Reason};
use crate::istio::{ArchiveError, InstallError, ReleaseError};
use crate::lab::LabError;
use crate::state::{HomeError, LockError, StateError};
use crate::tools::ToolError;
use crate::tools::minikube::{self, Area};
use crate::yaml::YamlError;

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Unknown => {
                Self::new(Reason::HomeUnknown, "there is no place for the lab").observed(error.to_string())
            }
            HomeError::NotWritable { path, source } => {
                let failure = if is_full(&source) {
                    Self::new(Reason::HomeFull, "there is no room left for the lab")
                } else {
                    Self::new(Reason::HomeNotWritable, "the lab's home cannot be written")
                };
                failure.observed(format!("{}: {source}", path.display()))
            }
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Home(error) => error.into(),
            LockError::Held { holder } => {
                let in_a_walk = holder.as_ref().is_some_and(|holder| holder.command == "walk");
                let failure = Self::new(Reason::HomeLocked, LockError::Held { holder }.to_string());
                if !in_a_walk {
                    return failure;
                }
                failure
                    .then("q in the walk's terminal", "ends it; what holds is kept")
                    .then("canary-lab status", "shows how far it is")
                    .then("canary-lab --home DIR up", "builds a second lab beside it")
            }
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let text = error.to_string();
        match error {
            StateError::Newer { .. } => {
                Self::new(Reason::StateNewer, "the state file is of a newer version").observed(text)
            }
            StateError::Read { .. } => {
                Self::new(Reason::StateUnreadable, "the state file cannot be read").observed(text)
            }
            StateError::Write { path, source } => HomeError::NotWritable { path, source }.into(),
        }
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let text = error.to_string();
        match error {
            LabError::Missing { .. } => Self::new(Reason::LabNotFound, "the lab cannot be loaded").observed(text),
            LabError::Yaml(YamlError::UnknownKey { known, .. }) => Self::new(Reason::LabInvalid, text)
                .observed(format!("known here: {}", known.join(", ")))
                .because("the key is misspelt or belongs elsewhere; unknown keys are never ignored"),
            LabError::Yaml(YamlError::Invalid { .. }) => Self::new(Reason::LabInvalid, text),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let text = error.to_string();
        match error {
            ApiError::Unreachable(_) | ApiError::Kubeconfig { .. } => {
                Self::new(Reason::ApiUnreachable, "the cluster's API cannot be reached").observed(text)
            }
            ApiError::Refused { code: 404, ref message, .. } if message.starts_with("namespaces ") => {
                Self::new(Reason::ObjectMissing, "the namespace is not there").observed(text)
            }
            ApiError::Refused { code, ref reason, .. } => {
                let named = if reason.is_empty() { String::new() } else { format!(" {reason}") };
                Self::new(Reason::ApplyRefused, "the API server refuses")
                    .observed(text)
                    .observed(format!("answered {code}{named}"))
            }
            ApiError::UnknownKind { .. } => Self::new(Reason::MeshNotReady, text)
                .because("the mesh's definitions are not installed, or the kind is misspelt"),
            ApiError::Unexpected(_) => {
                Self::new(Reason::Internal, "the API server's answer is not understood").observed(text)
            }
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let text = error.to_string();
        match error {
            ClusterError::NotStarted { log, log_file, .. } => {
                let mut failure = Self::new(Reason::ClusterNotStarted, text);
                failure.observed = log;
                failure.evidence = Some(log_file);
                failure
            }
            ClusterError::AddressesTaken(_) => {
                Self::new(Reason::AddressesTaken, "no loopback addresses are free").observed(text)
            }
            ClusterError::PortHeld(_) => {
                Self::new(Reason::PortHeldByWildcard, "a port is held on all addresses").observed(text)
            }
            ClusterError::NotRunning(_) => {
                Self::new(Reason::ClusterNotRunning, "the cluster does not run").observed(text)
            }
            ClusterError::RouteNotLive { .. } => {
                Self::new(Reason::RouteNotLive, "the gateway's routes are not live").observed(text)
            }
            ClusterError::Api(error) => error.into(),
            ClusterError::Tool(error) => of_tool(&error),
            ClusterError::Context(error) => match error {
                ContextError::Unknown { known, .. } => {
                    let failure = Self::new(Reason::ContextUnknown, text);
                    failure.observed(if known.is_empty() {
                        "it has none at all".to_owned()
                    } else {
                        format!("it has {}", known.join(", "))
                    })
                }
                ContextError::Unreadable { .. } => {
                    Self::new(Reason::ApiUnreachable, "the kubeconfig cannot be read").observed(text)
                }
                ContextError::NotWritten { file, source } => HomeError::NotWritable { path: file, source }.into(),
            },
            ClusterError::Minikube(error) => of_minikube(&error),
            ClusterError::ProfileUnfit(_) => {
                Self::new(Reason::MinikubeProfileUnfit, "a minikube profile is in the way").observed(text)
            }
            ClusterError::StartHung { ref profile, ref last, .. } => {
                let mut failure = Self::new(Reason::ToolHung, text)
                    .because("images come slowly or not at all, or the driver waits for something that does not come")
                    .then(format!("minikube logs --profile {profile}"), "shows what it waits for")
                    .then("canary-lab up --start-within 1h", "gives it more time, and goes on from what it has")
                    .then("canary-lab down", "deletes the half-made profile");
                failure.observed.clone_from(last);
                failure
            }
            ClusterError::ProfilePaused(name) => Self::new(Reason::MinikubeProfilePaused, text)
                .then(format!("minikube unpause -p {name}"), "lets it go on"),
            ClusterError::ProfileFull(name) => Self::new(Reason::MinikubeDiskFull, text)
                .observed("minikube calls it InsufficientStorage")
                .then(format!("minikube ssh -p {name} -- df -h /var"), "shows how full its disk is")
                .then(
                    format!("minikube ssh -p {name} -- docker system prune"),
                    "removes images and containers there that nobody uses",
                ),
            ClusterError::Mesh(error) => of_mesh(*error),
            ClusterError::IngressUnfit(_) => {
                Self::new(Reason::IngressUnfit, "this way into the cluster does not exist").observed(text)
            }
            ClusterError::TunnelEnded { log, file } => {
                let mut failure = Self::new(Reason::TunnelEnded, text);
                failure.observed = log;
                failure.evidence = Some(file);
                failure
            }
            ClusterError::PasswordNeeded => Self::new(Reason::PasswordNeeded, text)
                .then(
                    "canary-lab tunnel",
                    "runs it in another terminal, where it can ask; then `canary-lab up` goes on",
                )
                .then("canary-lab up --ingress node-port", "goes without a tunnel"),
            ClusterError::PermissionMissing(missing) => {
                let mut failure = Self::new(Reason::PermissionMissing, text);
                failure.observed = missing;
                failure
            }
            ClusterError::NamespaceStuck(name) => Self::new(Reason::NamespaceStuck, text)
                .then(format!("kubectl get namespace {name} -o yaml"), "says in its status what it waits for"),
            ClusterError::NodeUnknown(_) => {
                Self::new(Reason::ModelNotPlaced, "the models' place on the node is not known")
                    .observed(text)
                    .because("the nodes are not this machine, and nothing says where models lie on them")
                    .then("canary-lab up", "puts the models into PersistentVolumeClaims")
                    .then("canary-lab up --models-on-node DIR", "mounts DIR of the node, where you have put the models")
            }
            ClusterError::NotPlaced { ref said, .. } => {
                let mut failure = Self::new(Reason::ModelNotPlaced, text);
                failure.observed.clone_from(said);
                failure
            }
            ClusterError::NotKept(_) => {
                Self::new(Reason::HomeNotWritable, "the lab's home cannot be used").observed(text)
            }
        }
    }
}

fn of_tool(error: &ToolError) -> Failure {
    let text = error.to_string();
    match error {
        ToolError::Hung { last, .. } => {
            let mut failure = Failure::new(Reason::ToolHung, text);
            failure.observed.clone_from(last);
            failure
        }
        ToolError::NotStarted { .. } => Failure::new(Reason::ToolFailed, text),
        ToolError::Cancelled { .. } => Failure::new(Reason::Interrupted, text),
    }
}

/// minikube's reason ids and exit codes as the lab's reasons.
fn of_minikube(error: &MinikubeError) -> Failure {
    let reason = match minikube::area(&error.refusal.id, error.code) {
        Area::Usage => Reason::MinikubeUsage,
        Area::Resources => Reason::MinikubeResources,
        Area::Host => Reason::MinikubeHost,
        Area::Network => Reason::MinikubeNetwork,
        Area::Driver => Reason::MinikubeDriver,
        Area::Guest => Reason::MinikubeGuest,
        Area::Runtime => Reason::MinikubeRuntime,
        Area::Kubernetes => Reason::MinikubeKubernetes,
        Area::KubernetesVersion => Reason::MinikubeTooNew,
        Area::NewerProfile => Reason::MinikubeProfileUnfit,
        Area::Unknown => Reason::MinikubeFailed,
    };
    let mut failure = Failure::new(reason, error.to_string());
    if !error.refusal.id.is_empty() {
        failure = failure.observed(format!("minikube says {}", error.refusal.id));
    }
    let message = &error.refusal.message;
    let more = error.said.iter().filter(|line| message.is_empty() || !line.contains(message.as_str()));
    failure.observed.extend(more.cloned());
    // Some of minikube's advice comes with its placeholders unfilled.
    if !error.refusal.advice.contains("{{") {
        let advice = error.refusal.advice.lines().map(str::trim).filter(|line| !line.is_empty());
        failure.observed.extend(advice.map(str::to_owned));
    }
    if let Some(code) = error.code {
        failure = failure.observed(format!("exit {code}"));
    }
    if reason == Reason::MinikubeProfileUnfit {
        failure = failure
            .because("the lab's profile was begun with a newer Kubernetes, and minikube does not go back")
            .then("canary-lab down", "deletes the profile; the next `up` begins anew");
    }
    if reason == Reason::MinikubeTooNew {
        failure = failure.because("this minikube does not start the Kubernetes version that Istio 1.12 needs");
    }
    failure
}

fn of_mesh(error: MeshError) -> Failure {
    let text = error.to_string();
    let with = |reason, said: Vec<String>| {
        let mut failure = Failure::new(reason, text.clone());
        failure.observed = said;
        failure
    };
    match error {
        MeshError::Install(InstallError::Tool(error)) | MeshError::Release(ReleaseError::Tool(error)) => {
            of_tool(&error)
        }
        MeshError::Install(InstallError::ClusterTooNew { said }) => with(Reason::KubernetesTooNew, said),
        MeshError::Install(InstallError::NoCluster { said }) => with(Reason::ApiUnreachable, said),
        MeshError::Install(InstallError::OptionRefused { said }) => with(Reason::MeshOptionRefused, said),
        MeshError::Install(InstallError::GaveUp { said, .. }) => with(Reason::MeshInstallFailed, said),
        MeshError::Release(ReleaseError::Download(error)) => error.into(),
        MeshError::Release(ReleaseError::NoPlatform { .. }) => Failure::new(Reason::ArchitectureUnfit, text),
        MeshError::Release(ReleaseError::NoChecksum { .. }) => {
            Failure::new(Reason::DownloadDamaged, "the release's checksum cannot be read").observed(text)
        }
        MeshError::Release(ReleaseError::Archive(ArchiveError::Unsafe { .. })) => {
            Failure::new(Reason::ArchiveUnsafe, "the archive is not unpacked").observed(text)
        }
        MeshError::Release(ReleaseError::Archive(ArchiveError::Damaged { .. })) => {
            Failure::new(Reason::DownloadDamaged, "the archive cannot be unpacked").observed(text)
        }
        MeshError::Release(ReleaseError::Archive(ArchiveError::Io { path, source })) => {
            HomeError::NotWritable { path, source }.into()
        }
        MeshError::Release(ReleaseError::OtherVersion { .. }) => Failure::new(Reason::IstioctlWrong, text),
        MeshError::Release(ReleaseError::Machine(_)) => Failure::new(Reason::Internal, text),
    }
}

/// Whether the system refused for lack of room, a quota included.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
