//! What to make a model from.

use std::path::{Path, PathBuf};

use super::choice::WeightsChoice;
use super::error::WeightsFailure;
use super::find::{Found, find};
use super::origin::Origin;
use super::store::{Artefact, Store};
use crate::download::{Checksum, DownloadError, Patience, Progress};
use crate::models::catalogue::{Entry, Remote, Source};
use crate::models::network::Network;
use crate::models::{place, pretrained};

/// What a model is to be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is kept beside the model.
    pub origin: Origin,
    /// The weights file or version directory; none for synthetic weights.
    pub path: Option<PathBuf>,
    /// How it came about, for a person: `from the cache`, `downloaded`.
    pub how: Option<String>,
}

/// What is known of the network from earlier attempts of the same run.
#[derive(Debug, Default)]
pub struct Reachability {
    unreachable: Option<String>,
}

impl Reachability {
    /// Whether an attempt has shown that there is no network.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable.is_some()
    }
}

impl Decision {
    fn synthetic(because: Option<String>) -> Self {
        Self { origin: Origin::Synthetic { because }, path: None, how: None }
    }
}

/// What can be said without the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// The model is to be made from this.
    Decided(Decision),
    /// The published weights are asked for.
    Pretrained,
    /// Whatever the catalogue has; a model that is built already may stay.
    Any,
}

/// What `own` (a SavedModel that was given for this very model, which comes first) and `choice` mean for the model called
/// `model`, as far as the machine itself tells. Reads files: up to half a second for a hundred megabytes.
pub fn local(model: &str, entry: &Entry, choice: &WeightsChoice, own: Option<&Path>) -> Result<Local, WeightsFailure> {
    if let Some(directory) = own {
        return Ok(Local::Decided(saved_model(&place::version_directory(directory)?)?));
    }
    let missing = |wanted| WeightsFailure::NoSource { model: model.to_owned(), wanted };
    Ok(match choice {
        WeightsChoice::Auto => Local::Any,
        WeightsChoice::Pretrained => {
            entry.pretrained().map(|_| Local::Pretrained).ok_or_else(|| missing("pretrained"))?
        }
        WeightsChoice::Synthetic => {
            let known = entry.sources.iter().any(|source| matches!(source, Source::Synthetic(_)));
            known.then(|| Local::Decided(Decision::synthetic(None))).ok_or_else(|| missing("synthetic"))?
        }
        WeightsChoice::File(path) if fitting(path, &[entry.network])?.is_empty() => Local::Any,
        WeightsChoice::File(path) => Local::Decided(weights_file(path, entry)?),
        WeightsChoice::Directory(folder) => Local::Decided(match find(folder, model, entry)? {
            Found::Weights(path) => weights_file(&path, entry)?,
            Found::SavedModel(directory) => saved_model(&directory)?,
        }),
    })
}

/// Fails, with the layer that differs, when a weights file fits none of the networks.
pub fn require_fit(path: &Path, networks: &[Network]) -> Result<(), WeightsFailure> {
    if !fitting(path, networks)?.is_empty() {
        return Ok(());
    }
    let misfits = pretrained::misfits(path, networks)?;
    let why = misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(WeightsFailure::FitsNone { path: path.to_owned(), why })
}

fn fitting(path: &Path, networks: &[Network]) -> Result<Vec<Network>, WeightsFailure> {
    if !path.exists() {
        return Err(WeightsFailure::NotThere { path: path.to_owned() });
    }
    Ok(pretrained::fitting(path, networks)?)
}

/// Decides what the model called `model` is made from, and downloads what is needed for it; see [`local`] for `own` and
/// `choice`. With [`WeightsChoice::Auto`] a source that cannot be had makes room for the next one, and the decision says
/// why.
pub async fn decide(
    model: &str,
    entry: &Entry,
    choice: &WeightsChoice,
    own: Option<&Path>,
    store: &Store,
    network: &mut Reachability,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Decision, WeightsFailure> {
    let found = {
        let (model, entry, choice) = (model.to_owned(), entry.clone(), choice.clone());
        let own = own.map(Path::to_path_buf);
        tokio::task::spawn_blocking(move || local(&model, &entry, &choice, own.as_deref())).await
    };
    let ended = |error| WeightsFailure::Io { path: store.folder().to_owned(), source: std::io::Error::other(error) };
    match (found.map_err(ended)??, entry.pretrained()) {
        (Local::Decided(decision), _) => Ok(decision),
        (Local::Pretrained, Some(remote)) => pretrained(model, remote, store, Patience::ASKED_FOR, progress).await,
        (Local::Pretrained | Local::Any, _) => auto(model, entry, store, network, progress).await,
    }
}

/// The first source that can be had.
async fn auto(
    model: &str,
    entry: &Entry,
    store: &Store,
    network: &mut Reachability,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Decision, WeightsFailure> {
    let mut because = None;
    let mut last = WeightsFailure::NoSource { model: model.to_owned(), wanted: "downloadable or synthetic" };
    for source in &entry.sources {
        match source {
            Source::Synthetic(_) => return Ok(Decision::synthetic(because)),
            Source::Pretrained(remote) => {
                let artefact = Artefact::weights(model, remote);
                if let Some(known) = network.unreachable.as_ref().filter(|_| !store.path(&artefact).is_file()) {
                    because = Some(known.clone());
                    continue;
                }
                match pretrained(model, remote, store, Patience::WELCOME, progress).await {
                    Ok(decision) => return Ok(decision),
                    Err(error) => {
                        let why = match &error {
                            WeightsFailure::Download(error) => in_short(error),
                            other => other.to_string(),
                        };
                        if matches!(&error, WeightsFailure::Download(error) if nobody_was_reached(error)) {
                            network.unreachable = Some(why.clone());
                        }
                        because = Some(why);
                        last = error;
                    }
                }
            }
        }
    }
    Err(last)
}

/// The failure without the whole address of a host that cannot be reached.
fn in_short(error: &DownloadError) -> String {
    match error {
        DownloadError::Unreachable { url, detail } => format!("{} could not be reached: {detail}", host_of(url)),
        DownloadError::EverySource { errors } => errors.iter().map(in_short).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

fn nobody_was_reached(error: &DownloadError) -> bool {
    match error {
        DownloadError::EverySource { errors } => errors.iter().all(nobody_was_reached),
        other => matches!(other, DownloadError::Unreachable { .. }),
    }
}

/// `host` of `https://host/path`.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

async fn pretrained(
    model: &str,
    remote: &Remote,
    store: &Store,
    patience: Patience,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Decision, WeightsFailure> {
    let (path, fetched) = store.obtain(&Artefact::weights(model, remote), patience, progress).await?;
    let how = match fetched {
        crate::download::Fetched::AlreadyThere => "from the cache".to_owned(),
        crate::download::Fetched::Downloaded { resumed_from: 0 } => "downloaded".to_owned(),
        crate::download::Fetched::Downloaded { resumed_from } => {
            format!("downloaded, {:.1} MB of it earlier", resumed_from as f64 / 1e6)
        }
    };
    let origin = Origin::Pretrained { url: remote.url.clone(), md5: remote.md5.clone() };
    Ok(Decision { origin, path: Some(path), how: Some(how) })
}

/// A weights file that is there; the published one is recognised by its digest.
fn weights_file(path: &Path, entry: &Entry) -> Result<Decision, WeightsFailure> {
    let io = |source| WeightsFailure::Io { path: path.to_owned(), source };
    let md5 = Checksum::Md5([0; 16]).of_file(path).map_err(io)?.hex();
    let origin = match entry.pretrained() {
        Some(remote) if remote.md5.eq_ignore_ascii_case(&md5) => Origin::Pretrained { url: remote.url.clone(), md5 },
        _ => Origin::File { path: path.to_owned(), md5 },
    };
    Ok(Decision { origin, path: Some(path.to_owned()), how: Some(format!("from {}", path.display())) })
}

fn saved_model(directory: &Path) -> Result<Decision, WeightsFailure> {
    let sha256 = place::digest(directory)?;
    let origin = Origin::SavedModel { path: directory.to_owned(), sha256 };
    Ok(Decision { origin, path: Some(directory.to_owned()), how: None })
}
