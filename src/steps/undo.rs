//! Taking back what a step made: the way from a stage to an earlier one.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::World;
use super::work_folder::unchanged;
use crate::cluster::{Api, Applied, Entrance, ObjectRef, Removal, Settings, Watched};
use crate::doctor::{Failure, Reason};
use crate::lab::Lab;
use crate::objects::{Gvk, meta};
use crate::state::{HomeError, State};

/// How long an object may take to go, with all that depends on it: a pod alone has 30 s of grace, and on a full machine a real
/// one took more than a minute.
pub const GONE_WITHIN: Duration = Duration::from_mins(2);

/// One thing to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo<'a> {
    /// The object gets back the shape that an earlier stage gave it.
    Restore {
        /// That stage's manifest.
        manifest: &'a str,
    },
    /// The object goes.
    Delete {
        /// The manifest that describes it.
        manifest: &'a str,
    },
    /// The namespace goes, with all that is in it.
    Namespace {
        /// Its name.
        name: &'a str,
    },
    /// The ingress service loses its address.
    Tunnel,
    /// The mesh goes.
    Mesh,
    /// The lab's files in the work folder go; ones that somebody has changed stay.
    WorkFolder,
    /// The cluster goes, with everything in it.
    Cluster,
}

/// What was taken back.
#[derive(Debug, Clone, Default)]
pub struct Undone {
    /// What was done, a line each; nothing where there was nothing to do.
    pub lines: Vec<String>,
    /// The objects that went or were given another shape, as they were.
    pub objects: Vec<Value>,
}

impl Undo<'_> {
    /// What it is about to do, for a person.
    pub fn describe(&self, lab: &Lab, provider: &str) -> String {
        let label = |file: &str| lab.manifests.get(file).map(|manifest| manifest.key.label()).unwrap_or_default();
        match self {
            Self::Restore { manifest } => format!("bring {} back to {manifest}", label(manifest)),
            Self::Delete { manifest } => format!("delete {}", label(manifest)),
            Self::Namespace { name } => format!("delete Namespace {name}"),
            Self::Tunnel => "stop the tunnel".to_owned(),
            Self::Mesh => "remove Istio".to_owned(),
            Self::WorkFolder => "remove the lab's files from the work folder".to_owned(),
            Self::Cluster => format!("remove the {provider} cluster"),
        }
    }

    /// Does it; what is so already is left alone.
    pub async fn carry_out(&self, world: &World<'_>, state: &State) -> Result<Undone, Failure> {
        match self {
            Self::Restore { manifest } => restore(manifest, world).await,
            Self::Delete { manifest } => {
                let object = world.object(manifest)?;
                match ObjectRef::of(&object) {
                    Some(reference) => delete(&reference, world).await,
                    None => Ok(Undone::default()),
                }
            }
            Self::Namespace { name } => delete(&ObjectRef::new("v1", "Namespace", None, name), world).await,
            Self::Tunnel => stop_tunnel(world).await,
            Self::Mesh => {
                let api = world.api().await?;
                let removed = world.provider.remove_mesh(&api, &world.progress).await?;
                let lines = if removed.is_empty() {
                    Vec::new()
                } else {
                    vec![format!("{} objects of Istio deleted", removed.len())]
                };
                Ok(Undone { lines, ..Undone::default() })
            }
            Self::WorkFolder => remove_work_files(world, state),
            Self::Cluster => remove_cluster(world).await,
        }
    }
}

async fn restore(file: &str, world: &World<'_>) -> Result<Undone, Failure> {
    let manifest = world.object(file)?;
    let api = world.api().await?;
    let Some(reference) = ObjectRef::of(&manifest) else { return Ok(Undone::default()) };
    // One that is missing altogether is made by its own stage, which comes right after.
    let Some(before) = api.get(&reference).await? else { return Ok(Undone::default()) };
    Ok(match api.restore(&manifest).await? {
        Applied::Unchanged(_) => Undone::default(),
        Applied::Created(_) | Applied::Configured(_) => {
            Undone { lines: vec![format!("{} is as {file} has it", reference.label())], objects: vec![before] }
        }
    })
}

async fn delete(reference: &ObjectRef, world: &World<'_>) -> Result<Undone, Failure> {
    let api = world.api().await?;
    let Some(before) = api.get(reference).await? else { return Ok(Undone::default()) };
    world.progress.awaiting(format!("deleting {}", reference.label()), None);
    match api.remove(reference, None, GONE_WITHIN).await? {
        Removal::Gone => Ok(Undone { lines: vec![format!("{} deleted", reference.label())], objects: vec![before] }),
        Removal::Absent | Removal::AnotherOne => Ok(Undone::default()),
        Removal::Lingers => Err(lingers(&api, reference).await),
    }
}

/// Why an object is still there: its finalizers, or a namespace's own words about what holds it.
async fn lingers(api: &Api, reference: &ObjectRef) -> Failure {
    let reason = if reference.gvk.kind == "Namespace" { Reason::NamespaceTerminating } else { Reason::Leftovers };
    let mut failure =
        Failure::new(reason, format!("{} is still there after {} s", reference.label(), GONE_WITHIN.as_secs()));
    if let Ok(Some(object)) = api.get(reference).await {
        failure.observed.extend(meta::finalizers(&object).map(|one| format!("finalizer {one}")));
        let conditions = meta::list_at(&object, &["status", "conditions"]).iter();
        let held = conditions.filter(|condition| condition["status"] == "True");
        failure.observed.extend(held.filter_map(|condition| condition["message"].as_str()).map(str::to_owned));
    }
    failure
}

async fn stop_tunnel(world: &World<'_>) -> Result<Undone, Failure> {
    let running = world.provider.probe_tunnel().await? == Entrance::Open;
    let address_goes = world.provider.holds_address();
    world.provider.set_tunnel(false).await?;
    let lines = if running { vec!["the tunnel is stopped".to_owned()] } else { Vec::new() };
    // An address that a load balancer gave, or somebody else's tunnel, stays with the service.
    if !address_goes {
        return Ok(Undone { lines, ..Undone::default() });
    }
    world.progress.awaiting("waiting for EXTERNAL-IP to be <pending> again", None);
    let api = world.api().await?;
    let spec = &world.lab.spec.ingress;
    if tokio::time::timeout(GONE_WITHIN, address_is_gone(&api, &spec.namespace, &spec.service)).await.is_err() {
        return Err(Failure::new(Reason::Leftovers, "the ingress service keeps its address")
            .observed(format!("Service {}/{}", spec.namespace, spec.service)));
    }
    Ok(Undone { lines, ..Undone::default() })
}

async fn address_is_gone(api: &Api, namespace: &str, service: &str) -> Result<(), Failure> {
    let reference = ObjectRef::new("v1", "Service", Some(namespace), service);
    loop {
        let selector = format!("metadata.name={service}");
        let events = api.watch(&Gvk::new("", "v1", "Service"), Some(namespace), ("fieldSelector", &selector)).await?;
        let mut events = std::pin::pin!(events);
        match api.get(&reference).await? {
            Some(service) if service.pointer("/status/loadBalancer/ingress/0").is_some() => {}
            _ => return Ok(()),
        }
        while let Some(event) = events.next().await {
            match event? {
                Watched::Is(service) if service.pointer("/status/loadBalancer/ingress/0").is_some() => {}
                Watched::Is(_) | Watched::Gone(_) => return Ok(()),
            }
        }
    }
}

fn remove_work_files(world: &World<'_>, state: &State) -> Result<Undone, Failure> {
    let paths = unchanged(world.home, &state.work_files, world.lab, &world.provider.models_on_node());
    for path in &paths {
        std::fs::remove_file(path)
            .map_err(|source| Failure::from(HomeError::NotWritable { path: path.clone(), source }))?;
    }
    // The folder goes when nothing of somebody else is in it.
    let _ = std::fs::remove_dir(world.home.work());
    let lines =
        if paths.is_empty() { Vec::new() } else { vec![format!("{} files of the work folder removed", paths.len())] };
    Ok(Undone { lines, ..Undone::default() })
}

async fn remove_cluster(world: &World<'_>) -> Result<Undone, Failure> {
    let there = Settings::has_company(world.home)
        || world.home.kubeconfig().exists()
        || !world.provider.processes().await?.is_empty();
    let left = world.provider.stop().await?;
    world.forget_api().await;
    if !left.is_empty() {
        let mut failure = Failure::new(Reason::Leftovers, "the cluster does not stop");
        failure.observed = left;
        return Err(failure);
    }
    // Which cluster was asked for, and how, is what the next start goes by.
    let not_kept = |source| Failure::from(HomeError::NotWritable { path: world.home.cluster(), source });
    let asked = Settings::load(world.home).map_err(not_kept)?.as_asked();
    for path in [world.home.cluster(), world.home.kubeconfig()] {
        world.home.discard(&path).map_err(|source| Failure::from(HomeError::NotWritable { path, source }))?;
    }
    if asked != Settings::default() {
        asked.save(world.home).map_err(not_kept)?;
    }
    let lines = if there { vec![format!("the {} cluster removed", world.provider.name())] } else { Vec::new() };
    Ok(Undone { lines, ..Undone::default() })
}
