use std::fmt;

use serde_json::{Map, Value, json};

use super::element::Element;
use super::place::Place;
use super::set::FieldSet;
use super::walk::{Comparison, compare, merge, remove, to_set};
use crate::objects::apply::LAST_APPLIED;
use crate::objects::meta;

/// Entries of updaters that are kept; older ones are put together.
const MOST_UPDATERS: usize = 10;
/// In whose name the fields of an object are kept that nobody was recorded for, when it is applied the first time.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The name of the entry that old updaters are put into.
const ANCIENT: &str = "ancient-changes";
/// The one applier that takes over from its own client-side past.
const KUBECTL: &str = "kubectl";

/// How a writer came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By applying them on the server's side.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The manager's name.
    pub manager: &'a str,
    /// The version in which it writes.
    pub api_version: &'a str,
    /// The subresource through which it writes; empty for the object itself.
    pub subresource: &'a str,
    /// The time, as `metadata` has times.
    pub now: &'a str,
}

/// The fields of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    manager: String,
    operation: Operation,
    api_version: String,
    subresource: String,
    time: Option<String>,
    fields: FieldSet,
}

impl Entry {
    fn is(&self, operation: Operation, writer: Writer<'_>) -> bool {
        self.operation == operation
            && self.manager == writer.manager
            && self.subresource == writer.subresource
            && (operation == Operation::Apply || self.api_version == writer.api_version)
    }

    fn new(operation: Operation, writer: Writer<'_>, fields: FieldSet) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: Some(writer.now.to_owned()),
            fields,
        }
    }
}

/// A field that somebody else owns and the applier would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as messages name it.
    pub owner: String,
    /// The field.
    pub path: String,
    steps: Vec<Element>,
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", crate::objects::names::quote(&self.manager))?;
        if !self.subresource.is_empty() {
            write!(out, " with subresource {}", crate::objects::names::quote(&self.subresource))?;
        }
        if self.operation == Operation::Update {
            write!(out, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// Everybody who owns fields of an object: `metadata.managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(Vec<Entry>);

impl Managers {
    /// Reads `metadata.managedFields`; `None` when it is malformed.
    pub fn decode(managed_fields: &Value) -> Option<Self> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = match managed_fields {
            Value::Null => return Some(Self::default()),
            Value::Array(entries) => entries,
            _ => return None,
        };
        let mut managers = Vec::new();
        for entry in entries {
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return None,
            };
            let api_version = text(entry, "apiVersion");
            if api_version.is_empty() || entry["fieldsType"] != "FieldsV1" {
                return None;
            }
            let empty = json!({});
            let fields = Some(&entry["fieldsV1"]).filter(|fields| !fields.is_null()).unwrap_or(&empty);
            managers.push(Entry {
                manager: text(entry, "manager"),
                operation,
                api_version,
                subresource: text(entry, "subresource"),
                time: entry["time"].as_str().map(str::to_owned),
                fields: FieldSet::from_fields_v1(fields)?,
            });
        }
        Some(Self(managers))
    }

    /// The managers as `metadata.managedFields`, in the order of the API server; `None` when there are none.
    pub fn encode(&self) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by(|a, b| {
            let by_writer = a.manager.cmp(&b.manager).then_with(|| a.api_version.cmp(&b.api_version));
            let by_writer = by_writer.then_with(|| a.subresource.cmp(&b.subresource));
            a.operation.cmp(&b.operation).then_with(|| a.time.cmp(&b.time)).then(by_writer)
        });
        Some(entries.into_iter().map(encode_entry).collect())
    }

    /// Whether nobody is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records an update: the writer owns what it added and changed, and nobody owns what is gone or was changed by it.
    /// `old` is `None` for a new object. Fields that `reset` names are not the writer's to set.
    pub fn update(&mut self, old: Option<&Value>, new: &Value, place: Place<'_>, writer: Writer<'_>, reset: &[&str]) {
        // An object whose writers were never recorded stays so until it is applied.
        if self.is_empty() && old.is_some() {
            return;
        }
        self.record(old, new, place, writer, reset);
        self.limit();
    }

    fn record(&mut self, old: Option<&Value>, new: &Value, place: Place<'_>, writer: Writer<'_>, reset: &[&str]) {
        let nothing = unset(new["kind"].as_str().unwrap_or_default(), writer.api_version);
        let (old, new) = (bare(old.unwrap_or(&nothing), reset), bare(new, reset));
        let Comparison { added, modified, removed } = compare(&old, &new, place);
        let changed = added.union(&modified);
        for entry in &mut self.0 {
            entry.fields = entry.fields.difference(&changed).difference(&removed);
        }
        self.0.retain(|entry| !entry.fields.is_empty());
        let own = changed.difference(&unowned());
        if own.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|entry| entry.is(Operation::Update, writer)) {
            Some(entry) => {
                entry.fields = entry.fields.union(&own);
                entry.time = Some(writer.now.to_owned());
            }
            None => self.0.push(Entry::new(Operation::Update, writer, own)),
        }
    }

    /// Puts the oldest updaters of a version together while there are too many.
    fn limit(&mut self) {
        let is_updater = |entry: &Entry| entry.operation == Operation::Update;
        while self.0.iter().filter(|entry| is_updater(entry)).count() > MOST_UPDATERS {
            let mut order: Vec<usize> = (0..self.0.len()).filter(|at| is_updater(&self.0[*at])).collect();
            order.sort_by_key(|at| (self.0[*at].time.clone(), self.0[*at].manager.clone()));
            let same_version = |one: usize, other: usize| self.0[one].api_version == self.0[other].api_version;
            let pair = order.iter().enumerate().find_map(|(index, first)| {
                order[index + 1..].iter().find(|second| same_version(*first, **second)).map(|second| (*first, *second))
            });
            let Some((first, second)) = pair else { return };
            let fields = self.0[first].fields.union(&self.0[second].fields);
            let time = self.0[second].time.clone();
            let api_version = self.0[first].api_version.clone();
            for at in [first.max(second), first.min(second)] {
                self.0.remove(at);
            }
            self.0.push(Entry {
                manager: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version,
                subresource: String::new(),
                time,
                fields,
            });
        }
    }

    /// Applies `config` to the live object: sets what it says, removes what the same applier said before and says no more
    /// (unless somebody else owns it), and records the ownership. Returns the new object, without `managedFields`.
    ///
    /// # Errors
    /// The fields that others own and that would change, unless `force` takes them over.
    pub fn apply(
        &mut self,
        live: Option<&Value>,
        config: &Value,
        place: Place<'_>,
        writer: Writer<'_>,
        force: bool,
    ) -> Result<Value, Vec<Conflict>> {
        if self.is_empty()
            && let Some(live) = live
        {
            self.record(None, live, place, Writer { manager: BEFORE_FIRST_APPLY, ..writer }, &[]);
        }
        let before = self.clone();
        let result = self.try_apply(live, config, place, writer, force);
        let mut applied = match result {
            Err(conflicts) if writer.manager == KUBECTL => {
                *self = before.clone();
                let allowed = live.and_then(|live| applied_by_client(live, place, writer.api_version));
                let Some(allowed) = allowed else { return Err(conflicts) };
                let left: Vec<Conflict> =
                    conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.steps)).collect();
                if !left.is_empty() {
                    return Err(left);
                }
                self.try_apply(live, config, place, writer, true)
            }
            other => other,
        }
        .inspect_err(|_| *self = before)?;
        // Whoever goes on with the client-side command later finds the record up to date.
        if writer.manager == KUBECTL && meta::annotation(&applied, LAST_APPLIED).is_some() {
            let record = crate::objects::apply::last_applied_annotation(config);
            meta::set_annotation(&mut applied, LAST_APPLIED, &record);
        }
        Ok(applied)
    }

    fn try_apply(
        &mut self,
        live: Option<&Value>,
        config: &Value,
        place: Place<'_>,
        writer: Writer<'_>,
        force: bool,
    ) -> Result<Value, Vec<Conflict>> {
        let empty = json!({});
        let live = bare(live.unwrap_or(&empty), &[]);
        let merged = merge(&live, config, place);
        let at = self.0.iter().position(|entry| entry.is(Operation::Apply, writer));
        let last = at.map(|at| self.0.remove(at));
        let own = to_set(config, place);
        let managed = self.0.iter().fold(own.clone(), |all, entry| all.union(&entry.fields));
        let merged = match &last {
            Some(last) if !last.fields.is_empty() => prune(&merged, &last.fields, &managed, place),
            _ => merged,
        };
        let Comparison { added, modified, removed } = compare(&live, &merged, place);
        let changed = added.union(&modified);
        let mut conflicts = Vec::new();
        for entry in &self.0 {
            for steps in entry.fields.intersection(&changed).paths() {
                let path = steps.iter().map(ToString::to_string).collect();
                conflicts.push((entry.clone(), Conflict { owner: entry.to_string(), path, steps }));
            }
        }
        if !force && !conflicts.is_empty() {
            conflicts.sort_by(|(one, _), (other, _)| one.manager.cmp(&other.manager));
            return Err(conflicts.into_iter().map(|(_, conflict)| conflict).collect());
        }
        for entry in &mut self.0 {
            entry.fields = entry.fields.difference(&changed).difference(&removed);
        }
        self.0.retain(|entry| !entry.fields.is_empty());
        let own = own.difference(&unowned());
        if !own.is_empty() {
            let mut entry = Entry::new(Operation::Apply, writer, own);
            // Applying the same again is no event.
            if let Some(last) = last.filter(|last| last.fields == entry.fields && merged == live) {
                entry.time = last.time;
            }
            self.0.push(entry);
        }
        Ok(merged)
    }
}

/// Removes what the applier owned, except what it or somebody else owns now, and what nobody owned inside.
fn prune(merged: &Value, last: &FieldSet, managed: &FieldSet, place: Place<'_>) -> Value {
    let or_empty = |value: Option<Value>| value.unwrap_or_else(|| json!({}));
    let last = last.with_named_fields(place);
    let all = to_set(merged, place).with_named_fields(place);
    let pruned = or_empty(remove(merged, &last, place));
    let kept = to_set(&pruned, place).with_named_fields(place);
    let owned = managed.with_named_fields(place);
    let pruned = or_empty(remove(merged, &all.difference(&kept.union(&owned)), place));
    let kept = to_set(&pruned, place).with_named_fields(place);
    or_empty(remove(merged, &all.difference(&kept).intersection(&last), place))
}

/// What `kubectl apply` applied on the client's side, and is still so.
fn applied_by_client(live: &Value, place: Place<'_>, api_version: &str) -> Option<FieldSet> {
    let record = crate::objects::apply::original_of(live)?;
    if record["apiVersion"] != api_version {
        return None;
    }
    let Comparison { added, modified, removed } = compare(&record, live, place);
    Some(to_set(&record, place).difference(&modified).difference(&added).difference(&removed))
}

/// The object without the record of its owners, and without what is reset.
fn bare(object: &Value, reset: &[&str]) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    if let Some(fields) = object.as_object_mut() {
        for field in reset {
            fields.shift_remove(*field);
        }
    }
    object
}

/// An object of a built-in kind that nothing was written to, with what Go's structures have all the same: parts that are no
/// pointers, and lists that must be named. Who makes an object owns what it adds to this.
fn unset(kind: &str, api_version: &str) -> Value {
    let template = || json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": null}});
    match (api_version, kind) {
        ("v1", "Pod") => json!({"spec": {"containers": null}, "status": {}}),
        ("v1", "Service") => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        ("v1", "Namespace" | "PersistentVolume") => json!({"spec": {}, "status": {}}),
        ("v1", "PersistentVolumeClaim") => json!({"spec": {"resources": {}}, "status": {}}),
        ("v1", "Node") => json!({
            "spec": {},
            "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "",
                "architecture": "",
            }},
        }),
        ("apps/v1", "Deployment") => {
            json!({"spec": {"selector": null, "template": template(), "strategy": {}}, "status": {}})
        }
        // A ReplicaSet's template may be left out as a whole in its JSON, and is a structure all the same.
        ("apps/v1", "ReplicaSet") => {
            json!({"spec": {"selector": null, "template": template()}, "status": {"replicas": 0}})
        }
        ("policy/v1", "PodDisruptionBudget") => json!({
            "spec": {},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        }),
        _ => json!({}),
    }
}

/// What nobody owns: identity, and what the server keeps.
fn unowned() -> FieldSet {
    FieldSet::of_names(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

fn encode_entry(entry: &Entry) -> Value {
    let mut fields = Map::new();
    fields.insert("manager".to_owned(), entry.manager.as_str().into());
    fields.insert("operation".to_owned(), entry.operation.name().into());
    fields.insert("apiVersion".to_owned(), entry.api_version.as_str().into());
    if let Some(time) = &entry.time {
        fields.insert("time".to_owned(), time.as_str().into());
    }
    fields.insert("fieldsType".to_owned(), "FieldsV1".into());
    fields.insert("fieldsV1".to_owned(), entry.fields.to_fields_v1());
    if !entry.subresource.is_empty() {
        fields.insert("subresource".to_owned(), entry.subresource.as_str().into());
    }
    Value::Object(fields)
}
