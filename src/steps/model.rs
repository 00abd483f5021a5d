//! A model is built, whole, and lies where pods can mount it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::asking::hex;
use super::{Change, Probe, Seen, World};
use crate::doctor::{Failure, Reason};
use crate::lab::ModelStep;
use crate::models::catalogue::{Catalogue, Entry};
use crate::models::network::Network;
use crate::models::synthetic::{self, BuiltModel};
use crate::state::{Home, HomeError, write_atomically};
use crate::ui::{Progress, thousands};

/// What was built, as it is kept beside the caches: the files must still be these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    network: String,
    parameters: u64,
    files: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Record {
    /// One digest for all files.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for file in &self.files {
            digest.update(format!("{} {}\n", file.sha256, file.name));
        }
        hex(&digest.finalize())
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The directory of the model's only version, 1 as in the tutorial.
pub(super) fn version_directory(home: &Home, name: &str) -> PathBuf {
    home.models().join(name).join(synthetic::VERSION)
}

/// What was built under this name.
pub(super) fn record_of(home: &Home, name: &str) -> Result<Record, Failure> {
    let read =
        std::fs::read(record_file(home, name)).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    read.filter(|record| record.version == 1).ok_or_else(|| {
        Failure::new(Reason::ModelNotBuilt, format!("model {name} is not built"))
            .because("the models stage has not run in this home")
    })
}

fn record_file(home: &Home, name: &str) -> PathBuf {
    home.cache().join("models").join(format!("{name}.json"))
}

pub(super) async fn probe(spec: &ModelStep, world: &World<'_>) -> Result<Probe, Failure> {
    let network = network_of(spec, world)?;
    let (home, name) = (world.home.clone(), spec.name.clone());
    let looked = tokio::task::spawn_blocking(move || look(&home, &name, network)).await;
    let found = looked
        .map_err(|error| Failure::new(Reason::Internal, "the look at a model ended").observed(error.to_string()))?;
    Ok(match found {
        Ok(record) => {
            let text = describe(&spec.name, &record);
            Probe::Satisfied(Seen::new(text, json!({"model": spec.name, "source": "synthetic", "record": record})))
        }
        Err(failure) => Probe::Needed(failure),
    })
}

fn describe(name: &str, record: &Record) -> String {
    format!(
        "{name} {} parameters, synthetic weights, {:.1} MB",
        thousands(record.parameters),
        record.bytes() as f64 / 1e6
    )
}

/// Compares every file with what was written.
fn look(home: &Home, name: &str, network: Network) -> Result<Record, Failure> {
    let record = record_of(home, name)?;
    if record.network != network.id() {
        return Err(Failure::new(Reason::ModelNotBuilt, format!("model {name} was built from {}", record.network)));
    }
    let directory = version_directory(home, name);
    let checked: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let handles: Vec<_> = record.files.iter().map(|file| scope.spawn(|| check(&directory, file))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err(Failure::new(Reason::Internal, "a check ended"))))
            .collect()
    });
    checked.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    Ok(record)
}

fn check(directory: &Path, record: &FileRecord) -> Result<(), Failure> {
    let path = directory.join(&record.name);
    let damaged =
        |what: String| Failure::new(Reason::ModelDamaged, format!("{} is damaged", path.display())).observed(what);
    let mut file = File::open(&path).map_err(|error| damaged(error.to_string()))?;
    let length = file.metadata().map_err(|error| damaged(error.to_string()))?.len();
    if length != record.bytes {
        return Err(damaged(format!("{} bytes, and {} were written", thousands(length), thousands(record.bytes))));
    }
    let found = digest_of(&mut file).map_err(|error| damaged(error.to_string()))?;
    if found == record.sha256 {
        Ok(())
    } else {
        Err(damaged(format!("SHA-256 {found}, and {} was written", record.sha256)))
    }
}

fn digest_of(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

pub(super) async fn apply(spec: &ModelStep, world: &World<'_>) -> Result<Change, Failure> {
    let network = network_of(spec, world)?;
    let directory = world.home.models().join(&spec.name);
    let progress = world.progress.clone();
    let built = {
        let (name, directory) = (spec.name.clone(), directory.clone());
        tokio::task::spawn_blocking(move || build(&name, network, &directory, &progress)).await
    };
    let built = built
        .map_err(|error| Failure::new(Reason::Internal, "the build of a model ended").observed(error.to_string()))??;
    let file = record_file(world.home, &spec.name);
    keep(&file, network, &built).map_err(|source| Failure::from(HomeError::NotWritable { path: file, source }))?;
    world.forget_answers().await;
    Ok(Change::default())
}

fn build(name: &str, network: Network, directory: &Path, progress: &Progress) -> Result<BuiltModel, Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::from(HomeError::NotWritable { path: path.to_path_buf(), source: error })
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let awaited = format!("building model {name}");
    let mut tell = |done: synthetic::Progress| {
        progress
            .awaiting(awaited.clone(), Some(format!("{} of {} MB", done.written / 1_000_000, done.total / 1_000_000)));
    };
    synthetic::build(network, directory, &expected_files(network)?, &mut tell).map_err(|error| {
        Failure::new(Reason::ModelNotBuilt, format!("model {name} was not built")).observed(error.to_string())
    })
}

fn keep(file: &Path, network: Network, built: &BuiltModel) -> io::Result<()> {
    let files = built.files.iter().map(|file| FileRecord {
        name: file.name.clone(),
        bytes: file.bytes,
        sha256: hex(&file.sha256),
    });
    let record = Record {
        version: 1,
        network: network.id().to_owned(),
        parameters: built.parameters as u64,
        files: files.collect(),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_atomically(file, &serde_json::to_vec_pretty(&record)?)
}

fn network_of(spec: &ModelStep, world: &World<'_>) -> Result<Network, Failure> {
    let model = world.lab.spec.models.get(&spec.name);
    let model = model.ok_or_else(|| Failure::new(Reason::Internal, format!("no model {}", spec.name)))?;
    Network::ALL.into_iter().find(|network| network.id() == model.network).ok_or_else(|| {
        let known: Vec<&str> = Network::ALL.iter().map(|network| network.id()).collect();
        Failure::new(Reason::LabInvalid, format!("model {}: no network `{}`", spec.name, model.network))
            .observed(format!("known networks: {}", known.join(", ")))
    })
}

/// The digests that must come out on every machine.
fn expected_files(network: Network) -> Result<Vec<(String, String)>, Failure> {
    let catalogue = Catalogue::embedded().map_err(|error| {
        Failure::new(Reason::Internal, "the model catalogue is not valid").observed(error.to_string())
    })?;
    Ok(catalogue.entry(network).map(Entry::synthetic_files).unwrap_or_default())
}
