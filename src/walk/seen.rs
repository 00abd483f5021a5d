//! What is seen in the cluster while somebody works in it, as lines: `deployment x created by you, 0/1 ready`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::objects::{Gvk, meta};

/// One object, as it was seen last.
#[derive(Debug, Clone, PartialEq)]
struct Sight {
    uid: String,
    resource_version: String,
    /// What somebody decides about an object: everything but its status and its book-keeping.
    decided: Value,
    /// When it was touched last, counted in events.
    order: u64,
    line: Option<String>,
}

/// Everything that was seen since the start.
#[derive(Debug)]
pub(super) struct Sightings {
    since: Timestamp,
    /// Namespaces that go without saying.
    usual: Vec<String>,
    known: BTreeMap<String, Sight>,
    count: u64,
    /// Whether lines have changed since they were drawn.
    news: bool,
}

impl Sightings {
    /// What exists before `since` is no news. Objects in `usual` namespaces are named without it.
    pub(super) fn since(since: Timestamp, usual: Vec<String>) -> Self {
        Self { since, usual, known: BTreeMap::new(), count: 0, news: false }
    }

    /// Takes in an object as it is now. Returns whether something about it was decided by somebody: it is new, or its
    /// specification or labels changed; a status that moves on is not. `by` is who acts at the moment.
    pub(super) fn is(&mut self, object: &Value, by: &str) -> bool {
        let Some(label) = self.label(object) else { return false };
        self.count += 1;
        let version = meta::resource_version(object).unwrap_or_default().to_owned();
        let (uid, now) = (meta::uid(object).to_owned(), decided(object));
        let before = self.known.get(&label).cloned();
        if before.as_ref().is_some_and(|before| before.resource_version == version) {
            return false;
        }
        let created = meta::creation_time(object).unwrap_or(self.since);
        let (word, news) = match &before {
            Some(before) if before.uid == uid && before.decided == now => (None, false),
            Some(before) if before.uid == uid => (Some("changed"), true),
            Some(_) => (Some("made anew"), true),
            None if created.as_second() < self.since.as_second() => (None, false),
            None => (Some("created"), true),
        };
        let verb = match (word, &before) {
            (Some(word), _) => Some(format!("{label} {word} by {by}")),
            (None, Some(before)) => before.line.as_ref().map(|line| head(line).to_owned()),
            (None, None) => None,
        };
        let line = verb.map(|verb| match readiness(object) {
            Some(readiness) => format!("{verb}, {readiness}"),
            None => verb,
        });
        self.news |= line.is_some();
        self.known.insert(label, Sight { uid, resource_version: version, decided: now, order: self.count, line });
        news
    }

    /// Takes in that an object is gone. Returns whether it was known.
    pub(super) fn gone(&mut self, object: &Value, by: &str) -> bool {
        let Some(label) = self.label(object) else { return false };
        self.count += 1;
        let Some(sight) = self.known.get_mut(&label) else { return false };
        sight.order = self.count;
        sight.resource_version.clear();
        sight.uid.clear();
        sight.line = Some(format!("{label} deleted by {by}"));
        self.news = true;
        true
    }

    /// Whether the object was seen before.
    pub(super) fn knows(&self, object: &Value) -> bool {
        let known = self.label(object).and_then(|label| self.known.get(&label));
        known.is_some_and(|sight| sight.uid == meta::uid(object))
    }

    /// The `limit` newest lines, the newest last.
    pub(super) fn lines(&self, limit: usize) -> Vec<&str> {
        let mut newest: Vec<&Sight> = self.known.values().filter(|sight| sight.line.is_some()).collect();
        newest.sort_by_key(|sight| std::cmp::Reverse(sight.order));
        newest.truncate(limit);
        newest.iter().rev().filter_map(|sight| sight.line.as_deref()).collect()
    }

    /// Whether there is something that is not on the screen yet.
    pub(super) fn is_news(&self) -> bool {
        self.news
    }

    /// The lines are on the screen now.
    pub(super) fn drawn(&mut self) {
        self.news = false;
    }

    /// What somebody has made or changed since the lines were forgotten: `virtualservice n/x`.
    pub(super) fn edited(&self) -> impl Iterator<Item = &str> {
        let by_you = |sight: &&Sight| sight.line.as_ref().is_some_and(|line| head(line).ends_with(" by you"));
        self.known.iter().filter(move |(_, sight)| by_you(sight)).map(|(label, _)| label.as_str())
    }

    /// `deployment image-classifier-resnet50`, with the namespace where it is not a usual one.
    fn label(&self, object: &Value) -> Option<String> {
        let kind = Gvk::of(object)?.kind.to_lowercase();
        let unusual = meta::namespace(object).filter(|namespace| !self.usual.iter().any(|usual| usual == namespace));
        let place = unusual.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        Some(format!("{kind} {place}{}", meta::name(object)))
    }

    /// Forgets the lines; what exists stays known.
    pub(super) fn clear(&mut self) {
        for sight in self.known.values_mut() {
            sight.line = None;
        }
    }
}

/// The object without its status and what the server keeps books by. An external address is decided by whoever runs a
/// tunnel, although it stands in the status.
fn decided(object: &Value) -> Value {
    let mut object = object.clone();
    let address = object.pointer("/status/loadBalancer").cloned().unwrap_or_default();
    meta::set_at(&mut object, &["status"], address);
    let metadata = serde_json::json!({"labels": meta::labels(&object), "deleted": meta::is_terminating(&object)});
    meta::set_at(&mut object, &["metadata"], metadata);
    object
}

/// The line without what follows its first comma.
fn head(line: &str) -> &str {
    line.split_once(", ").map_or(line, |(head, _)| head)
}

/// What there is to say of the object's state.
fn readiness(object: &Value) -> Option<String> {
    match object["kind"].as_str()? {
        "Deployment" => {
            let wanted = meta::integer_at(object, &["spec", "replicas"]).unwrap_or(1);
            let ready = meta::integer_at(object, &["status", "readyReplicas"]).unwrap_or(0);
            Some(format!("{ready}/{wanted} ready{}", if ready < wanted { " …" } else { "" }))
        }
        "Namespace" => {
            let labels = meta::labels(object)?;
            let injected = labels.get("istio-injection").and_then(Value::as_str);
            let phase = meta::text_at(object, &["status", "phase"]).filter(|phase| *phase != "Active");
            match (phase, injected) {
                (Some(phase), _) => Some(phase.to_lowercase()),
                (None, Some(value)) => Some(format!("istio-injection={value}")),
                (None, None) => Some("no label istio-injection yet".to_owned()),
            }
        }
        "Service" if object["spec"]["type"] == "LoadBalancer" => {
            let address = object.pointer("/status/loadBalancer/ingress/0/ip").and_then(Value::as_str);
            Some(format!("EXTERNAL-IP {}", address.unwrap_or("<pending>")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(version: &str, generation: i64, ready: i64, created: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "namespace": "n", "uid": "1", "resourceVersion": version, "creationTimestamp": created},
            "spec": {"replicas": 1, "minReadySeconds": generation}, "status": {"readyReplicas": ready}})
    }

    #[test]
    fn a_new_object_is_told_and_its_state_follows() {
        let mut seen = Sightings::since("2026-01-02T03:04:05Z".parse().unwrap(), Vec::new());
        let now = "2026-01-02T03:04:06Z";
        assert!(seen.is(&deployment("1", 1, 0, now), "you"));
        assert_eq!(seen.lines(3), ["deployment n/x created by you, 0/1 ready …"]);
        assert!(!seen.is(&deployment("2", 1, 1, now), "the lab"));
        assert_eq!(seen.lines(3), ["deployment n/x created by you, 1/1 ready"]);
        assert!(seen.is(&deployment("3", 2, 1, now), "you"));
        assert_eq!(seen.lines(3), ["deployment n/x changed by you, 1/1 ready"]);
        assert!(seen.gone(&deployment("4", 2, 1, now), "you"));
        assert_eq!(seen.lines(3), ["deployment n/x deleted by you"]);
        assert!(seen.is(&deployment("5", 1, 0, now), "you"));
        assert!(seen.lines(3)[0].starts_with("deployment n/x made anew by you"), "{:?}", seen.lines(3));
    }

    #[test]
    fn an_address_that_a_tunnel_gives_is_news() {
        let mut seen = Sightings::since("2026-01-02T03:04:05Z".parse().unwrap(), vec!["istio-system".into()]);
        let service = |version: &str, address: Value| {
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "door", "namespace": "istio-system", "uid": "1", "resourceVersion": version,
                    "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": address}})
        };
        assert!(!seen.is(&service("1", json!({})), "you"));
        assert!(seen.is(&service("2", json!({"ingress": [{"ip": "127.64.0.1"}]})), "you"));
        assert_eq!(seen.lines(3), ["service door changed by you, EXTERNAL-IP 127.64.0.1"]);
        assert!(seen.is(&service("3", json!({})), "you"));
        assert_eq!(seen.lines(3), ["service door changed by you, EXTERNAL-IP <pending>"]);
    }

    #[test]
    fn what_was_there_before_is_no_news_until_it_changes() {
        let mut seen = Sightings::since("2026-01-02T03:04:05Z".parse().unwrap(), Vec::new());
        let before = "2026-01-01T00:00:00Z";
        assert!(!seen.is(&deployment("1", 1, 1, before), "you"));
        assert!(seen.lines(3).is_empty());
        assert!(!seen.is(&deployment("1", 1, 1, before), "you"), "the same again");
        assert!(seen.is(&deployment("2", 2, 1, before), "you"));
        assert_eq!(seen.lines(3).len(), 1);
        seen.clear();
        assert!(seen.lines(3).is_empty());
    }
}
