use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::embedded::store::{ChangeKind, Key, Store, Subscription};
use crate::objects::meta;

/// What happened to an object.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// It was there at the start, or appeared.
    Added {
        /// The object.
        object: Arc<Value>,
    },
    /// It changed.
    Modified {
        /// The object.
        object: Arc<Value>,
        /// Its state before.
        old: Arc<Value>,
    },
    /// It is gone.
    Deleted {
        /// Its last state.
        object: Arc<Value>,
    },
}

impl WatchEvent {
    /// The object's present or last state.
    pub fn object(&self) -> &Arc<Value> {
        match self {
            Self::Added { object } | Self::Modified { object, .. } | Self::Deleted { object } => object,
        }
    }

    /// The object's state before, when it changed.
    pub fn old(&self) -> Option<&Arc<Value>> {
        match self {
            Self::Modified { old, .. } => Some(old),
            Self::Added { .. } | Self::Deleted { .. } => None,
        }
    }

    /// Whether the object is gone.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted { .. })
    }
}

/// Follows a resource within the daemon. It never misses a state for good: when it falls behind the history it compares
/// what it knows with what is there and reports the differences.
pub struct Watch {
    store: Store,
    resource: String,
    namespace: Option<String>,
    known: BTreeMap<Key, Arc<Value>>,
    changes: Subscription,
    ready: VecDeque<WatchEvent>,
    /// What was there when the watch began; these objects are reported as added, too.
    pub list: Vec<Arc<Value>>,
}

impl Watch {
    pub(super) fn new(store: Store, resource: &str, namespace: Option<&str>) -> Self {
        let (list, revision) = store.list(resource, namespace);
        let changes = store.watch(resource, namespace, revision);
        let mut watch = Self {
            store,
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            known: BTreeMap::new(),
            changes,
            ready: VecDeque::new(),
            list: list.clone(),
        };
        watch.compare(&list);
        watch
    }

    /// The next event, waiting for it if need be. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            match self.changes.next().await {
                Ok(change) if change.kind == ChangeKind::Removed => {
                    self.known.remove(&change.key);
                    return WatchEvent::Deleted { object: change.object };
                }
                Ok(change) => {
                    let object = change.object;
                    return match self.known.insert(change.key, Arc::clone(&object)) {
                        Some(old) => WatchEvent::Modified { object, old },
                        None => WatchEvent::Added { object },
                    };
                }
                Err(_) => {
                    let (list, revision) = self.store.list(&self.resource, self.namespace.as_deref());
                    self.changes = self.store.watch(&self.resource, self.namespace.as_deref(), revision);
                    self.compare(&list);
                }
            }
        }
    }

    fn compare(&mut self, list: &[Arc<Value>]) {
        let mut before = std::mem::take(&mut self.known);
        for object in list {
            let key = Key::new(&self.resource, meta::namespace(object), meta::name(object));
            match before.remove(&key) {
                None => self.ready.push_back(WatchEvent::Added { object: Arc::clone(object) }),
                Some(old) if meta::resource_version(&old) != meta::resource_version(object) => {
                    self.ready.push_back(WatchEvent::Modified { object: Arc::clone(object), old });
                }
                Some(_) => {}
            }
            self.known.insert(key, Arc::clone(object));
        }
        self.ready.extend(before.into_values().map(|object| WatchEvent::Deleted { object }));
    }
}
