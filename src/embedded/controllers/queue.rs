//! The work queue of a controller: which objects want to be looked at, each at most once at a time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::embedded::api::Status;

/// The first wait after a failure; it doubles with every further one.
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// The longest wait after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Names an object of one kind; the namespace is empty for cluster-wide kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectKey {
    /// The namespace, or nothing.
    pub(crate) namespace: String,
    /// The name.
    pub(crate) name: String,
}

impl ObjectKey {
    /// The key of an object.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name") }
    }

    /// An object with another name in the namespace of this one.
    pub(crate) fn beside(object: &Value, name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::of(object) }
    }

    /// The namespace as the registry wants it.
    pub(crate) fn scope(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(self.namespace.as_str())
    }
}

/// Keys in the order they were added, once each, with delayed ones besides.
#[derive(Debug, Default)]
pub(crate) struct WorkQueue {
    ready: VecDeque<ObjectKey>,
    queued: HashSet<ObjectKey>,
    later: BTreeSet<(Instant, ObjectKey)>,
    failures: HashMap<ObjectKey, u32>,
}

impl WorkQueue {
    /// Adds a key unless it waits already.
    pub(crate) fn add(&mut self, key: ObjectKey) {
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Adds several keys.
    pub(crate) fn add_all(&mut self, keys: impl IntoIterator<Item = ObjectKey>) {
        for key in keys {
            self.add(key);
        }
    }

    /// Adds a key after a while.
    pub(crate) fn add_after(&mut self, key: ObjectKey, wait: Duration) {
        self.later.insert((Instant::now() + wait, key));
    }

    /// Notes how the work on a key ended: it is looked at again after the wait that the outcome names, or after a
    /// failure. `kind` is for the log.
    pub(crate) fn done(&mut self, kind: &str, key: ObjectKey, outcome: Result<Option<Duration>, Status>) {
        match outcome {
            Ok(again) => {
                self.succeeded(&key);
                if let Some(wait) = again {
                    self.add_after(key, wait);
                }
            }
            Err(status) => {
                tracing::debug!("{kind} {}/{}: {}", key.namespace, key.name, status.message);
                self.failed(key);
            }
        }
    }

    /// Notes that work on the key succeeded.
    pub(crate) fn succeeded(&mut self, key: &ObjectKey) {
        self.failures.remove(key);
    }

    /// Puts a key back after a failure, each time after a longer wait.
    pub(crate) fn failed(&mut self, key: ObjectKey) {
        let failures = self.failures.entry(key.clone()).or_default();
        let wait = FIRST_RETRY.saturating_mul(1 << (*failures).min(20)).min(LONGEST_RETRY);
        *failures += 1;
        self.add_after(key, wait);
    }

    /// The next key; waits, for ever if need be, until there is one. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> ObjectKey {
        loop {
            let now = Instant::now();
            while self.later.first().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, key)) = self.later.pop_first() {
                    self.add(key);
                }
            }
            if let Some(key) = self.ready.pop_front() {
                self.queued.remove(&key);
                return key;
            }
            match self.later.first() {
                Some((at, _)) => tokio::time::sleep_until(*at).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "a".into(), name: name.into() }
    }

    #[tokio::test]
    async fn keys_come_once_and_delayed_ones_later() {
        let mut queue = WorkQueue::default();
        queue.add_all([key("x"), key("y"), key("x")]);
        assert_eq!(queue.next().await, key("x"));
        assert_eq!(queue.next().await, key("y"));
        queue.add_after(key("late"), Duration::from_millis(5));
        queue.add(key("z"));
        assert_eq!(queue.next().await, key("z"));
        assert_eq!(queue.next().await, key("late"));
        assert!(tokio::time::timeout(Duration::from_millis(5), queue.next()).await.is_err());
    }

    #[tokio::test]
    async fn failures_wait_longer_each_time() {
        let mut queue = WorkQueue::default();
        let mut wait = || {
            queue.failed(key("x"));
            let (at, _) = queue.later.pop_last().unwrap();
            (at - Instant::now()).as_millis().next_multiple_of(5)
        };
        assert_eq!([wait(), wait(), wait(), wait()], [5, 10, 20, 40]);
        for _ in 0..40 {
            wait();
        }
        assert_eq!(wait(), LONGEST_RETRY.as_millis());
        queue.succeeded(&key("x"));
        assert!(queue.failures.is_empty());
    }
}
