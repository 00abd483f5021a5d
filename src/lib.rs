//! canary-lab takes a person, or a CI job, through deploying a TensorFlow model as a canary release with
//! Kubernetes and Istio, on a cluster that it prepares itself, and proves every outcome.
//!
//! The house has five floors; a room uses only those on its own floor or below:
//!
//! | floor | rooms |
//! |---|---|
//! | entry | [`cli`] |
//! | lab | [`lab`], [`mod@run`], [`steps`], [`state`], [`walk`], [`report`] |
//! | world | [`cluster`], [`istio`], [`doctor`], [`hints`], [`models`], [`traffic`] |
//! | box | [`embedded`], [`gateway`], [`serving`] |
//! | ground | [`objects`], [`routing`], [`savedmodel`], [`inference`], [`stats`], [`ui`], [`yaml`], [`process`], [`tools`], [`download`], [`cause`] |
//!
//! Only the embedded provider in [`cluster`] and the daemon's entry know the box; the box knows nothing of labs.

pub mod cause;
pub mod cli;
pub mod cluster;
pub mod doctor;
pub mod download;
pub mod embedded;
pub mod gateway;
pub mod hints;
pub mod inference;
pub mod istio;
pub mod lab;
pub mod models;
pub mod objects;
pub mod process;
pub mod report;
pub mod routing;
pub mod run;
pub mod savedmodel;
pub mod serving;
pub mod state;
pub mod stats;
pub mod steps;
pub mod tools;
pub mod traffic;
pub mod ui;
pub mod walk;
pub mod yaml;

#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command of the lab and tells how it ended, by the codes that `docs/exit-codes.md` lists.
///
/// `args` starts with the program's own name. Everything that the process owns comes in through `io`, so that this
/// can be called several times in one process.
pub fn run(args: impl IntoIterator<Item = OsString>, io: ui::Io) -> ExitCode {
    ExitCode::from(cli::run(args, io))
}
