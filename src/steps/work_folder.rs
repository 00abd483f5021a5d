//! The work folder: the tutorial's files under their own names, ready to be typed with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::asking::hex;
use super::{Change, Probe, Seen, World, picture};
use crate::doctor::{Failure, Reason};
use crate::lab::Lab;
use crate::models;
use crate::state::{Home, HomeError, write_atomically};

/// The request body's name in the tutorial.
const REQUEST_BODY: &str = "request-body.json";

pub(super) fn probe(world: &World<'_>) -> Result<Probe, Failure> {
    let folder = world.home.work();
    let mut different = Vec::new();
    let wanted = files(world.lab, world.home, &world.provider.models_on_node())?;
    for (name, text) in &wanted {
        match std::fs::read(folder.join(name)) {
            Ok(found) if found == *text => {}
            Ok(_) => different.push(format!("{name} differs from the lab's")),
            Err(_) => different.push(format!("{name} is missing")),
        }
    }
    if different.is_empty() {
        let digests = wanted.iter().map(|(name, text)| (name, hex(&Sha256::digest(text))));
        let facts = json!({"folder": folder, "files": digests.collect::<BTreeMap<_, _>>()});
        return Ok(Probe::Satisfied(Seen::quiet(facts)));
    }
    let mut failure = Failure::new(Reason::WorkFileChanged, "the work folder is not complete");
    failure.observed = different;
    Ok(Probe::Needed(failure))
}

/// Writes what is missing. A file that somebody has changed is moved aside first, under a name that says so.
pub(super) fn apply(world: &World<'_>) -> Result<Change, Failure> {
    let folder = world.home.work();
    let failed = |path: PathBuf| move |source| Failure::from(HomeError::NotWritable { path, source });
    std::fs::create_dir_all(&folder).map_err(failed(folder.clone()))?;
    let mut kept_files = Vec::new();
    for (name, text) in files(world.lab, world.home, &world.provider.models_on_node())? {
        let path = folder.join(&name);
        match std::fs::read(&path) {
            Ok(found) if found == text => continue,
            Ok(_) => {
                let kept = free_name(&path);
                std::fs::rename(&path, &kept).map_err(failed(path.clone()))?;
                kept_files.push((path.display().to_string(), kept.display().to_string()));
            }
            Err(_) => {}
        }
        write_atomically(&path, &text).map_err(failed(path.clone()))?;
    }
    Ok(Change { kept_files, ..Change::default() })
}

/// The lab's files in the work folder that still are as the lab wrote them: by the state's record, or, where that was
/// lost, by what the lab would write now.
pub fn unchanged(home: &Home, recorded: &BTreeMap<String, String>, lab: &Lab, models_directory: &Path) -> Vec<PathBuf> {
    let computed: BTreeMap<String, String>;
    let written = if recorded.is_empty() && home.work().is_dir() {
        // A picture that cannot be read any more leaves the request body without a likeness: it stays, and is named.
        let files = files(lab, home, models_directory).unwrap_or_default().into_iter();
        computed = files.map(|(name, text)| (name, hex(&Sha256::digest(&text)))).collect();
        &computed
    } else {
        recorded
    };
    let paths = written.iter().map(|(name, digest)| (home.work().join(name), digest));
    let same =
        paths.filter(|(path, digest)| std::fs::read(path).is_ok_and(|text| hex(&Sha256::digest(text)) == **digest));
    same.map(|(path, _)| path).collect()
}

/// `service.yaml.yours`, or with a number when there is one already.
fn free_name(path: &Path) -> PathBuf {
    let base = path.display().to_string();
    let mut candidate = PathBuf::from(format!("{base}.yours"));
    let mut number = 2;
    while candidate.exists() {
        candidate = PathBuf::from(format!("{base}.yours-{number}"));
        number += 1;
    }
    candidate
}

/// The files of the work folder, by name; `models` is the models' directory as the node sees it.
fn files(lab: &Lab, home: &Home, models_directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let models_directory = models_directory.display().to_string();
    let manifests =
        lab.manifests.values().map(|manifest| (manifest.file.clone(), manifest.text(&models_directory).into_bytes()));
    let mut files: BTreeMap<String, Vec<u8>> = manifests.collect();
    files.insert(REQUEST_BODY.to_owned(), request_body(lab, home)?);
    Ok(files)
}

/// The body of a prediction of the lab's picture.
pub(super) fn request_body(lab: &Lab, home: &Home) -> Result<Vec<u8>, Failure> {
    Ok(models::payload::request_body(&picture::pixels(lab.spec.request.picture, home)?))
}

/// The digest of the request body in the work folder by its name, as the lab's record of its files has it; nothing
/// where no picture was chosen or the file is not the lab's.
pub(super) fn request_body_digest(lab: &Lab, home: &Home) -> Result<BTreeMap<&'static str, String>, Failure> {
    if !home.picture().exists() {
        return Ok(BTreeMap::new());
    }
    let body = request_body(lab, home)?;
    let found = std::fs::read(home.work().join(REQUEST_BODY)).ok().filter(|found| *found == body);
    Ok(found.map(|body| (REQUEST_BODY, hex(&Sha256::digest(&body)))).into_iter().collect())
}

/// Writes the request body anew after another picture was chosen, where the work folder has it as it was `before`.
pub(super) fn renew_request_body(lab: &Lab, home: &Home, before: &[u8]) -> Result<(), Failure> {
    let path = home.work().join(REQUEST_BODY);
    if !std::fs::read(&path).is_ok_and(|found| found == before) {
        return Ok(());
    }
    let body = request_body(lab, home)?;
    write_atomically(&path, &body).map_err(|source| Failure::from(HomeError::NotWritable { path, source }))
}
