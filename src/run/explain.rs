//! The one place where the rooms' typed errors become failures with a reason.

use std::io;

use crate::cluster::{ApiError, ClusterError};
use crate::doctor::{Failure, Reason};
use crate::lab::LabError;
use crate::state::{HomeError, LockError, StateError};
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
            LockError::Held { .. } => Self::new(Reason::HomeLocked, error.to_string()),
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
        }
    }
}

/// Whether the system refused for lack of room, a quota included.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
