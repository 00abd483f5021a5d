//! The starter's side: is a daemon there, and starting one in the background.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::detach::open_log;
use super::paths::ClusterPaths;
use super::record::{DaemonRecord, PROTOCOL};
use crate::embedded::admin::{AdminError, Client};

/// How long a daemon may take to become ready. It takes a fraction of a second; a slow disk may take longer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Whether a home's daemon runs.
#[derive(Debug)]
#[must_use]
pub enum DaemonStanding {
    /// It runs and answers.
    Running(DaemonRecord),
    /// One of another version runs; it has to be stopped before this program can work with it.
    OtherVersion(DaemonRecord),
    /// It runs but does not answer.
    Silent {
        /// What it wrote down of itself.
        record: DaemonRecord,
        /// What happened when it was asked.
        error: AdminError,
    },
    /// None runs. A record is left when the last one did not end by itself.
    Down {
        /// What the last one wrote down of itself.
        left: Option<DaemonRecord>,
    },
}

/// Looks whether the daemon of a home runs and answers.
pub async fn probe(paths: &ClusterPaths) -> DaemonStanding {
    let Some(record) = DaemonRecord::read(&paths.record()) else { return DaemonStanding::Down { left: None } };
    if !record.process.is_alive() {
        return DaemonStanding::Down { left: Some(record) };
    }
    if record.protocol != PROTOCOL || record.version != env!("CARGO_PKG_VERSION") {
        return DaemonStanding::OtherVersion(record);
    }
    match Client::new(&record.admin_socket).version().await {
        Ok(_) => DaemonStanding::Running(record),
        Err(error) => DaemonStanding::Silent { record, error },
    }
}

/// Why a daemon did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program could not be started at all.
    #[error("cannot start `{}` in the background: {source}", program.display())]
    Spawn {
        /// The program file.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The daemon said why it cannot run.
    #[error("{0}")]
    Refused(String),
    /// The daemon ended without a word.
    #[error("the daemon ended before it was ready; its log is {}", log.display())]
    Ended {
        /// Its log.
        log: PathBuf,
    },
    /// The daemon took too long.
    #[error("the daemon was not ready within {} s; its log is {}", READY_WITHIN.as_secs(), log.display())]
    Slow {
        /// Its log.
        log: PathBuf,
    },
}

/// What a daemon tells its starter, in one line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Readiness {
    /// It is ready.
    Ready(DaemonRecord),
    /// It cannot run.
    Failed(String),
}

/// Starts the daemon of a home in the background and waits until it is ready. `program` is this binary.
pub async fn launch(paths: &ClusterPaths, program: &Path) -> Result<DaemonRecord, LaunchError> {
    let log = paths.daemon_log();
    let spawn = |source| LaunchError::Spawn { program: program.to_owned(), source };
    let errors = open_log(&log).map_err(spawn)?;
    let mut daemon = Command::new(program)
        .arg("daemon")
        .arg("--home")
        .arg(paths.home())
        // Two arenas are enough for two threads; by default each thread may keep memory of its own.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(spawn)?;
    let Some(output) = daemon.stdout.take() else { return Err(LaunchError::Ended { log }) };
    let mut line = String::new();
    let reading = tokio::time::timeout(READY_WITHIN, BufReader::new(output).read_line(&mut line)).await;
    if reading.is_err() {
        // Nobody will wait for it any more, so it must not become ready later.
        let _ = daemon.kill().await;
        return Err(LaunchError::Slow { log });
    }
    match serde_json::from_str(line.trim_end()) {
        Ok(Readiness::Ready(record)) => Ok(record),
        Ok(Readiness::Failed(reason)) => Err(LaunchError::Refused(reason)),
        Err(_) => Err(LaunchError::Ended { log }),
    }
}
