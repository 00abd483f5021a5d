//! A model is built, whole, and lies where pods can mount it.

mod record;
pub(super) mod restart;

use std::path::{Path, PathBuf};

use serde_json::json;

pub(super) use record::{Record, version_directory};

use super::choices::Choices;
use super::{Change, Probe, Seen, World, picture, work_folder};
use crate::doctor::{Failure, Reason};
use crate::download;
use crate::lab::{Lab, ModelStep};
use crate::models::built;
use crate::models::catalogue::Entry;
use crate::models::weights::{self, Origin, Reachability};
use crate::state::{Home, HomeError};
use crate::ui::{Progress, plural, thousands};

pub(super) async fn probe(spec: &ModelStep, world: &World<'_>) -> Result<Probe, Failure> {
    let entry = entry_of(&spec.name, world.lab)?.clone();
    let (home, name, choices) = (world.home.clone(), spec.name.clone(), world.choices.clone());
    let looked = blocking("the look at a model", move || look(&home, &name, &entry, &choices)).await?;
    Ok(match looked {
        Ok(record) => {
            let entry = entry_of(&spec.name, world.lab)?;
            let facts = json!({
                "model": spec.name, "source": record.origin.word(), "record": record,
                "files": work_folder::request_body_digest(world.lab, world.home)?,
            });
            Probe::Satisfied(Seen::new(describe(&spec.name, entry, &record), facts))
        }
        Err(failure) => Probe::Needed(failure),
    })
}

/// What a built model's weights are, in a word: [`Origin::word`]; `None` when nothing is built under this name.
pub fn weights_of(home: &Home, name: &str) -> Option<&'static str> {
    Record::read(home, name).ok().map(|record| record.origin.word())
}

/// The line of a model, such as `resnet50 25,636,712 parameters, synthetic weights, 102.8 MB`.
fn describe(name: &str, entry: &Entry, record: &Record) -> String {
    let size = record.bytes() as f64 / 1e6;
    let text = format!("{name} {} parameters, {}, {size:.1} MB", thousands(record.parameters), record.origin);
    match (&record.origin, entry.pretrained()) {
        (Origin::Synthetic { .. }, Some(remote)) => {
            format!("{text} (`--weights pretrained`: {:.0} MB to download)", remote.bytes as f64 / 1e6)
        }
        _ => text,
    }
}

/// Whether what was asked for is there, as it was written.
fn look(home: &Home, name: &str, entry: &Entry, choices: &Choices) -> Result<Record, Failure> {
    let record = Record::read(home, name)?;
    record.check(home, name, entry)?;
    let wanted = weights::local(name, entry, &choices.weights, choices.own(name))?;
    let fits = match wanted {
        weights::Local::Decided(decision) => same_source(&decision.origin, &record.origin),
        weights::Local::Pretrained => record.origin.is_pretrained(),
        weights::Local::Any => true,
    };
    if fits {
        return Ok(record);
    }
    Err(Failure::new(Reason::ModelNotBuilt, format!("model {name} has {}, and others are asked for", record.origin)))
}

/// Whether two origins mean the same bytes.
fn same_source(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Synthetic { .. }, Origin::Synthetic { .. }) => true,
        (Origin::Pretrained { md5: one, .. }, Origin::Pretrained { md5: other, .. })
        | (Origin::File { md5: one, .. }, Origin::File { md5: other, .. })
        | (Origin::SavedModel { sha256: one, .. }, Origin::SavedModel { sha256: other, .. }) => one == other,
        _ => false,
    }
}

pub(super) async fn apply(spec: &ModelStep, world: &World<'_>) -> Result<Change, Failure> {
    let before = Record::read(world.home, &spec.name).ok();
    let mut network = world.memory.network.lock().await;
    let placed = place(&spec.name, world.lab, world.home, world.choices, &mut network, &world.progress).await?;
    drop(network);
    let mut lines = vec![describe(&spec.name, entry_of(&spec.name, world.lab)?, &placed.record)];
    lines.extend(placed.remarks);
    if before.is_none_or(|before| before.digest() != placed.record.digest()) {
        let pods = restart::restart_pods(world, &spec.name).await?;
        if pods > 0 {
            lines.push(format!("{} with the earlier model made anew", plural(pods, "pod")));
        }
    }
    world.forget_answers().await;
    Ok(Change { text: Some(lines.join("\n")), ..Change::default() })
}

/// A model that was put into its place.
pub struct Placed {
    /// The version directory.
    pub directory: PathBuf,
    /// What it was made from.
    pub origin: Origin,
    /// The number of parameters.
    pub parameters: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What a person should know, a line each; a warning begins with `! `.
    pub remarks: Vec<String>,
    record: Record,
}

/// Makes a model of the lab from what was asked for, where pods can mount it, and remembers what it was made from. The
/// home must be locked.
pub async fn place(
    name: &str,
    lab: &Lab,
    home: &Home,
    choices: &Choices,
    network: &mut Reachability,
    progress: &Progress,
) -> Result<Placed, Failure> {
    let entry = entry_of(name, lab)?;
    fits_some_model(lab, choices)?;
    let known_before = network.is_unreachable();
    let store = choices.store(home);
    let awaited = format!("downloading {name}");
    let mut tell = |done: download::Progress| progress.awaiting(awaited.clone(), Some(megabytes(done)));
    let decision =
        weights::decide(name, entry, &choices.weights, choices.own(name), &store, network, &mut tell).await?;
    let mut remarks: Vec<String> = decision.how.iter().map(|how| format!("{} {how}", decision.origin)).collect();
    if let Origin::Synthetic { because: Some(because) } = &decision.origin
        && !known_before
    {
        remarks.push(format!("! pretrained weights were not to be had: {because}"));
    }
    let (made, origin) = {
        let (name, entry, directory) = (name.to_owned(), entry.clone(), home.models().join(name));
        let (progress, origin) = (progress.clone(), decision.origin.clone());
        let work = move || make(&name, &entry, &decision, &directory, &progress);
        (blocking("the build of a model", work).await??, origin)
    };
    let record = Record::of(entry, origin.clone(), &made);
    record.keep(home, name).map_err(|(path, source)| Failure::from(HomeError::NotWritable { path, source }))?;
    if origin.is_pretrained()
        && let Some(failure) = picture::take_published(lab, home, choices, entry).await?
    {
        let why = failure.observed.first().cloned().unwrap_or(failure.headline);
        remarks
            .push(format!("! the tutorial's own picture was not to be had ({why}); the lab's copy stands in for it"));
    }
    Ok(Placed {
        directory: version_directory(home, name),
        origin,
        parameters: made.parameters,
        bytes: made.bytes,
        remarks,
        record,
    })
}

/// A weights file that fits none of the lab's models is a mistake, not a reason to go on without it; and so is a
/// SavedModel for a model that the lab does not have.
fn fits_some_model(lab: &Lab, choices: &Choices) -> Result<(), Failure> {
    let names: Vec<&str> = lab.spec.models.keys().map(String::as_str).collect();
    if let Some(unknown) = choices.model_directories.keys().find(|name| !names.contains(&name.as_str())) {
        return Err(Failure::new(Reason::ModelUnknown, format!("the lab has no model {unknown}"))
            .observed(format!("its models are {}", names.join(", ")))
            .then(format!("canary-lab up --model-dir {}=DIR", names.first().unwrap_or(&"NAME")), "names one of them"));
    }
    if let weights::WeightsChoice::File(path) = &choices.weights {
        let networks: Vec<_> = lab.catalogue.entries.iter().map(|entry| entry.network).collect();
        weights::require_fit(path, &networks)?;
    }
    Ok(())
}

fn make(
    name: &str,
    entry: &Entry,
    decision: &weights::Decision,
    directory: &Path,
    progress: &Progress,
) -> Result<built::BuiltModel, Failure> {
    let failed = |source| Failure::from(HomeError::NotWritable { path: directory.to_path_buf(), source });
    std::fs::create_dir_all(directory).map_err(failed)?;
    let awaited = format!("building model {name}");
    let mut tell = |done: built::Progress| {
        progress
            .awaiting(awaited.clone(), Some(format!("{} of {} MB", done.written / 1_000_000, done.total / 1_000_000)));
    };
    weights::make(entry, decision, directory, &mut tell).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.headline = format!("model {name} was not built: {}", failure.headline);
        failure
    })
}

fn megabytes(done: download::Progress) -> String {
    match done.total {
        Some(total) => format!("{} of {} MB", done.received / 1_000_000, total / 1_000_000),
        None => format!("{} MB", done.received / 1_000_000),
    }
}

/// The catalogue's entry that a model of the lab is built from.
pub(super) fn entry_of<'a>(name: &str, lab: &'a Lab) -> Result<&'a Entry, Failure> {
    let model = lab.spec.models.get(name);
    let entry = model.and_then(|model| lab.catalogue.entry(&model.network));
    entry.ok_or_else(|| {
        let known: Vec<&str> = lab.spec.models.keys().map(String::as_str).collect();
        Failure::new(Reason::ModelUnknown, format!("the lab has no model {name}"))
            .observed(format!("its models are {}", known.join(", ")))
    })
}

/// Runs work that computes or reads for long beside the runtime.
async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Reason::Internal, format!("{what} ended")).observed(error.to_string()))
}
