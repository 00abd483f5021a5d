//! The deployment controller: keeps one ReplicaSet for each template that a Deployment had, and moves its pods from
//! the old ones to the new one. Behaviour and texts are those of Kubernetes 1.24.

mod conditions;
mod revisions;
mod rolling;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::queue::{ObjectKey, WorkQueue};
use super::{ownership, pod_facts};
use crate::embedded::api::{DeleteOptions, Registry, Status};
use crate::objects::meta;
use conditions::Observed;
use rolling::{Bounds, Counts};

const DEPLOYMENTS: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";
const COMPONENT: &str = "deployment-controller";

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry) {
    let mut queue = WorkQueue::default();
    let mut deployments = registry.watch(DEPLOYMENTS, None);
    let mut sets = registry.watch(SETS, None);
    let mut pods = registry.watch("pods", None);
    loop {
        let key = tokio::select! {
            biased;
            event = deployments.next() => {
                queue.add(ObjectKey::of(event.object()));
                continue;
            }
            event = sets.next() => {
                if let Some(name) = ownership::controller_name(event.object(), "Deployment") {
                    queue.add(ObjectKey::beside(event.object(), name));
                }
                continue;
            }
            event = pods.next() => {
                // Only the strategy Recreate waits for pods, and what it waits for is that they are gone.
                if event.is_deleted() {
                    for deployment in recreating(&registry, &ObjectKey::of(event.object())) {
                        queue.add(deployment);
                    }
                }
                continue;
            }
            key = queue.next() => key,
        };
        let outcome = sync(&registry, &key).await;
        queue.done("deployment", key, outcome);
    }
}

fn recreating(registry: &Registry, beside: &ObjectKey) -> Vec<ObjectKey> {
    let Ok((deployments, _)) = registry.list(DEPLOYMENTS, beside.scope()) else { return vec![] };
    let recreating = deployments.iter().filter(|one| one["spec"]["strategy"]["type"] == "Recreate");
    recreating.map(|one| ObjectKey::of(one)).collect()
}

/// The sets of one Deployment: the one with its template, if it exists, and the others, oldest first.
struct Sets {
    new: Option<Arc<Value>>,
    old: Vec<Arc<Value>>,
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn counts(&self) -> Counts {
        Counts::sum(self.all().map(|set| Counts::of(set)))
    }

    fn new_counts(&self) -> Counts {
        self.new.as_deref().map(Counts::of).unwrap_or_default()
    }

    fn put(&mut self, changed: Arc<Value>) {
        let same = |set: &Arc<Value>| set["metadata"]["uid"] == changed["metadata"]["uid"];
        if let Some(slot) = self.old.iter_mut().chain(&mut self.new).find(|set| same(set)) {
            *slot = changed;
        }
    }
}

/// Brings one Deployment a step further; returns after which time to look again without an event.
async fn sync(registry: &Registry, key: &ObjectKey) -> Result<Option<Duration>, Status> {
    let deployment = match registry.get(DEPLOYMENTS, key.scope(), &key.name) {
        Ok(deployment) => deployment,
        Err(status) if status.is_not_found() => return Ok(None),
        Err(status) => return Err(status),
    };
    let mut sets = find_sets(registry, &deployment)?;
    if meta::is_terminating(&deployment) {
        write_status(registry, &deployment, &sets, false).await?;
        return Ok(None);
    }
    let paused = deployment["spec"]["paused"] == true;
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    if paused || was_resized(&deployment, &sets) {
        annotate_new_set(registry, &deployment, &mut sets).await?;
        resize(registry, &deployment, &mut sets).await?;
    } else if recreate {
        sync_recreate(registry, &deployment, &mut sets).await?;
    } else {
        ensure_new_set(registry, &deployment, &mut sets).await?;
        roll(registry, &deployment, &mut sets).await?;
    }
    let deployment = write_status(registry, &deployment, &sets, !paused).await?;
    if conditions::is_complete(&deployment, &deployment["status"]) {
        drop_history(registry, &deployment, &sets).await?;
    }
    Ok(conditions::deadline_left(&deployment).map(Duration::from_secs))
}

fn find_sets(registry: &Registry, deployment: &Value) -> Result<Sets, Status> {
    let namespace = deployment["metadata"]["namespace"].as_str();
    let (all, _) = registry.list(SETS, namespace)?;
    let mut owned: Vec<Arc<Value>> =
        all.into_iter().filter(|set| ownership::is_controlled_by(set, deployment)).collect();
    let created = |set: &Value| {
        let text = |field: &str| set["metadata"][field].as_str().unwrap_or_default().to_owned();
        (text("creationTimestamp"), text("name"))
    };
    owned.sort_by_key(|set| created(set));
    let template = &deployment["spec"]["template"];
    let position = owned.iter().position(|set| revisions::has_template(set, template));
    let new = position.map(|index| owned.remove(index));
    Ok(Sets { new, old: owned })
}

/// Whether the wanted number changed since the sets were sized.
fn was_resized(deployment: &Value, sets: &Sets) -> bool {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1).to_string();
    let active = sets.all().filter(|set| Counts::of(set).wanted > 0);
    active
        .into_iter()
        .any(|set| set["metadata"]["annotations"][revisions::DESIRED].as_str().is_some_and(|desired| desired != wanted))
}

fn ceiling(deployment: &Value) -> u64 {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    wanted + Bounds::of(deployment, wanted).surge
}

/// Finds or makes the ReplicaSet for the current template.
async fn ensure_new_set(registry: &Registry, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    if sets.new.is_some() {
        return annotate_new_set(registry, deployment, sets).await;
    }
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let bounds = Bounds::of(deployment, wanted);
    let size = rolling::new_set_size(wanted, bounds, sets.counts(), Counts::default());
    let namespace = deployment["metadata"]["namespace"].as_str();
    let collisions = deployment["status"]["collisionCount"].as_u64().unwrap_or(0);
    let mut set = revisions::new_replica_set(deployment, size, collisions);
    let highest = sets.old.iter().map(|set| revisions::revision(set)).max().unwrap_or(0);
    let _ = revisions::annotate_current(&mut set, deployment, highest, ceiling(deployment));
    let created = match registry.create(SETS, namespace, set).await {
        Ok(created) => created,
        Err(status) if status.reason == "AlreadyExists" => {
            // Another template has the same hash: count the collision, which changes the next hash.
            let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
            let counted = registry.modify(DEPLOYMENTS, namespace, name, |stored| {
                stored["status"]["collisionCount"] = json!(collisions + 1);
            });
            counted.await?;
            return Err(status);
        }
        Err(status) => return Err(status),
    };
    set_revision(registry, deployment, &created).await?;
    if size > 0 {
        report_scaling(registry, deployment, &created, 0, size).await;
    }
    sets.new = Some(created);
    Ok(())
}

async fn annotate_new_set(registry: &Registry, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let Some(new) = &sets.new else { return Ok(()) };
    let highest = sets.old.iter().map(|set| revisions::revision(set)).max().unwrap_or(0);
    let mut annotated = Value::clone(new);
    // The sizes are noted when the set is sized, so that a change of the wanted number can be told.
    let noted = annotated["metadata"]["annotations"].clone();
    let mut changed = revisions::annotate_current(&mut annotated, deployment, highest, ceiling(deployment));
    if was_resized(deployment, sets) {
        for name in [revisions::DESIRED, revisions::CEILING] {
            annotated["metadata"]["annotations"][name] = noted[name].clone();
        }
        changed = annotated["metadata"]["annotations"] != noted;
    }
    let seconds = &deployment["spec"]["minReadySeconds"];
    if annotated["spec"]["minReadySeconds"].as_u64().unwrap_or(0) != seconds.as_u64().unwrap_or(0) {
        annotated["spec"]["minReadySeconds"] = seconds.clone();
        changed = true;
    }
    let mut current = Arc::clone(new);
    if changed {
        let name = annotated["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let namespace = deployment["metadata"]["namespace"].as_str();
        current = registry.update(SETS, namespace, &name, annotated).await?;
        sets.new = Some(Arc::clone(&current));
    }
    set_revision(registry, deployment, &current).await
}

async fn set_revision(registry: &Registry, deployment: &Value, set: &Value) -> Result<(), Status> {
    let revision = revisions::revision(set);
    if revisions::revision(deployment) == revision {
        return Ok(());
    }
    let key = ObjectKey::of(deployment);
    let changed = registry.modify(DEPLOYMENTS, key.scope(), &key.name, |stored| {
        revisions::set_entry(&mut stored["metadata"]["annotations"], revisions::REVISION, &revision.to_string());
    });
    changed.await.map(drop)
}

/// One step of the rolling update: first the new set up, else the old ones down.
async fn roll(registry: &Registry, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let bounds = Bounds::of(deployment, wanted);
    if let Some(new) = sets.new.clone() {
        let size = rolling::new_set_size(wanted, bounds, sets.counts(), sets.new_counts());
        if size != sets.new_counts().wanted {
            let changed = set_size(registry, deployment, &new, size).await?;
            sets.put(changed);
            return Ok(());
        }
    }
    let counts: Vec<Counts> = sets.old.iter().map(|set| Counts::of(set)).collect();
    let sizes = rolling::old_set_sizes(wanted, bounds, &counts, sets.new_counts());
    for (set, size) in sets.old.clone().iter().zip(sizes) {
        if Counts::of(set).wanted != size {
            let changed = set_size(registry, deployment, set, size).await?;
            sets.put(changed);
        }
    }
    Ok(())
}

/// Recreate: all old pods go, and are gone, before the first new one comes.
async fn sync_recreate(registry: &Registry, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    annotate_new_set(registry, deployment, sets).await?;
    let mut scaled = false;
    for set in sets.old.clone() {
        if Counts::of(&set).wanted > 0 {
            let changed = set_size(registry, deployment, &set, 0).await?;
            sets.put(changed);
            scaled = true;
        }
    }
    if scaled || has_running_pods(registry, deployment, sets)? {
        return Ok(());
    }
    ensure_new_set(registry, deployment, sets).await?;
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    if let Some(new) = sets.new.clone()
        && Counts::of(&new).wanted != wanted
    {
        let changed = set_size(registry, deployment, &new, wanted).await?;
        sets.put(changed);
    }
    Ok(())
}

fn has_running_pods(registry: &Registry, deployment: &Value, sets: &Sets) -> Result<bool, Status> {
    let (pods, _) = registry.list("pods", deployment["metadata"]["namespace"].as_str())?;
    let of_old = |pod: &Arc<Value>| sets.old.iter().any(|set| ownership::is_controlled_by(pod, set));
    Ok(pods.iter().any(|pod| !pod_facts::is_finished(pod) && of_old(pod)))
}

/// The wanted number changed: the one active set follows, or several share the change.
async fn resize(registry: &Registry, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let active: Vec<Arc<Value>> = sets.all().filter(|set| Counts::of(set).wanted > 0).cloned().collect();
    let only = match active.as_slice() {
        [] => sets.new.clone().or_else(|| sets.old.last().cloned()),
        [one] => Some(Arc::clone(one)),
        _ => None,
    };
    if let Some(set) = only {
        let changed = set_size(registry, deployment, &set, wanted).await?;
        sets.put(changed);
        return Ok(());
    }
    let new = sets.new_counts();
    if new.wanted == wanted && new.available == wanted {
        for set in sets.old.clone() {
            let changed = set_size(registry, deployment, &set, 0).await?;
            sets.put(changed);
        }
        return Ok(());
    }
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        return Ok(());
    }
    let target = if wanted == 0 { 0 } else { ceiling(deployment) };
    let sizes: Vec<u64> = active.iter().map(|set| Counts::of(set).wanted).collect();
    let noted = |set: &Value| set["metadata"]["annotations"][revisions::CEILING].as_str()?.parse().ok();
    let total = deployment["status"]["replicas"].as_u64().unwrap_or(1);
    let ceilings: Vec<u64> = active.iter().map(|set| noted(set).unwrap_or(total)).collect();
    for (set, size) in active.iter().zip(rolling::proportional_sizes(target, &sizes, &ceilings)) {
        let changed = set_size(registry, deployment, set, size).await?;
        sets.put(changed);
    }
    Ok(())
}

/// Sizes one ReplicaSet and tells about it.
async fn set_size(registry: &Registry, deployment: &Value, set: &Value, size: u64) -> Result<Arc<Value>, Status> {
    let before = Counts::of(set).wanted;
    let key = ObjectKey::of(set);
    let changed = registry
        .modify(SETS, key.scope(), &key.name, |stored| {
            stored["spec"]["replicas"] = json!(size);
            revisions::annotate_size(stored, deployment, ceiling(deployment));
        })
        .await?;
    if before != size {
        report_scaling(registry, deployment, set, before, size).await;
    }
    Ok(changed)
}

async fn report_scaling(registry: &Registry, deployment: &Value, set: &Value, before: u64, size: u64) {
    let direction = if size > before { "up" } else { "down" };
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let text = format!("Scaled {direction} replica set {name} to {size}");
    registry.event(deployment, "Normal", "ScalingReplicaSet", &text, COMPONENT).await;
}

/// Writes the status if it changed, and returns the Deployment as it is then.
async fn write_status(
    registry: &Registry,
    deployment: &Arc<Value>,
    sets: &Sets,
    judge: bool,
) -> Result<Arc<Value>, Status> {
    let new = sets.new.as_deref();
    let name = |set: &'_ Value| set["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let new_name = new.map(name);
    let failure = sets.all().find_map(|set| conditions::condition(set, "ReplicaFailure"));
    let observed =
        Observed { deployment, all: sets.counts(), new: new_name.as_deref().zip(new.map(Counts::of)), failure };
    let mut status = conditions::counted_status(&observed);
    if judge {
        conditions::judge_progress(&observed, &mut status);
    }
    if status == deployment["status"] {
        return Ok(Arc::clone(deployment));
    }
    let key = ObjectKey::of(deployment);
    registry.modify(DEPLOYMENTS, key.scope(), &key.name, |stored| stored["status"] = status.clone()).await
}

/// Drops the oldest empty sets beyond the history limit.
async fn drop_history(registry: &Registry, deployment: &Value, sets: &Sets) -> Result<(), Status> {
    let Some(limit) = deployment["spec"]["revisionHistoryLimit"].as_u64() else { return Ok(()) };
    let mut old: Vec<_> = sets.old.iter().filter(|set| !meta::is_terminating(set)).collect();
    old.sort_by_key(|set| revisions::revision(set));
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    for set in old.into_iter().take(excess) {
        let counts = Counts::of(set);
        if counts.wanted == 0 && counts.actual == 0 {
            let key = ObjectKey::of(set);
            let _ = registry.delete(SETS, key.scope(), &key.name, DeleteOptions::default()).await?;
        }
    }
    Ok(())
}
