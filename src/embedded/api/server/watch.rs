use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use rand::Rng;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ApiServer;
use super::body::{self, Body};
use super::exchange::{Exchange, Shape};
use super::objects::{self, Ask, Selection};
use super::table::{self, ObjectView};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::registry::to_version;
use crate::embedded::api::status::Status;
use crate::embedded::store::{Change, ChangeKind, Subscription};
use crate::objects::meta;

/// How often a watch that asked for it is told how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// A watch without a limit of its own ends after this long, or up to twice as long.
const SHORTEST_WATCH_SECONDS: u64 = 1800;

/// Answers a watch: a stream of events, one a line.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Response<Body>, Status> {
    let (shape, _) = ask.exchange.form(Some(&ask.resource))?;
    let selection = ask.selection()?;
    let since = objects::parse_revision(ask.exchange.parameter("resourceVersion").unwrap_or_default())?.unwrap_or(0);
    let seconds = ask.exchange.parameter("timeoutSeconds").and_then(|text| text.parse::<u64>().ok());
    let seconds = seconds
        .filter(|seconds| *seconds > 0)
        .unwrap_or_else(|| rand::rng().random_range(SHORTEST_WATCH_SECONDS..2 * SHORTEST_WATCH_SECONDS));
    let store = ask.server.registry.store();
    let full_name = ask.resource.full_name();
    let mut pending = VecDeque::new();
    let namespace = ask.namespace.as_deref();
    let changes = if since == 0 {
        // Without a revision the present objects come first, as if they had just been added.
        let (objects, revision) = store.list(&full_name, namespace);
        pending.extend(objects);
        store.watch(&full_name, namespace, revision)
    } else {
        store.watch(&full_name, namespace, since)
    };
    let bookmarks = ask.exchange.flag("allowWatchBookmarks");
    // Newer clients list by watching. 1.24 did not know that, and clients of today wait for the answer in vain.
    let listing = since == 0 && bookmarks && ask.exchange.flag("sendInitialEvents");
    let now = Instant::now();
    let watcher = Watcher {
        server: Arc::clone(ask.server),
        exchange: ask.exchange.clone(),
        resource: Arc::clone(&ask.resource),
        version: ask.version.clone(),
        name: ask.name.clone(),
        shape,
        selection,
        pending,
        changes,
        listing,
        columns_told: false,
        ends: now + Duration::from_secs(seconds),
        next_bookmark: bookmarks.then(|| now + BOOKMARK_EVERY),
        over: false,
    };
    let lines = futures::stream::unfold(watcher, |mut watcher| async move {
        let line = watcher.next_line().await?;
        Some((Ok::<_, io::Error>(line), watcher))
    });
    let media_type = match shape {
        Shape::Object => "application/json",
        Shape::Table(_) => "application/json;as=Table;g=meta.k8s.io;v=v1",
        Shape::Metadata(_) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    };
    Ok(Exchange::stream(media_type, body::stream(lines)))
}

struct Watcher {
    server: Arc<ApiServer>,
    exchange: Exchange,
    resource: Arc<Resource>,
    version: String,
    name: Option<String>,
    shape: Shape,
    selection: Selection,
    pending: VecDeque<Arc<Value>>,
    changes: Subscription,
    /// Whether the end of the present objects is still to be told.
    listing: bool,
    columns_told: bool,
    ends: Instant,
    next_bookmark: Option<Instant>,
    over: bool,
}

impl Watcher {
    async fn next_line(&mut self) -> Option<Bytes> {
        while !self.over {
            if let Some(object) = self.pending.pop_front() {
                if self.wants(&object) {
                    return Some(self.line("ADDED", &object));
                }
                continue;
            }
            if std::mem::take(&mut self.listing) {
                return Some(self.bookmark(&json!({"k8s.io/initial-events-end": "true"})));
            }
            let bookmark = self.next_bookmark;
            let due = async {
                match bookmark {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                change = self.changes.next() => match change {
                    Ok(change) => {
                        if let Some((kind, object)) = self.judge(&change) {
                            return Some(self.line(kind, &object));
                        }
                    }
                    Err(expired) => {
                        self.over = true;
                        return Some(event("ERROR", &objects::gone(&expired).to_value()));
                    }
                },
                () = tokio::time::sleep_until(self.ends) => {
                    self.over = true;
                    // The last word tells where to go on, so that nothing has to be listed again.
                    return self.next_bookmark.map(|_| self.bookmark(&Value::Null));
                }
                () = due => {
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_EVERY);
                    return Some(self.bookmark(&Value::Null));
                }
            }
        }
        None
    }

    fn wants(&self, object: &Value) -> bool {
        self.name.as_deref().is_none_or(|name| name == meta::name(object)) && self.selection.matches(object)
    }

    /// What a change means to somebody who sees only a selection: objects come into it and leave it.
    fn judge(&self, change: &Change) -> Option<(&'static str, Arc<Value>)> {
        let before = change.before.as_deref().is_some_and(|before| self.wants(before));
        let now = change.kind != ChangeKind::Removed && self.wants(&change.object);
        match (before, now) {
            (false, false) => None,
            (false, true) => Some(("ADDED", Arc::clone(&change.object))),
            (true, true) => Some(("MODIFIED", Arc::clone(&change.object))),
            (true, false) if change.kind == ChangeKind::Removed => Some(("DELETED", Arc::clone(&change.object))),
            (true, false) => {
                // Gone from the selection: shown as it last was in it, with the revision at which it left.
                let mut last = change.before.as_deref().cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(("DELETED", Arc::new(last)))
            }
        }
    }

    fn line(&mut self, kind: &str, object: &Value) -> Bytes {
        let object = to_version(&self.resource, &self.version, object);
        match self.shape {
            Shape::Object => event(kind, &ObjectView::whole(&object)),
            Shape::Metadata(version) => event(kind, &table::metadata_only(&object, version)),
            Shape::Table(version) => {
                let with_columns = !std::mem::replace(&mut self.columns_told, true);
                let ask = Ask {
                    server: &self.server,
                    exchange: &self.exchange,
                    resource: Arc::clone(&self.resource),
                    version: self.version.clone(),
                    namespace: None,
                    name: None,
                };
                let made = table::of(&ask, version, std::iter::once(&*object), with_columns);
                match made {
                    Ok(made) => {
                        let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                        event(kind, &table::with_metadata(made, &metadata))
                    }
                    Err(status) => {
                        self.over = true;
                        event("ERROR", &status.to_value())
                    }
                }
            }
        }
    }

    fn bookmark(&self, annotations: &Value) -> Bytes {
        let gvk = self.resource.gvk(&self.version);
        let mut metadata = json!({"resourceVersion": self.changes.position().to_string(), "creationTimestamp": null});
        if annotations.is_object() {
            metadata["annotations"] = annotations.clone();
        }
        let object = match self.shape {
            Shape::Object => json!({"kind": gvk.kind, "apiVersion": gvk.api_version(), "metadata": metadata}),
            Shape::Metadata(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
            }),
            Shape::Table(version) => json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
                "columnDefinitions": null, "rows": [],
            }),
        };
        event("BOOKMARK", &object)
    }
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    object: &'a T,
}

fn event(kind: &str, object: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(&Event { kind, object }).unwrap_or_default();
    line.push(b'\n');
    Bytes::from(line)
}
