use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tokio::sync::watch;

use super::Key;
use super::disk::Contents;

/// Changes that are kept for watchers. Old and new states are shared with their neighbours, so a change costs about
/// one object.
const KEPT_CHANGES: usize = 512;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was stored for the first time.
    Added,
    /// It was stored again.
    Modified,
    /// It was removed.
    Removed,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The change's revision.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// The object's key.
    pub key: Key,
    /// The new state, or the last one of a removed object; `resourceVersion` is this change's revision.
    pub object: Arc<Value>,
    /// The state before, unless the object was added.
    pub before: Option<Arc<Value>>,
}

/// The history does not reach back to the revision that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {requested} ({oldest})")]
pub struct Expired {
    /// The revision that was asked for.
    pub requested: u64,
    /// The oldest revision that can be followed from.
    pub oldest: u64,
}

struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// Changes up to this revision are no longer known.
    floor: u64,
    revision: u64,
    trouble: Option<Arc<str>>,
}

/// The state in memory: written by the writer only, read by everybody.
pub(super) struct Shared {
    state: RwLock<State>,
    /// Wakes watchers; carries the newest revision.
    newest: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(contents: Contents) -> Self {
        let Contents { objects, revision } = contents;
        let state = State { objects, history: VecDeque::new(), floor: revision, revision, trouble: None };
        Self { state: RwLock::new(state), newest: watch::Sender::new(revision) }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.read().objects.get(key).cloned()
    }

    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let state = self.read();
        let objects = state.range(resource, namespace).map(|(_, object)| Arc::clone(object)).collect();
        (objects, state.revision)
    }

    pub(super) fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Value>>, Expired> {
        let state = self.read();
        if revision < state.floor {
            return Err(Expired { requested: revision, oldest: state.floor });
        }
        let mut objects: BTreeMap<Key, Arc<Value>> =
            state.range(resource, namespace).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        for change in state.history.iter().rev().take_while(|change| change.revision > revision) {
            if !change.concerns(resource, namespace) {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects.into_values().collect())
    }

    pub(super) fn revision(&self) -> u64 {
        self.read().revision
    }

    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.read().trouble.clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<Arc<str>>) {
        if self.read().trouble != trouble {
            self.write().trouble = trouble;
        }
    }

    /// Makes durable changes visible, in order.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let Some(newest) = changes.last().map(|change| change.revision) else { return };
        let mut state = self.write();
        for change in changes {
            match change.kind {
                ChangeKind::Removed => state.objects.remove(&change.key),
                _ => state.objects.insert(change.key.clone(), Arc::clone(&change.object)),
            };
            state.history.push_back(change);
        }
        while state.history.len() > KEPT_CHANGES {
            if let Some(dropped) = state.history.pop_front() {
                state.floor = dropped.revision;
            }
        }
        state.revision = newest;
        drop(state);
        self.newest.send_replace(newest);
    }

    /// Takes over what the file holds after it had to be opened again, if a commit reached it that was reported as
    /// failed. Its changes are unknown, so every watcher has to list again.
    pub(super) fn adopt(&self, contents: Contents) {
        let mut state = self.write();
        if contents.revision == state.revision {
            return;
        }
        let revision = contents.revision.max(state.revision) + 1;
        state.objects = contents.objects;
        state.history.clear();
        state.floor = revision;
        state.revision = revision;
        drop(state);
        self.newest.send_replace(revision);
    }
}

impl State {
    fn range<'a>(
        &'a self,
        resource: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let start = Key::new(resource, namespace, "");
        self.objects.range(start..).take_while(move |(key, _)| {
            *key.resource == *resource && namespace.is_none_or(|namespace| *key.namespace == *namespace)
        })
    }
}

impl Change {
    fn concerns(&self, resource: &str, namespace: Option<&str>) -> bool {
        *self.key.resource == *resource && namespace.is_none_or(|namespace| *self.key.namespace == *namespace)
    }
}

/// Follows the changes of one resource. It keeps only its place in the history, so a slow reader costs nothing.
pub struct Subscription {
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    resource: String,
    namespace: Option<String>,
    position: u64,
    ready: VecDeque<Change>,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, resource: &str, namespace: Option<&str>, since: u64) -> Self {
        let newest = shared.newest.subscribe();
        Self {
            shared,
            newest,
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            position: since,
            ready: VecDeque::new(),
        }
    }

    /// The next change, waiting for it if need be. Nothing is lost when this is cancelled.
    ///
    /// # Errors
    /// [`Expired`] when the reader fell out of the history; it has to list again.
    pub async fn next(&mut self) -> Result<Change, Expired> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            self.newest.borrow_and_update();
            self.fetch()?;
            if self.ready.is_empty() && self.newest.changed().await.is_err() {
                // The sender lives in `shared`, which this holds; so this cannot happen while it is asked.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Every change up to this revision has been returned by [`next`](Self::next).
    pub fn position(&self) -> u64 {
        self.ready.front().map_or(self.position, |change| change.revision - 1)
    }

    fn fetch(&mut self) -> Result<(), Expired> {
        let state = self.shared.read();
        if self.position < state.floor {
            return Err(Expired { requested: self.position, oldest: state.floor });
        }
        let start = state.history.partition_point(|change| change.revision <= self.position);
        for change in state.history.range(start..) {
            if change.concerns(&self.resource, self.namespace.as_deref()) {
                self.ready.push_back(change.clone());
            }
        }
        self.position = self.position.max(state.revision);
        Ok(())
    }
}
