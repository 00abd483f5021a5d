//! The transfer itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::{Checksum, DownloadError};
use crate::cause::innermost;

/// One file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// What a person calls it.
    pub name: String,
    /// Where to get it, best first.
    pub urls: Vec<String>,
    /// Its size in bytes, where that is published.
    pub size: Option<u64>,
    /// Its checksum.
    pub checksum: Checksum,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk.
    pub received: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
}

/// What [`Downloader::fetch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fetched {
    /// The verified file was there already.
    AlreadyThere,
    /// It was downloaded; `resumed_from` bytes were there from an earlier attempt.
    Downloaded {
        /// Bytes that did not have to be downloaded again.
        resumed_from: u64,
    },
}

/// How long a download is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands, name look-up and TLS included.
    pub connect: Duration,
    /// Until the next byte comes.
    pub stall: Duration,
    /// Attempts in a row that bring nothing, beyond the first.
    pub retries: u32,
    /// Whether a host that was never reached is tried again.
    pub insists: bool,
    /// Before the first retry; each later pause is twice as long.
    pub pause: Duration,
}

impl Patience {
    /// For a file that was asked for: the network may need a moment.
    pub const ASKED_FOR: Self = Self {
        connect: Duration::from_secs(20),
        stall: Duration::from_secs(30),
        retries: 4,
        insists: true,
        pause: Duration::from_millis(500),
    };
    /// For a file that would be welcome: a machine without network must not be held up.
    pub const WELCOME: Self = Self {
        connect: Duration::from_millis(1500),
        stall: Duration::from_secs(10),
        retries: 2,
        insists: false,
        pause: Duration::from_millis(500),
    };
}

/// Downloads files.
#[derive(Debug, Clone)]
pub struct Downloader {
    pub(super) http: reqwest::Client,
    pub(super) patience: Patience,
}

/// How many bytes of an answer are looked at to recognise a web page.
const EXCERPT: usize = 120;

impl Downloader {
    /// A downloader that waits as long as `patience` says. Uses the environment's proxies.
    pub fn new(patience: Patience) -> Result<Self, reqwest::Error> {
        // An error here means that a provider was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            .user_agent(concat!("canary-lab/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, patience })
    }

    /// Brings the file to `target`. Cancelling keeps what was received in `TARGET.partial`.
    pub async fn fetch(
        &self,
        download: &Download,
        target: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Fetched, DownloadError> {
        let io = |source| DownloadError::Io { path: target.to_owned(), source };
        if target.is_file() && checksum_of(download.checksum, target).await.map_err(io)? == download.checksum {
            return Ok(Fetched::AlreadyThere);
        }
        if let Some(folder) = target.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(io)?;
        }
        let mut errors = Vec::new();
        for url in &download.urls {
            match self.fetch_from(url, download, target, progress).await {
                Ok(fetched) => return Ok(fetched),
                // A full disk stays full whatever the mirror.
                Err(error @ (DownloadError::NoSpace { .. } | DownloadError::Io { .. })) => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        Err(match errors.pop() {
            None => DownloadError::NoSource { name: download.name.clone() },
            Some(only) if errors.is_empty() => only,
            Some(last) => {
                errors.push(last);
                DownloadError::EverySource { errors }
            }
        })
    }

    async fn fetch_from(
        &self,
        url: &str,
        download: &Download,
        target: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Fetched, DownloadError> {
        let partial = partial_path(target);
        let resumed_from = length_of(&partial).await;
        let mut fresh = resumed_from == 0;
        loop {
            self.transfer(url, download, &partial, progress).await?;
            let problem = self.verify(url, download, &partial).await?;
            let Some(problem) = problem else { break };
            // What was kept from an earlier attempt may be to blame: begin again, once.
            remove(&partial).await?;
            if fresh {
                return Err(problem);
            }
            fresh = true;
        }
        let io = |source| DownloadError::Io { path: target.to_owned(), source };
        File::open(&partial).await.map_err(io)?.sync_all().await.map_err(io)?;
        tokio::fs::rename(&partial, target).await.map_err(io)?;
        Ok(Fetched::Downloaded { resumed_from })
    }

    /// What is wrong with the received bytes, if anything is.
    async fn verify(
        &self,
        url: &str,
        download: &Download,
        partial: &Path,
    ) -> Result<Option<DownloadError>, DownloadError> {
        let io = |source| DownloadError::Io { path: partial.to_owned(), source };
        let found = length_of(partial).await;
        if let Some(expected) = download.size.filter(|expected| *expected != found) {
            return Ok(Some(DownloadError::WrongSize { url: url.to_owned(), expected, found }));
        }
        let found = checksum_of(download.checksum, partial).await.map_err(io)?;
        let expected = download.checksum;
        Ok((found != expected).then(|| DownloadError::WrongChecksum { url: url.to_owned(), expected, found }))
    }

    /// Transfers until the server has sent everything; retries with growing pauses while attempts bring nothing new. A
    /// host that was never reached is not tried again when the patience is short: nothing says that it is there.
    async fn transfer(
        &self,
        url: &str,
        download: &Download,
        partial: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DownloadError> {
        let mut idle = 0;
        loop {
            let before = length_of(partial).await;
            let error = match self.attempt(url, download, partial, progress).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let again = matches!(
                error,
                DownloadError::Unreachable { .. } | DownloadError::Cut { .. } | DownloadError::Stalled { .. }
            ) || matches!(error, DownloadError::Refused { status: 429 | 500..=510, .. });
            if length_of(partial).await > before {
                idle = 0;
            }
            let never = matches!(error, DownloadError::Unreachable { .. }) && length_of(partial).await == 0;
            if !again || idle >= self.patience.retries || (never && !self.patience.insists) {
                return Err(error);
            }
            tokio::time::sleep(self.patience.pause * 2_u32.pow(idle)).await;
            idle += 1;
        }
    }

    async fn attempt(
        &self,
        url: &str,
        download: &Download,
        partial: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DownloadError> {
        let mut received = length_of(partial).await;
        if download.size.is_some_and(|size| received > size) {
            remove(partial).await?;
            received = 0;
        }
        if received > 0 && download.size == Some(received) {
            return Ok(());
        }
        if let Some(size) = download.size {
            require_space(partial, size.saturating_sub(received))?;
        }
        let mut request = self.http.get(url);
        if received > 0 {
            request = request.header(header::RANGE, format!("bytes={received}-"));
        }
        let unreachable = |detail| DownloadError::Unreachable { url: url.to_owned(), detail };
        let stall = self.patience.stall;
        let stalled = |received| DownloadError::Stalled { url: url.to_owned(), received, limit: stall };
        let mut response = match tokio::time::timeout(stall, request.send()).await {
            Err(_) => return Err(stalled(received)),
            Ok(Err(error)) if error.is_redirect() => {
                return Err(DownloadError::Redirects { url: url.to_owned(), detail: innermost(&error) });
            }
            Ok(Err(error)) => return Err(unreachable(innermost(&error))),
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        let resumed = match status {
            200 => false,
            206 => true,
            // The range lies behind the end: what is on disk is all there is, or is not this file.
            416 if received > 0 => return Ok(()),
            _ => return Err(DownloadError::Refused { url: url.to_owned(), status }),
        };
        if !resumed {
            received = 0;
        }
        let cut = |received, error: reqwest::Error| DownloadError::Cut {
            url: url.to_owned(),
            received,
            detail: innermost(&error),
        };
        // What is left to come, which reading changes.
        let length = response.content_length();
        // The first bytes are looked at before anything on disk is touched: a login page must not cost what an earlier
        // attempt has brought.
        let mut next = match tokio::time::timeout(stall, response.chunk()).await {
            Err(_) => return Err(stalled(received)),
            Ok(chunk) => chunk.map_err(|error| cut(received, error))?,
        };
        let begin = next.as_deref().unwrap_or_default();
        if !resumed && (is_web_page(&response) || looks_like_a_page(begin)) {
            return Err(DownloadError::WebPage { url: url.to_owned(), excerpt: excerpt(begin) });
        }
        let announced = length.map(|length| length + received);
        if let (Some(expected), Some(found)) = (download.size, announced)
            && expected != found
        {
            return Err(DownloadError::WrongSize { url: url.to_owned(), expected, found });
        }
        let total = download.size.or(announced);
        if let (None, Some(total)) = (download.size, total) {
            require_space(partial, total.saturating_sub(received))?;
        }
        let io = |source: io::Error| DownloadError::Io { path: partial.to_owned(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(!resumed)
            .append(resumed)
            .open(partial)
            .await
            .map_err(io)?;
        while let Some(chunk) = next {
            file.write_all(&chunk).await.map_err(io)?;
            received += chunk.len() as u64;
            if let Some(expected) = download.size.filter(|expected| received > *expected) {
                return Err(DownloadError::WrongSize { url: url.to_owned(), expected, found: received });
            }
            progress(Progress { received, total });
            next = match tokio::time::timeout(stall, response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => {
                    file.flush().await.map_err(io)?;
                    return Err(cut(received, error));
                }
                Err(_) => {
                    file.flush().await.map_err(io)?;
                    return Err(stalled(received));
                }
            };
        }
        file.flush().await.map_err(io)
    }
}

/// A page for people, by its declared type: no file that the lab downloads is one.
pub(super) fn is_web_page(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// A page for people, by how it begins: not every login page declares its type.
pub(super) fn looks_like_a_page(bytes: &[u8]) -> bool {
    let begin = bytes.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| begin.get(..tag.len()).is_some_and(|b| b.eq_ignore_ascii_case(tag)))
}

pub(super) fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    target.with_file_name(name)
}

async fn length_of(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len())
}

async fn remove(path: &Path) -> Result<(), DownloadError> {
    match tokio::fs::remove_file(path).await {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DownloadError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

async fn checksum_of(kind: Checksum, path: &Path) -> io::Result<Checksum> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || kind.of_file(&path)).await.map_err(io::Error::other)?
}

/// Fails when the file system below `path` cannot take `needed` more bytes.
fn require_space(path: &Path, needed: u64) -> Result<(), DownloadError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let facts = rustix::fs::statvfs(folder)
        .map_err(|error| DownloadError::Io { path: folder.to_owned(), source: error.into() })?;
    let available = facts.f_bavail.saturating_mul(facts.f_frsize);
    if available < needed {
        return Err(DownloadError::NoSpace { path: folder.to_owned(), needed, available });
    }
    Ok(())
}
