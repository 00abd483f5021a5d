//! What was built, as it is kept beside the caches: the files must still be these.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::asking::hex;
use crate::doctor::{Failure, Reason};
use crate::download::Checksum;
use crate::models::built::{BuiltModel, VERSION};
use crate::models::catalogue::Entry;
use crate::models::weights::Origin;
use crate::state::{Home, write_atomically};
use crate::ui::thousands;

/// The version of the record that is written. Version 1 knew synthetic weights only and is read as such.
const RECORD: u32 = 2;

/// A model that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::steps) struct Record {
    version: u32,
    /// The name of the catalogue's entry.
    network: String,
    /// What it was made from.
    #[serde(default = "synthetic")]
    pub(in crate::steps) origin: Origin,
    pub(super) parameters: u64,
    files: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    name: String,
    bytes: u64,
    sha256: String,
}

fn synthetic() -> Origin {
    Origin::Synthetic { because: None }
}

impl Record {
    /// The record of a model that has just been built.
    pub(super) fn of(entry: &Entry, origin: Origin, built: &BuiltModel) -> Self {
        let files = built.files.iter().map(|file| FileRecord {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: file.sha256_hex(),
        });
        Self {
            version: RECORD,
            network: entry.name.clone(),
            origin,
            parameters: built.parameters,
            files: files.collect(),
        }
    }

    /// What was built under this name.
    pub(in crate::steps) fn read(home: &Home, name: &str) -> Result<Self, Failure> {
        let read = std::fs::read(file(home, name)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        read.filter(|record| (1..=RECORD).contains(&record.version)).ok_or_else(|| {
            Failure::new(Reason::ModelNotBuilt, format!("model {name} is not built"))
                .because("the models stage has not run in this home")
        })
    }

    /// Keeps it; returns the file that could not be written with the error.
    pub(super) fn keep(&self, home: &Home, name: &str) -> Result<(), (PathBuf, io::Error)> {
        let file = file(home, name);
        let written = || {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            write_atomically(&file, &serde_json::to_vec_pretty(self)?)
        };
        written().map_err(|error| (file.clone(), error))
    }

    /// One digest for all files.
    pub(in crate::steps) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for file in &self.files {
            digest.update(format!("{} {}\n", file.sha256, file.name));
        }
        hex(&digest.finalize())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Compares every file with what was written, and the record with the catalogue.
    pub(super) fn check(&self, home: &Home, name: &str, entry: &Entry) -> Result<(), Failure> {
        let other = |what: String| Err(Failure::new(Reason::ModelNotBuilt, format!("model {name} was built {what}")));
        if self.network != entry.name {
            return other(format!("from {}", self.network));
        }
        if let Origin::Synthetic { .. } = self.origin {
            let written = |(file, digest): &(String, String)| {
                self.files.iter().any(|found| found.name == *file && found.sha256 == *digest)
            };
            if !entry.synthetic_files().iter().all(written) {
                return other("with other synthetic weights than the catalogue's".to_owned());
            }
        }
        let directory = version_directory(home, name);
        let checked: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
            let handles: Vec<_> = self.files.iter().map(|file| scope.spawn(|| file.check(&directory))).collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap_or_else(|_| Err(Failure::new(Reason::Internal, "a check ended"))))
                .collect()
        });
        checked.into_iter().collect()
    }
}

impl FileRecord {
    fn check(&self, directory: &Path) -> Result<(), Failure> {
        let path = directory.join(&self.name);
        let damaged =
            |what: String| Failure::new(Reason::ModelDamaged, format!("{} is damaged", path.display())).observed(what);
        let length = path.metadata().map_err(|error| damaged(error.to_string()))?.len();
        if length != self.bytes {
            return Err(damaged(format!("{} bytes, and {} were written", thousands(length), thousands(self.bytes))));
        }
        let found = Checksum::Sha256([0; 32]).of_file(&path).map_err(|error| damaged(error.to_string()))?.hex();
        if found == self.sha256 {
            Ok(())
        } else {
            Err(damaged(format!("SHA-256 {found}, and {} was written", self.sha256)))
        }
    }
}

/// The directory of the model's only version, 1 as in the tutorial.
pub(in crate::steps) fn version_directory(home: &Home, name: &str) -> PathBuf {
    home.models().join(name).join(VERSION)
}

fn file(home: &Home, name: &str) -> PathBuf {
    home.cache().join("models").join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_an_origin_is_of_synthetic_weights() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let old = r#"{"version": 1, "network": "tiny-a", "parameters": 3, "files": []}"#;
        std::fs::create_dir_all(home.cache().join("models")).unwrap();
        std::fs::write(file(&home, "m"), old).unwrap();
        let record = Record::read(&home, "m").unwrap();
        assert_eq!((record.origin.word(), record.parameters), ("synthetic", 3));
        std::fs::write(file(&home, "m"), old.replace("\"version\": 1", "\"version\": 3")).unwrap();
        assert!(Record::read(&home, "m").is_err(), "a later version is not guessed at");
    }
}
