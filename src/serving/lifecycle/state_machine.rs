//! Loading and unloading: the state machine of every version.
//!
//! The policy is TensorFlow Serving's AvailabilityPreservingPolicy: a version that is no longer wanted is unloaded only
//! when a wanted one is ready, when nothing is wanted, or when several unwanted ones are ready; among new ones the
//! highest is loaded first.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::loading::Loader;
use super::log::Log;
use super::source::VersionPath;
use crate::inference::Tensor;
use crate::savedmodel::proto::SignatureDef;
use crate::serving::proto::model_version_status::State;
use crate::serving::rest::Context;
use crate::serving::service::{Execute, Handle, ServableId};
use crate::serving::status::Status;

/// How loads that fail are tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often, after the first time.
    pub retries: u32,
    /// How long to wait before each.
    pub interval: Duration,
}

/// Tells the state machine which versions of a model are wanted.
#[derive(Debug, Clone)]
pub struct Aspire(Sender<Event>);

impl Aspire {
    /// These versions of the model are wanted and no others. Does nothing once the state machine has ended.
    pub(super) fn versions(&self, name: String, versions: Vec<VersionPath>) {
        let _ = self.0.send(Event::Aspired { name, versions });
    }
}

enum Event {
    Aspired { name: String, versions: Vec<VersionPath> },
    Loaded { id: ServableId, outcome: Result<Arc<dyn Execute>, Status> },
    Unloaded { id: ServableId },
    Stop,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Event")
    }
}

/// Keeps the wanted versions loaded, on its own thread, until it is dropped.
#[derive(Debug)]
pub struct StateMachine {
    events: Sender<Event>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StateMachine {
    /// Starts with nothing wanted.
    pub fn start(
        context: Arc<Context>,
        loader: Arc<dyn Loader>,
        retry: RetryPolicy,
        log: Log,
    ) -> std::io::Result<Self> {
        let (events, received) = channel();
        let worker = Worker {
            context,
            loader,
            retry,
            log,
            events: events.clone(),
            versions: BTreeMap::new(),
            pending: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("versions".into()).spawn(move || worker.run(&received))?;
        Ok(Self { events, thread: Some(thread) })
    }

    /// The way to say what is wanted.
    pub fn aspire(&self) -> Aspire {
        Aspire(self.events.clone())
    }
}

impl Drop for StateMachine {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Where in its life a version is.
enum Phase {
    New,
    Loading(Arc<Patience>),
    /// The receiver's other end lives in the model: it closes when the last handle is gone.
    Ready(Receiver<()>),
    Unloading,
    Failed,
}

struct Version {
    path: VersionPath,
    wanted: bool,
    phase: Phase,
}

struct Worker {
    context: Arc<Context>,
    loader: Arc<dyn Loader>,
    retry: RetryPolicy,
    log: Log,
    events: Sender<Event>,
    versions: BTreeMap<ServableId, Version>,
    /// What is wanted but could not be taken over yet, because a wanted version is still being unloaded.
    pending: BTreeMap<String, Vec<VersionPath>>,
}

impl Worker {
    fn run(mut self, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            if matches!(event, Event::Stop) {
                break;
            }
            self.apply(event);
        }
        for version in self.versions.values() {
            if let Phase::Loading(patience) = &version.phase {
                patience.end();
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Aspired { name, versions } => {
                self.pending.insert(name, versions);
            }
            Event::Loaded { id, outcome } => self.loaded(&id, outcome),
            Event::Unloaded { id } => {
                self.versions.remove(&id);
            }
            Event::Stop => {}
        }
        let names: Vec<String> = self.pending.keys().cloned().collect();
        for name in names {
            self.take_over(&name);
        }
        let mut names: Vec<String> = self.versions.keys().map(|id| id.name.clone()).collect();
        names.dedup();
        for name in names {
            while self.act(&name) {}
        }
    }

    /// Takes over what is wanted of a model, unless one of the versions is on its way out: then later.
    fn take_over(&mut self, name: &str) {
        let Some(wanted) = self.pending.remove(name) else { return };
        let leaving = |path: &VersionPath| {
            self.versions
                .get(&path.id)
                .is_some_and(|version| !version.wanted && matches!(version.phase, Phase::Unloading | Phase::Loading(_)))
        };
        if wanted.iter().any(leaving) {
            self.pending.insert(name.to_owned(), wanted);
            return;
        }
        let mut gone = Vec::new();
        for (id, version) in self.versions.iter_mut().filter(|(id, _)| id.name == name) {
            version.wanted = wanted.iter().any(|path| path.id == *id);
            match &version.phase {
                Phase::Loading(patience) if !version.wanted => patience.end(),
                Phase::New | Phase::Failed if !version.wanted => gone.push(id.clone()),
                _ => {}
            }
        }
        for id in gone {
            self.versions.remove(&id);
        }
        for path in wanted {
            if !self.versions.contains_key(&path.id) {
                self.context.registry.record(&path.id, State::Start, None);
                self.versions.insert(path.id.clone(), Version { path, wanted: true, phase: Phase::New });
            }
        }
    }

    /// Does the next thing that the policy asks for; `false` when there is none.
    fn act(&mut self, name: &str) -> bool {
        let of_model = || self.versions.iter().filter(|(id, _)| id.name == name);
        let ready = |version: &Version| matches!(version.phase, Phase::Ready(_));
        let any_wanted = of_model().any(|(_, version)| version.wanted);
        let wanted_ready = of_model().any(|(_, version)| version.wanted && ready(version));
        let unwanted: Vec<&ServableId> =
            of_model().filter(|(_, version)| !version.wanted && ready(version)).map(|(id, _)| id).collect();
        if (!any_wanted || wanted_ready || unwanted.len() > 1)
            && let Some(lowest) = unwanted.first().map(|id| (*id).clone())
        {
            self.unload(&lowest);
            return true;
        }
        let new = of_model().filter(|(_, version)| version.wanted && matches!(version.phase, Phase::New));
        let Some(highest) = new.map(|(id, _)| id.clone()).next_back() else { return false };
        self.load(&highest);
        true
    }

    fn load(&mut self, id: &ServableId) {
        let Some(version) = self.versions.get_mut(id) else { return };
        let patience = Arc::new(Patience::default());
        version.phase = Phase::Loading(Arc::clone(&patience));
        self.context.registry.record(id, State::Loading, None);
        let attempt = Attempt {
            path: version.path.clone(),
            loader: Arc::clone(&self.loader),
            retry: self.retry,
            patience,
            log: self.log,
        };
        let (events, own) = (self.events.clone(), id.clone());
        let started = std::thread::Builder::new().name("load".into()).spawn(move || {
            let outcome = attempt.load();
            // Fails only when the state machine has ended meanwhile.
            let _ = events.send(Event::Loaded { id: own, outcome });
        });
        if let Err(error) = started {
            let status = Status::new(crate::serving::status::Code::ResourceExhausted, error.to_string());
            let _ = self.events.send(Event::Loaded { id: id.clone(), outcome: Err(status) });
        }
    }

    fn loaded(&mut self, id: &ServableId, outcome: Result<Arc<dyn Execute>, Status>) {
        let Some(version) = self.versions.get_mut(id) else { return };
        match outcome {
            Ok(model) => {
                let (alive, gone) = channel();
                version.phase = Phase::Ready(gone);
                self.log.info("core/loader_harness.cc:87", &format!("Successfully loaded servable version {id}"));
                self.context.registry.serve(Handle::new(id.clone(), Arc::new(Watched { model, _alive: alive })));
            }
            Err(error) => {
                self.log.info(
                    "core/loader_harness.cc:155",
                    &format!("Encountered an error for servable version {id}: {error}"),
                );
                self.log
                    .error("core/aspired_versions_manager.cc:388", &format!("Servable {id} cannot be loaded: {error}"));
                self.context.registry.record(id, State::End, Some(error));
                if version.wanted {
                    version.phase = Phase::Failed;
                } else {
                    self.versions.remove(id);
                }
            }
        }
    }

    fn unload(&mut self, id: &ServableId) {
        let Some(version) = self.versions.get_mut(id) else { return };
        let Phase::Ready(gone) = std::mem::replace(&mut version.phase, Phase::Unloading) else { return };
        self.log.info("core/loader_harness.cc:138", &format!("Quiescing servable version {id}"));
        self.context.registry.record(id, State::Unloading, None);
        self.context.registry.withdraw(id);
        let (context, events, log, own) = (Arc::clone(&self.context), self.events.clone(), self.log, id.clone());
        let finish = move || {
            // Nothing is ever sent: this returns when the last request has let go of the model.
            let _ = gone.recv();
            log.info("core/loader_harness.cc:145", &format!("Done quiescing servable version {own}"));
            log.info("core/loader_harness.cc:120", &format!("Unloading servable version {own}"));
            log.info("core/loader_harness.cc:128", &format!("Done unloading servable version {own}"));
            context.registry.record(&own, State::End, None);
            let _ = events.send(Event::Unloaded { id: own });
        };
        if std::thread::Builder::new().name("unload".into()).spawn(finish).is_err() {
            self.context.registry.record(id, State::End, None);
            self.versions.remove(id);
        }
    }
}

/// A model that tells when it is dropped: the sender goes with it.
struct Watched {
    model: Arc<dyn Execute>,
    _alive: Sender<()>,
}

impl Execute for Watched {
    fn signatures(&self) -> &BTreeMap<String, SignatureDef> {
        self.model.signatures()
    }

    fn checks_method_names(&self) -> bool {
        self.model.checks_method_names()
    }

    fn run(&self, feeds: &[(&str, Tensor)], fetches: &[&str]) -> Result<Vec<Tensor>, Status> {
        self.model.run(feeds, fetches)
    }
}

/// Waiting between attempts, which can be ended.
#[derive(Debug, Default)]
struct Patience {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Patience {
    fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn is_at_its_end(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; `false` when it was ended.
    fn wait(&self, time: Duration) -> bool {
        let guard = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(guard, time, |ended| !*ended);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Loading one version, with retries.
struct Attempt {
    path: VersionPath,
    loader: Arc<dyn Loader>,
    retry: RetryPolicy,
    patience: Arc<Patience>,
    log: Log,
}

impl Attempt {
    fn load(&self) -> Result<Arc<dyn Execute>, Status> {
        let id = &self.path.id;
        self.log.info("core/basic_manager.cc:740", &format!("Successfully reserved resources to load servable {id}"));
        self.log.info("core/loader_harness.cc:66", &format!("Approving load for servable version {id}"));
        self.log.info("core/loader_harness.cc:74", &format!("Loading servable version {id}"));
        let mut retries = 0;
        let outcome = loop {
            let outcome = self.loader.load(&self.path);
            if let Err(error) = &outcome {
                self.log.error("util/retrier.cc:37", &format!("Loading servable: {id} failed: {error}"));
            }
            if outcome.is_ok() || retries == self.retry.retries || !self.patience.wait(self.retry.interval) {
                break outcome;
            }
            retries += 1;
            self.log.info("util/retrier.cc:33", &format!("Retrying of Loading servable: {id} retry: {retries}"));
        };
        if self.patience.is_at_its_end() {
            self.log.info("util/retrier.cc:43", &format!("Retrying of Loading servable: {id} was cancelled."));
        }
        // The original says so after a success with the last try as well.
        if retries == self.retry.retries {
            self.log.info(
                "util/retrier.cc:46",
                &format!("Retrying of Loading servable: {id} exhausted max_num_retries: {retries}"),
            );
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
