//! The one place where the rooms' typed errors become failures with a reason.

use std::io;

use crate::doctor::{Failure, Reason};
use crate::lab::LabError;
use crate::state::{HomeError, LockError, StateError};

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
            LabError::UnknownKey { known, .. } => Self::new(Reason::LabInvalid, text)
                .observed(format!("known here: {}", known.join(", ")))
                .because("the key is misspelt or belongs elsewhere; unknown keys are never ignored"),
            LabError::Invalid { .. } => Self::new(Reason::LabInvalid, text),
        }
    }
}

/// Whether the system refused for lack of room, a quota included.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
