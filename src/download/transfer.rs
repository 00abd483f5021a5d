//! The transfer itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
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

/// Downloads files.
#[derive(Debug, Clone)]
pub struct Downloader {
    http: reqwest::Client,
    stall: Duration,
    retries: u32,
    pause: Duration,
}

/// How many bytes of an answer are looked at to recognise a web page.
const EXCERPT: usize = 120;

impl Downloader {
    /// A downloader that gives up on a transfer after `stall` without a byte. Uses the environment's proxies.
    pub fn new(stall: Duration) -> Result<Self, reqwest::Error> {
        // An error here means that a provider was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(stall)
            .user_agent(concat!("canary-lab/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, stall, retries: 4, pause: Duration::from_millis(500) })
    }

    /// The same with another pause before the first retry; each later pause is twice as long.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
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
        let mut last = DownloadError::NoSource { name: download.name.clone() };
        for url in &download.urls {
            match self.fetch_from(url, download, target, progress).await {
                Ok(fetched) => return Ok(fetched),
                // A full disk stays full whatever the mirror.
                Err(error @ (DownloadError::NoSpace { .. } | DownloadError::Io { .. })) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
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

    /// Transfers until the server has sent everything; retries with growing pauses while attempts bring nothing new.
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
            ) || matches!(error, DownloadError::Refused { status: 429 | 500..=599, .. });
            if length_of(partial).await > before {
                idle = 0;
            }
            if !again || idle >= self.retries {
                return Err(error);
            }
            tokio::time::sleep(self.pause * 2_u32.pow(idle)).await;
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
        let mut request = self.http.get(url);
        if received > 0 {
            request = request.header(header::RANGE, format!("bytes={received}-"));
        }
        let unreachable = |detail| DownloadError::Unreachable { url: url.to_owned(), detail };
        let response = match tokio::time::timeout(self.stall, request.send()).await {
            Err(_) => return Err(DownloadError::Stalled { url: url.to_owned(), received, limit: self.stall }),
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
        let announced = response.content_length().map(|length| length + received);
        if let (Some(expected), Some(found)) = (download.size, announced)
            && expected != found
            && !is_web_page(&response)
        {
            return Err(DownloadError::WrongSize { url: url.to_owned(), expected, found });
        }
        let total = download.size.or(announced);
        if let Some(total) = total {
            require_space(partial, total.saturating_sub(received))?;
        }
        let page = is_web_page(&response);
        let io = |source: io::Error| DownloadError::Io { path: partial.to_owned(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(!resumed)
            .append(resumed)
            .open(partial)
            .await
            .map_err(io)?;
        let mut body = response.bytes_stream();
        loop {
            let chunk = match tokio::time::timeout(self.stall, body.next()).await {
                Err(_) => return Err(DownloadError::Stalled { url: url.to_owned(), received, limit: self.stall }),
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    file.flush().await.map_err(io)?;
                    return Err(DownloadError::Cut { url: url.to_owned(), received, detail: innermost(&error) });
                }
                Ok(Some(Ok(chunk))) => chunk,
            };
            if page {
                drop(file);
                remove(partial).await?;
                return Err(DownloadError::WebPage { url: url.to_owned(), excerpt: excerpt(&chunk) });
            }
            file.write_all(&chunk).await.map_err(io)?;
            received += chunk.len() as u64;
            if let Some(expected) = download.size.filter(|expected| received > *expected) {
                return Err(DownloadError::WrongSize { url: url.to_owned(), expected, found: received });
            }
            progress(Progress { received, total });
        }
        file.flush().await.map_err(io)
    }
}

/// A page for people, by its declared type: no file that the lab downloads is one.
fn is_web_page(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

fn excerpt(bytes: &[u8]) -> String {
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
