//! Which versions there are and in what state; where requests find the version that serves them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::serving::proto::model_version_status::State;
use crate::serving::proto::{ModelConfig, ModelSpec, model_spec};
use crate::serving::service::{Handle, ServableId};
use crate::serving::status::{Code, Status};

/// The state of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionState {
    /// Where in its life it is.
    pub state: State,
    /// What went wrong with it, if anything.
    pub error: Option<Status>,
}

/// Everything that requests and the state machine share. Versions that were ever seen keep their state.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<String, BTreeMap<i64, Recorded>>,
    /// How many states were recorded so far.
    recorded: u64,
    serving: BTreeMap<String, BTreeMap<i64, Handle>>,
    /// `None` until a configuration was taken over.
    labels: Option<BTreeMap<String, BTreeMap<String, i64>>>,
}

#[derive(Debug)]
struct Recorded {
    state: VersionState,
    /// Which one of all states that were recorded.
    number: u64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that a request means: by number, by label, or the largest that is loaded.
    pub fn find(&self, spec: &ModelSpec) -> Result<Handle, Status> {
        if spec.name.is_empty() {
            return Err(Status::invalid("ModelSpec has no name specified."));
        }
        let inner = self.lock();
        let wanted = match &spec.version_choice {
            None => None,
            Some(model_spec::VersionChoice::Version(version)) => Some(*version),
            Some(model_spec::VersionChoice::VersionLabel(label)) => {
                let labels = inner
                    .labels
                    .as_ref()
                    .ok_or_else(|| Status::new(Code::Unavailable, format!("Model labels does not init yet.{label}")))?;
                let version = labels.get(&spec.name).and_then(|labels| labels.get(label));
                Some(*version.ok_or_else(|| Status::invalid(format!("Unrecognized servable version label: {label}")))?)
            }
        };
        let versions = inner.serving.get(&spec.name);
        let found = match wanted {
            Some(version) => versions.and_then(|versions| versions.get(&version)),
            None => versions.and_then(|versions| versions.last_key_value()).map(|(_, handle)| handle),
        };
        found.cloned().ok_or_else(|| {
            let request = match wanted {
                Some(version) => format!("Specific({}, {version})", spec.name),
                None => format!("Latest({})", spec.name),
            };
            Status::new(Code::NotFound, format!("Servable not found for request: {request}"))
        })
    }

    /// The states that a status request asks for, highest version first. A label in the request is not looked at.
    pub fn states(&self, spec: &ModelSpec) -> Result<Vec<(i64, VersionState)>, Status> {
        let inner = self.lock();
        let versions = inner.states.get(&spec.name);
        if let Some(model_spec::VersionChoice::Version(version)) = spec.version_choice {
            let state = versions.and_then(|versions| versions.get(&version)).ok_or_else(|| {
                Status::new(Code::NotFound, format!("Could not find version {version} of model {}", spec.name))
            })?;
            return Ok(vec![(version, state.state.clone())]);
        }
        let versions = versions.ok_or_else(|| {
            Status::new(Code::NotFound, format!("Could not find any versions of model {}", spec.name))
        })?;
        Ok(versions.iter().rev().map(|(version, recorded)| (*version, recorded.state.clone())).collect())
    }

    /// Takes over the labels of a configuration. A label must name a version that is available, unless
    /// `allow_unavailable` is set and the label is not in use for another version.
    pub fn assign_labels(&self, models: &[ModelConfig], allow_unavailable: bool) -> Result<(), Status> {
        let mut inner = self.lock();
        let mut labels: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for model in models {
            for (label, version) in &model.version_labels {
                let taken = inner.labels.as_ref().and_then(|labels| labels.get(&model.name)?.get(label));
                let moves = taken.is_some_and(|taken| taken != version);
                let state = inner.states.get(&model.name).and_then(|versions| versions.get(version));
                let available = state.is_some_and(|recorded| recorded.state.state == State::Available);
                if !available && (moves || !allow_unavailable) {
                    return Err(Status::new(
                        Code::FailedPrecondition,
                        format!(
                            "Request to assign label to version {version} of model {}, which is not currently \
                             available for inference",
                            model.name
                        ),
                    ));
                }
                labels.entry(model.name.clone()).or_default().insert(label.clone(), *version);
            }
        }
        inner.labels = Some(labels);
        Ok(())
    }

    /// How many states were recorded so far, for [`Self::wait_until_available`].
    pub fn recorded(&self) -> u64 {
        self.lock().recorded
    }

    /// Waits until each of the models has a version that became available or ended after the first `since` states
    /// were recorded, and tells which versions ended.
    pub fn wait_until_available(&self, models: &[String], since: u64) -> Vec<(ServableId, Option<Status>)> {
        let mut inner = self.lock();
        loop {
            let settled: Vec<_> = models
                .iter()
                .filter_map(|name| {
                    let versions = inner.states.get(name)?;
                    let done = |recorded: &Recorded| {
                        recorded.number > since && matches!(recorded.state.state, State::Available | State::End)
                    };
                    let (version, recorded) = versions.iter().rev().find(|(_, recorded)| done(recorded))?;
                    Some((ServableId { name: name.clone(), version: *version }, recorded.state.clone()))
                })
                .collect();
            if settled.len() == models.len() {
                return settled
                    .into_iter()
                    .filter(|(_, state)| state.state != State::Available)
                    .map(|(id, state)| (id, state.error))
                    .collect();
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the state of a version.
    pub(super) fn record(&self, id: &ServableId, state: State, error: Option<Status>) {
        let mut inner = self.lock();
        inner.recorded += 1;
        let recorded = Recorded { state: VersionState { state, error }, number: inner.recorded };
        inner.states.entry(id.name.clone()).or_default().insert(id.version, recorded);
        drop(inner);
        self.changed.notify_all();
    }

    /// Lets requests find a version from now on.
    pub(super) fn serve(&self, handle: Handle) {
        let id = handle.id().clone();
        self.lock().serving.entry(id.name.clone()).or_default().insert(id.version, handle);
        self.record(&id, State::Available, None);
    }

    /// Lets requests no longer find a version. Handles that were given out stay good.
    pub(super) fn withdraw(&self, id: &ServableId) {
        let handle = {
            let mut inner = self.lock();
            let Some(versions) = inner.serving.get_mut(&id.name) else { return };
            let handle = versions.remove(&id.version);
            if versions.is_empty() {
                inner.serving.remove(&id.name);
            }
            handle
        };
        // Dropped outside the lock: if it is the last handle the model is freed here.
        drop(handle);
    }
}
