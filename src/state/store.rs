//! Reading and writing the state file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::home::Home;
use super::record::State;

/// What makes a file ours.
const FORMAT: &str = "canary-lab state";
/// The version that this program writes. Version 1 is the only one so far.
const VERSION: u64 = 1;

/// The state file of a home.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

/// What a home's state file held.
#[derive(Debug)]
#[must_use]
pub enum Loaded {
    /// There is none.
    Absent,
    /// A complete one of ours.
    Present(State),
    /// Something else, which must not be overwritten.
    Unusable(AsideReason),
}

/// Why a state file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AsideReason {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// It ends in the middle, or is no JSON at all.
    #[error("it is not complete JSON ({0})")]
    Torn(String),
    /// JSON of something else.
    #[error("it is not a state file of canary-lab")]
    Foreign,
    /// Ours, but with contents that we never write.
    #[error("its contents are damaged ({0})")]
    Damaged(String),
}

/// Where an unusable file was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Why it could not be used.
    pub reason: AsideReason,
    /// Its new name.
    pub kept: PathBuf,
}

/// Why the state cannot be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// A newer program wrote it.
    #[error("{path} has version {found}; this canary-lab knows up to {VERSION}", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written or moved.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Envelope<'a> {
    format: &'static str,
    version: u64,
    written_by: &'static str,
    state: &'a State,
}

impl StateFile {
    /// The state file of `home`.
    pub fn of(home: &Home) -> Self {
        Self { path: home.state_file() }
    }

    /// Reads the file and changes nothing.
    pub fn load(&self) -> Result<Loaded, StateError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Loaded::Absent);
            }
            Err(source) => return Err(StateError::Read { path: self.path.clone(), source }),
        };
        if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return Ok(Loaded::Unusable(AsideReason::Empty));
        }
        let mut value: Value = match serde_json::from_slice(&bytes) {
            Ok(value) => value,
            Err(error) => return Ok(Loaded::Unusable(AsideReason::Torn(error.to_string()))),
        };
        if value["format"] != FORMAT {
            return Ok(Loaded::Unusable(AsideReason::Foreign));
        }
        match value["version"].as_u64() {
            Some(VERSION) => {}
            Some(found) if found > VERSION => return Err(StateError::Newer { path: self.path.clone(), found }),
            _ => return Ok(Loaded::Unusable(AsideReason::Damaged("no version".to_owned()))),
        }
        Ok(match serde_json::from_value(value["state"].take()) {
            Ok(state) => Loaded::Present(state),
            Err(error) => Loaded::Unusable(AsideReason::Damaged(error.to_string())),
        })
    }

    /// Renames an unusable file so that nothing overwrites it; earlier ones that were kept aside stay.
    pub fn set_aside(&self, reason: AsideReason, now: Timestamp) -> Result<Aside, StateError> {
        let stamp = now.strftime("%Y%m%dT%H%M%SZ");
        let mut kept = self.path.with_extension(format!("json.aside-{stamp}"));
        let mut number = 2;
        while kept.exists() {
            kept = self.path.with_extension(format!("json.aside-{stamp}-{number}"));
            number += 1;
        }
        std::fs::rename(&self.path, &kept).map_err(|source| StateError::Write { path: kept.clone(), source })?;
        Ok(Aside { reason, kept })
    }

    /// Writes the state beside the old file, makes it durable, and puts it in the old one's place.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        let envelope = Envelope {
            format: FORMAT,
            version: VERSION,
            written_by: concat!("canary-lab ", env!("CARGO_PKG_VERSION")),
            state,
        };
        let failed = |source| StateError::Write { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&envelope).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        write_atomically(&self.path, &text).map_err(failed)
    }
}

/// Replaces a file by `bytes` so that a reader, or a power cut, finds either the old contents or the new.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> (tempfile::TempDir, StateFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::of(&Home::at(directory.path()));
        std::fs::write(&file.path, text).unwrap();
        (directory, file)
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (_directory, file) = file_with("old");
        let mut state = State::new("tensorflow-canary");
        state.provider = Some("embedded".into());
        file.save(&state).unwrap();
        let Loaded::Present(loaded) = file.load().unwrap() else { panic!("not present") };
        assert_eq!(loaded, state);
    }

    #[test]
    fn damaged_files_are_told_apart() {
        let complete = r#"{"format":"canary-lab state","version":1,"state":{"lab":"x"}}"#;
        let (_directory, file) = file_with(complete);
        assert!(matches!(file.load().unwrap(), Loaded::Present(_)));
        for cut in 1..complete.len() - 1 {
            let (_directory, file) = file_with(&complete[..cut]);
            assert!(matches!(file.load().unwrap(), Loaded::Unusable(AsideReason::Torn(_))), "cut at {cut}");
        }
        for (text, reason) in [
            ("", AsideReason::Empty),
            ("\0\0\0\0", AsideReason::Empty),
            (r#"{"apiVersion":"v1"}"#, AsideReason::Foreign),
            ("[]", AsideReason::Foreign),
            (r#"{"format":"canary-lab state"}"#, AsideReason::Damaged("no version".into())),
        ] {
            let (_directory, file) = file_with(text);
            let Loaded::Unusable(found) = file.load().unwrap() else { panic!("{text}") };
            assert_eq!(found, reason, "{text}");
        }
        let (_directory, file) = file_with(r#"{"format":"canary-lab state","version":1,"state":{"lab":7}}"#);
        assert!(matches!(file.load().unwrap(), Loaded::Unusable(AsideReason::Damaged(_))));
    }

    #[test]
    fn a_newer_file_is_refused_and_left() {
        let text = r#"{"format":"canary-lab state","version":2,"anything":true}"#;
        let (_directory, file) = file_with(text);
        assert!(matches!(file.load(), Err(StateError::Newer { found: 2, .. })));
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), text);
    }

    #[test]
    fn files_kept_aside_do_not_replace_each_other() {
        let (directory, file) = file_with("one");
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let first = file.set_aside(AsideReason::Foreign, now).unwrap();
        std::fs::write(&file.path, "two").unwrap();
        let second = file.set_aside(AsideReason::Foreign, now).unwrap();
        assert_eq!(first.kept, directory.path().join("state.json.aside-20260102T030405Z"));
        assert_eq!(std::fs::read_to_string(first.kept).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(second.kept).unwrap(), "two");
        assert!(!file.path.exists());
    }
}
