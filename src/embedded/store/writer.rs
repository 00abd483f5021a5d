use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::disk::{CommitFailure, Disk};
use super::history::{Change, ChangeKind, Shared};
use super::{Effect, Expect, Key, WriteError, revision_of};

/// Writes that share one commit at most; the bound keeps a commit's latency bounded too.
const LARGEST_BATCH: usize = 256;

/// One write and where its outcome is awaited.
pub(super) struct Request {
    pub(super) key: Key,
    pub(super) expect: Expect,
    pub(super) effect: Effect,
    pub(super) reply: oneshot::Sender<Result<Arc<Value>, WriteError>>,
}

/// The only writer of the file, on a thread of its own because commits block.
pub(super) struct Writer {
    disk: Disk,
    shared: Arc<Shared>,
    requests: mpsc::UnboundedReceiver<Request>,
}

type Reply = oneshot::Sender<Result<Arc<Value>, WriteError>>;

impl Writer {
    pub(super) fn new(disk: Disk, shared: Arc<Shared>, requests: mpsc::UnboundedReceiver<Request>) -> Self {
        Self { disk, shared, requests }
    }

    /// Serves until the last [`Store`](super::Store) is dropped.
    pub(super) fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < LARGEST_BATCH
                && let Ok(next) = self.requests.try_recv()
            {
                batch.push(next);
            }
            self.carry_out(batch);
        }
    }

    fn carry_out(&mut self, batch: Vec<Request>) {
        match self.disk.reopen_if_closed() {
            Ok(Some(contents)) => self.shared.adopt(contents),
            Ok(None) => {}
            Err(failure) => return self.refuse(batch.into_iter().map(|request| request.reply), &failure),
        }
        let (changes, replies) = self.judge(batch);
        if changes.is_empty() {
            return;
        }
        // Only the last state of a key that the batch touches twice has to reach the disk.
        let mut last: HashMap<&Key, Option<&Value>> = HashMap::new();
        for change in &changes {
            last.insert(&change.key, (change.kind != ChangeKind::Removed).then_some(&*change.object));
        }
        let revision = changes.last().map_or(0, |change| change.revision);
        match self.disk.commit(last.into_iter(), revision) {
            Ok(()) => {
                let objects: Vec<Arc<Value>> = changes.iter().map(|change| Arc::clone(&change.object)).collect();
                self.shared.publish(changes);
                self.shared.set_trouble(None);
                for (reply, object) in replies.into_iter().zip(objects) {
                    // A caller that went away has no use for the outcome.
                    let _ = reply.send(Ok(object));
                }
            }
            Err(failure) => self.refuse(replies.into_iter(), &failure),
        }
    }

    /// Checks each write against the state that the writes before it leave, and numbers those that may go on.
    fn judge(&self, batch: Vec<Request>) -> (Vec<Change>, Vec<Reply>) {
        let mut revision = self.shared.revision();
        let mut pending: HashMap<Key, Option<Arc<Value>>> = HashMap::new();
        let mut changes = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for Request { key, expect, effect, reply } in batch {
            let before = pending.get(&key).cloned().unwrap_or_else(|| self.shared.get(&key));
            let found = before.as_deref().map(revision_of);
            let objection = match expect {
                Expect::Absent if found.is_some() => Some(WriteError::Exists(key.clone())),
                Expect::Revision(expected) if found != Some(expected) => {
                    Some(WriteError::Conflict { key: key.clone(), expected, found })
                }
                _ => None,
            };
            if let Some(objection) = objection {
                let _ = reply.send(Err(objection));
                continue;
            }
            revision += 1;
            let (mut object, removed) = match effect {
                Effect::Put(object) => (object, false),
                Effect::Remove(object) => (object, true),
            };
            object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
            let object = Arc::new(object);
            let kind = match (removed, &before) {
                (true, _) => ChangeKind::Removed,
                (false, Some(_)) => ChangeKind::Modified,
                (false, None) => ChangeKind::Added,
            };
            pending.insert(key.clone(), (!removed).then(|| Arc::clone(&object)));
            changes.push(Change { revision, kind, key, object, before });
            replies.push(reply);
        }
        (changes, replies)
    }

    fn refuse(&self, replies: impl Iterator<Item = Reply>, failure: &CommitFailure) {
        // The first half is what a client of a real cluster sees when etcd has no space left.
        let reason: Arc<str> = if failure.full {
            format!("etcdserver: mvcc: database space exceeded: {}", failure.reason).into()
        } else {
            format!("etcdserver: the store cannot be written: {}", failure.reason).into()
        };
        self.shared.set_trouble(Some(Arc::clone(&reason)));
        for reply in replies {
            let _ = reply.send(Err(WriteError::ReadOnly(Arc::clone(&reason))));
        }
    }
}
