//! core/v1 Events: what `kubectl describe` shows at its end.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{DeleteOptions, Registry};
use crate::objects::meta;

/// How long an event is kept after it happened last, as on a real cluster.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

impl Registry {
    /// Records an event about an object. The same event again counts up the first.
    ///
    /// Events are told on a best-effort basis: when storage refuses, nothing but the event is lost.
    pub async fn event(&self, about: &Value, kind: &str, reason: &str, message: &str, component: &str) {
        self.record(about, None, kind, reason, message, component).await;
    }

    /// Records an event about one of a pod's containers.
    pub async fn container_event(
        &self,
        pod: &Value,
        container: &str,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        let path = format!("spec.containers{{{container}}}");
        self.record(pod, Some(&path), kind, reason, message, component).await;
    }

    async fn record(
        &self,
        about: &Value,
        field_path: Option<&str>,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        let namespace = meta::namespace(about).unwrap_or("default");
        let mut involved = json!({
            "kind": about["kind"], "namespace": about["metadata"]["namespace"], "name": about["metadata"]["name"],
            "uid": about["metadata"]["uid"], "apiVersion": about["apiVersion"],
            "resourceVersion": about["metadata"]["resourceVersion"], "fieldPath": field_path,
        });
        if let Some(fields) = involved.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let now = Timestamp::now();
        let Ok((events, _)) = self.list("events", Some(namespace)) else { return };
        let mut same = None;
        for event in &events {
            let last = meta::time_at(event, &["lastTimestamp"]);
            if last.is_some_and(|last| now.duration_since(last) > KEPT) {
                // Somebody else may have removed it first.
                let _ = self.delete("events", Some(namespace), meta::name(event), DeleteOptions::default()).await;
                continue;
            }
            let matches = event["involvedObject"]["uid"] == involved["uid"]
                && event["involvedObject"]["fieldPath"] == involved["fieldPath"]
                && event["type"] == kind
                && event["reason"] == reason
                && event["message"] == message
                && event["source"]["component"] == component;
            if matches {
                same = Some(meta::name(event).to_owned());
            }
        }
        let time = meta::time_text(now);
        if let Some(name) = same {
            let counted = self.modify("events", Some(namespace), &name, |event| {
                event["count"] = (event["count"].as_i64().unwrap_or(1) + 1).into();
                event["lastTimestamp"] = time.as_str().into();
            });
            if counted.await.is_ok() {
                return;
            }
        }
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{}.{:016x}", meta::name(about), now.as_nanosecond())},
            "involvedObject": involved, "reason": reason, "message": message, "source": {"component": component},
            "firstTimestamp": time, "lastTimestamp": time, "count": 1, "type": kind, "eventTime": null,
            "reportingComponent": "", "reportingInstance": "",
        });
        if let Err(status) = self.create("events", Some(namespace), event).await {
            tracing::debug!(%status, reason, "an event was not recorded");
        }
    }
}
