//! `prefetch`: everything that a class without network needs, downloaded beforehand.

use std::io::Write as _;

use serde_json::json;

use super::Output;
use super::context::Context;
use super::model_options::DownloadOptions;
use super::session::runtime;
use crate::doctor::Failure;
use crate::download::{Fetched, Patience, Progress};
use crate::lab::Lab;
use crate::models::weights::{Artefact, Store};
use crate::ui::{Mark, plural};

/// Downloads everything that the lab can use and does not carry, so that `up` needs no network afterwards
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary-lab prefetch                       into this lab's home
  canary-lab prefetch --cache /media/stick  into a folder to take along; there: canary-lab up --cache /media/stick
  canary-lab prefetch --mirror http://teacher.local:8000

Files are checked against the published size and digest; what is there already is not downloaded again, and a
transfer that broke goes on where it stopped. http_proxy, https_proxy and no_proxy are honoured.")]
pub(super) struct Args {
    #[command(flatten)]
    downloads: DownloadOptions,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let (home, lab) = (context.home()?, context.lab()?);
    let choices = args.downloads.choices(context);
    if choices.cache.is_none() {
        home.prepare()?;
    }
    let store = choices.store(&home);
    let runtime = runtime()?;
    let (mut report, mut failures) = (Vec::new(), Vec::new());
    for artefact in wanted(&lab) {
        let done = runtime.block_on(fetch(&artefact, &store, context));
        let path = store.path(&artefact);
        let (state, words) = match &done {
            Ok(Fetched::AlreadyThere) => ("already-there", "was there, whole".to_owned()),
            Ok(Fetched::Downloaded { resumed_from: 0 }) => ("downloaded", "downloaded".to_owned()),
            Ok(Fetched::Downloaded { resumed_from }) => {
                ("downloaded", format!("downloaded, {:.1} MB of it earlier", *resumed_from as f64 / 1e6))
            }
            Err(failure) => ("failed", failure.observed.first().unwrap_or(&failure.headline).clone()),
        };
        report.push(json!({
            "file": path, "purpose": artefact.purpose, "url": artefact.url, "bytes": artefact.bytes, "state": state,
            "failure": done.as_ref().err().map(|failure| failure.reason),
        }));
        if context.output == Output::Human {
            let mark = if done.is_ok() { Mark::Fine } else { Mark::Failed };
            let mark = context.paint_out().mark(mark);
            let size = artefact.bytes as f64 / 1e6;
            context.say(&format!("{mark} {} ({}, {size:.1} MB): {words}", artefact.file, artefact.purpose))?;
        }
        failures.extend(done.err());
    }
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    if context.output == Output::Json {
        context.say_json(&json!({"folder": store.folder(), "files": report}))?;
    }
    let count = failures.len() as u64;
    match failures.into_iter().next() {
        Some(failure) if count > 1 => Err(failure.observed(format!("{} are missing", plural(count, "file")))),
        Some(failure) => Err(failure),
        None if context.output == Output::Json => Ok(()),
        None => context.remark(&format!("everything is in {}", store.folder().display())),
    }
}

/// What the lab can use and does not carry, each file once.
fn wanted(lab: &Lab) -> Vec<Artefact> {
    Artefact::of_catalogue(&lab.catalogue)
}

async fn fetch(artefact: &Artefact, store: &Store, context: &mut Context) -> Result<Fetched, Failure> {
    let live = context.output == Output::Human && context.io.terminal.stderr;
    let stderr = &mut context.io.stderr;
    let mut shown = None;
    let mut tell = |done: Progress| {
        let megabytes = done.received / 1_000_000;
        if live && shown != Some(megabytes) {
            shown = Some(megabytes);
            // A terminal that has gone needs no progress.
            let _ = write!(stderr, "\r\x1b[K  {} · {megabytes} of {} MB", artefact.file, artefact.bytes / 1_000_000);
            let _ = stderr.flush();
        }
    };
    let done = store.obtain(artefact, Patience::ASKED_FOR, &mut tell).await;
    if shown.is_some() {
        let _ = write!(context.io.stderr, "\r\x1b[K");
    }
    Ok(done?.1)
}
