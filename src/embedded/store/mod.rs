//! Durable storage of Kubernetes objects: what etcd is to a real cluster.
//!
//! One generic table in a redb file, a single revision counter that never goes back, and every object in memory for
//! reading. A write is acknowledged after its durable commit; writers that arrive meanwhile share the next commit.
//! Watchers read a bounded history of changes; one that fell behind it, or that remembers a revision from before a
//! restart, is told that its revision has [`Expired`]. When the disk refuses a commit nothing changes, writers get
//! [`WriteError::ReadOnly`], and the next write tries the disk again, so that storage recovers by itself.
//!
//! Callers are the API server's registry and nobody else.

mod disk;
mod history;
mod key;
mod writer;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use disk::OpenError;
pub use history::{Change, ChangeKind, Expired, Subscription};
pub use key::Key;

use history::Shared;

/// What must hold for a write to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No object is stored under the key.
    Absent,
    /// The stored object has this revision.
    Revision(u64),
}

/// The effect of a write.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Stores the object; its `metadata.resourceVersion` is set to the write's revision.
    Put(Value),
    /// Removes the object. Watchers are shown this last state, with the removal's revision.
    Remove(Value),
}

/// Why a write was not carried out; nothing has changed then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The key is taken although it was expected to be free.
    #[error("{0} exists already")]
    Exists(Key),
    /// The stored object is gone or has another revision than expected.
    #[error("{key} has been modified: expected revision {expected}, found {found:?}")]
    Conflict {
        /// The object's key.
        key: Key,
        /// The revision that the writer had seen.
        expected: u64,
        /// The revision that is stored, if there is one.
        found: Option<u64>,
    },
    /// The disk refuses writes; reading goes on.
    #[error("{0}")]
    ReadOnly(Arc<str>),
    /// Storage has been closed.
    #[error("storage is closed")]
    Closed,
}

/// Storage, shared by cloning. The file is closed when the last clone is gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writes: mpsc::UnboundedSender<writer::Request>,
}

impl Store {
    /// Opens the file at `path`, or makes it, and reads every object into memory.
    ///
    /// # Errors
    /// A file that is damaged or not ours is renamed, never overwritten, and [`OpenError::Corrupt`] names both paths.
    /// A file in use, or written by a newer version, stays where it is.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (disk, contents) = disk::Disk::open(path)?;
        let shared = Arc::new(Shared::new(contents));
        let (writes, requests) = mpsc::unbounded_channel();
        let writer = writer::Writer::new(disk, Arc::clone(&shared), requests);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { shared, writes })
    }

    /// The object under `key`.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.shared.get(key)
    }

    /// The objects of a resource, in all namespaces or in one, ordered by namespace and name, and the revision at which
    /// this was the state.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        self.shared.list(resource, namespace)
    }

    /// The objects of a resource as they were at an earlier revision.
    ///
    /// # Errors
    /// [`Expired`] when the history does not reach back that far.
    pub fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Value>>, Expired> {
        self.shared.list_at(resource, namespace, revision)
    }

    /// The revision of the newest change.
    pub fn revision(&self) -> u64 {
        self.shared.revision()
    }

    /// Why writes are being refused at the moment, if they are.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.shared.trouble()
    }

    /// Follows the changes of a resource that come after revision `since`.
    pub fn watch(&self, resource: &str, namespace: Option<&str>, since: u64) -> Subscription {
        Subscription::new(Arc::clone(&self.shared), resource, namespace, since)
    }

    /// Carries out one write and returns once it is durable, with the object as stored (or as last shown).
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, key: Key, expect: Expect, effect: Effect) -> Result<Arc<Value>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.writes.send(writer::Request { key, expect, effect, reply }).map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Closed)?
    }
}

/// The revision that a stored object carries in `metadata.resourceVersion`; 0 when it carries none.
pub fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
