//! `prefetch`: everything that a class without network needs, downloaded beforehand.

use std::path::Path;

use serde_json::json;

use super::Output;
use super::choice::traits;
use super::context::Context;
use super::model_options::DownloadOptions;
use super::session::runtime;
use crate::cluster::{ClusterChoice, ClusterError, MeshError};
use crate::doctor::Failure;
use crate::download::{Downloader, Fetched, Patience, Progress};
use crate::istio::{self, Release, ReleaseError};
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
  canary-lab prefetch --cluster minikube    Istio's archive as well, for a class that uses minikube

Files are checked against the published size and digest; what is there already is not downloaded again, and a
transfer that broke goes on where it stopped. http_proxy, https_proxy and no_proxy are honoured.")]
pub(super) struct Args {
    #[command(flatten)]
    downloads: DownloadOptions,

    /// The cluster that is going to be used: minikube or context:NAME want Istio's archive as well
    #[arg(long, value_name = "CLUSTER", default_value = "auto")]
    cluster: ClusterChoice,

    /// A mirror of Istio's releases, or the archive's own URL
    #[arg(long, value_name = "URL")]
    istio_url: Option<String>,
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
        let (state, words) = told(done.as_ref());
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
    if matches!(args.cluster, ClusterChoice::Minikube | ClusterChoice::Context(_)) {
        let cache = choices.cache.clone().unwrap_or_else(|| home.cache());
        let release = Release::new(&traits(&lab).istio, args.istio_url.as_deref()).map_err(of_mesh)?;
        let done = runtime.block_on(fetch_istio(&release, &cache, context));
        let (file, path) = (release.archive_name(), release.archive(&cache));
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        let (state, words) = told(done.as_ref());
        report.push(json!({
            "file": path, "purpose": format!("Istio {}", release.version), "url": release.url(), "bytes": bytes,
            "state": state, "failure": done.as_ref().err().map(|failure| failure.reason),
        }));
        if context.output == Output::Human {
            let mark = context.paint_out().mark(if done.is_ok() { Mark::Fine } else { Mark::Failed });
            let size = if bytes > 0 { format!(", {:.1} MB", bytes as f64 / 1e6) } else { String::new() };
            context.say(&format!("{mark} {file} (Istio {}{size}): {words}", release.version))?;
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

/// What became of a file, for a script and for a person.
fn told(done: Result<&Fetched, &Failure>) -> (&'static str, String) {
    match done {
        Ok(Fetched::AlreadyThere) => ("already-there", "was there, whole".to_owned()),
        Ok(Fetched::Downloaded { resumed_from: 0 }) => ("downloaded", "downloaded".to_owned()),
        Ok(Fetched::Downloaded { resumed_from }) => {
            ("downloaded", format!("downloaded, {:.1} MB of it earlier", *resumed_from as f64 / 1e6))
        }
        Err(failure) => ("failed", failure.observed.first().unwrap_or(&failure.headline).clone()),
    }
}

fn of_mesh(error: ReleaseError) -> Failure {
    Failure::from(ClusterError::Mesh(Box::new(MeshError::Release(error))))
}

async fn fetch_istio(release: &Release, cache: &Path, context: &mut Context) -> Result<Fetched, Failure> {
    let downloader = Downloader::new(Patience::ASKED_FOR).map_err(|error| ClusterError::NotKept(error.to_string()))?;
    let file = release.archive_name();
    let mut live = Live::new(context);
    let mut tell = |done: Progress| live.tell(&file, done.received, done.total);
    let done = istio::download(release, cache, &downloader, &mut tell).await;
    live.end();
    Ok(done.map_err(of_mesh)?.1)
}

/// What the lab can use and does not carry, each file once.
fn wanted(lab: &Lab) -> Vec<Artefact> {
    Artefact::of_catalogue(&lab.catalogue)
}

async fn fetch(artefact: &Artefact, store: &Store, context: &mut Context) -> Result<Fetched, Failure> {
    let mut live = Live::new(context);
    let mut tell = |done: Progress| live.tell(&artefact.file, done.received, Some(artefact.bytes));
    let done = store.obtain(artefact, Patience::ASKED_FOR, &mut tell).await;
    live.end();
    Ok(done?.1)
}

/// The line that tells how far a transfer is, on a terminal.
struct Live<'a> {
    stderr: Option<&'a mut (dyn std::io::Write + Send)>,
    shown: Option<u64>,
}

impl<'a> Live<'a> {
    fn new(context: &'a mut Context) -> Self {
        let live = context.output == Output::Human && context.io.terminal.stderr;
        Self { stderr: live.then_some(&mut *context.io.stderr), shown: None }
    }

    fn tell(&mut self, file: &str, received: u64, total: Option<u64>) {
        let megabytes = received / 1_000_000;
        if let Some(stderr) = &mut self.stderr
            && self.shown != Some(megabytes)
        {
            self.shown = Some(megabytes);
            let of = total.map(|total| format!(" of {}", total / 1_000_000)).unwrap_or_default();
            // A terminal that has gone needs no progress.
            let _ = write!(stderr, "\r\x1b[K  {file} · {megabytes}{of} MB");
            let _ = stderr.flush();
        }
    }

    fn end(self) {
        if let (Some(stderr), Some(_)) = (self.stderr, self.shown) {
            let _ = write!(stderr, "\r\x1b[K");
        }
    }
}
