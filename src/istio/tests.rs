//! A release server that behaves well, and in every way in which one does not.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{ArchiveError, Release, ReleaseError, fetch};
use crate::download::{DownloadError, Downloader, Patience};
use crate::tools::Trace;
use crate::ui::Environment;

/// What the server does with the archive; its checksum it serves as `checksum` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Good,
    /// Breaks off in the middle, once; then it serves ranges.
    CutOnce,
    /// Sends half and then nothing, always.
    Slow,
    Redirect,
    NotFound,
    Portal,
    /// A checksum of something else.
    WrongChecksum,
    /// A portal in the checksum's place only.
    ChecksumPortal,
}

/// A release whose istioctl is a script that says `version`, padded so that a cut falls into the middle.
fn archive(version: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    let script = format!("#!/bin/sh\necho {version}\n");
    let padding = "0".repeat(200_000);
    for (name, mode, contents) in [
        ("bin/istioctl", 0o755, script.as_str()),
        ("manifests/profiles/default.yaml", 0o644, "{}"),
        ("LICENSE", 0o644, padding.as_str()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(contents.len() as u64);
        tar.append_data(&mut header, format!("istio-1.12.7/{name}"), contents.as_bytes()).unwrap();
    }
    let mut out = tar.into_inner().unwrap();
    out.flush().unwrap();
    out.finish().unwrap()
}

async fn server(act: Act, archive: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        let archive = Arc::new(archive);
        while let Ok((mut stream, _)) = listener.accept().await {
            let (archive, counted) = (Arc::clone(&archive), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut byte = [0_u8; 1];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let is_checksum = head.lines().next().unwrap_or_default().contains(".sha256");
                let before = if is_checksum { 0 } else { counted.fetch_add(1, Ordering::SeqCst) };
                let answer = if is_checksum { checksum(act, &archive) } else { body(act, &archive, &head, before) };
                let _ = stream.write_all(&answer).await;
                if act == Act::Slow && !is_checksum {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (url, requests)
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const PORTAL: &[u8] = b"<html><title>Log in</title></html>";

fn checksum(act: Act, archive: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(if act == Act::WrongChecksum { b"else" } else { archive });
    let digest = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let name = Release::new("1.12.7", None).unwrap().archive_name();
    match act {
        Act::ChecksumPortal => response("200 OK", "content-type: text/html\r\n", PORTAL),
        // Istio writes one space; sha256sum two.
        Act::Redirect => response("200 OK", "", format!("{digest}  {name}\n").as_bytes()),
        _ => response("200 OK", "", format!("{digest} {name}\n").as_bytes()),
    }
}

fn body(act: Act, archive: &[u8], head: &str, before: usize) -> Vec<u8> {
    let from =
        head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok());
    match act {
        Act::Redirect if !head.starts_with("get /elsewhere") => {
            response("302 Found", "location: /elsewhere.tar.gz\r\n", b"")
        }
        Act::NotFound => response("404 Not Found", "", b"Not Found"),
        Act::Portal => response("200 OK", "content-type: text/html\r\n", PORTAL),
        Act::CutOnce if before == 0 => {
            let whole = response("200 OK", "", archive);
            whole[..whole.len() / 2].to_vec()
        }
        Act::Slow => {
            let rest = &archive[from.unwrap_or(0).min(archive.len())..];
            let whole = response(if from.is_some() { "206 Partial Content" } else { "200 OK" }, "", rest);
            // Every attempt brings the head and nothing more than the first one did.
            if from.is_some() { whole[..whole.len() - rest.len()].to_vec() } else { whole[..whole.len() / 2].to_vec() }
        }
        _ => match from {
            Some(from) => {
                let range = format!("content-range: bytes {from}-{}/{}\r\n", archive.len() - 1, archive.len());
                response("206 Partial Content", &range, &archive[from..])
            }
            None => response("200 OK", "", archive),
        },
    }
}

struct Outcome {
    result: Result<super::Fetched, ReleaseError>,
    requests: usize,
}

async fn fetched(act: Act, version: &str, cache: &Path) -> Outcome {
    let (url, requests) = server(act, archive(version)).await;
    let release = Release::new("1.12.7", Some(&url)).unwrap();
    let downloader = impatient();
    let environment = Environment([("PATH".into(), "/usr/bin:/bin".into())].into());
    let result = fetch(&release, cache, &downloader, &environment, &Trace::default(), &mut |_| {}).await;
    Outcome { result, requests: requests.load(Ordering::SeqCst) }
}

fn impatient() -> Downloader {
    let (stall, pause) = (Duration::from_millis(400), Duration::from_millis(1));
    Downloader::new(Patience { connect: stall, stall, retries: 4, insists: true, pause }).unwrap()
}

#[tokio::test]
async fn a_release_is_fetched_once_and_found_again_without_network() {
    let cache = tempfile::tempdir().unwrap();
    let first = fetched(Act::Good, "1.12.7", cache.path()).await;
    let release = first.result.unwrap();
    assert!(release.downloaded && release.istioctl.is_file());
    assert!(release.folder.ends_with("istio-1.12.7"));
    let again = fetched(Act::NotFound, "1.12.7", cache.path()).await;
    assert!(!again.result.unwrap().downloaded);
    assert_eq!(again.requests, 0);
    // The unpacked release is gone, the archive is there: still no network.
    fs::remove_dir_all(&release.folder).unwrap();
    let (url, requests) = server(Act::NotFound, Vec::new()).await;
    let mirror = Release::new("1.12.7", Some(&url)).unwrap();
    let environment = Environment([("PATH".into(), "/usr/bin:/bin".into())].into());
    let unpacked =
        fetch(&mirror, cache.path(), &impatient(), &environment, &Trace::default(), &mut |_| {}).await.unwrap();
    assert!(!unpacked.downloaded && unpacked.istioctl.is_file());
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_cut_is_resumed_and_a_redirect_followed() {
    let cache = tempfile::tempdir().unwrap();
    let cut = fetched(Act::CutOnce, "1.12.7", cache.path()).await;
    assert!(cut.result.unwrap().downloaded);
    assert_eq!(cut.requests, 2, "the second request asked for the rest");
    let cache = tempfile::tempdir().unwrap();
    let redirected = fetched(Act::Redirect, "1.12.7", cache.path()).await;
    assert!(redirected.result.is_ok());
}

#[tokio::test]
async fn every_bad_server_is_told_apart_and_leaves_nothing_unpacked() {
    type Judge = fn(&ReleaseError) -> bool;
    let cases: [(Act, Judge); 5] = [
        (
            Act::Slow,
            |error| matches!(error, ReleaseError::Download(DownloadError::Stalled { received, .. }) if *received > 0),
        ),
        (Act::NotFound, |error| matches!(error, ReleaseError::Download(DownloadError::Refused { status: 404, .. }))),
        (Act::Portal, |error| matches!(error, ReleaseError::Download(DownloadError::WebPage { .. }))),
        (Act::WrongChecksum, |error| matches!(error, ReleaseError::Download(DownloadError::WrongChecksum { .. }))),
        (Act::ChecksumPortal, |error| matches!(error, ReleaseError::Download(DownloadError::WebPage { .. }))),
    ];
    for (act, expected) in cases {
        let cache = tempfile::tempdir().unwrap();
        let error = fetched(act, "1.12.7", cache.path()).await.result.unwrap_err();
        assert!(expected(&error), "{act:?}: {error:?}");
        let release = Release::new("1.12.7", None).unwrap();
        assert!(!release.folder(cache.path()).exists() && !release.archive(cache.path()).exists(), "{act:?}");
    }
}

#[tokio::test]
async fn an_istioctl_of_another_version_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let error = fetched(Act::Good, "1.13.0", cache.path()).await.result.unwrap_err();
    assert!(matches!(&error, ReleaseError::OtherVersion { found, .. } if found == "1.13.0"), "{error:?}");
    let release = Release::new("1.12.7", None).unwrap();
    fs::write(release.archive(cache.path()), "damaged behind our back").unwrap();
    fs::remove_dir_all(release.folder(cache.path())).unwrap();
    let mended = fetched(Act::Good, "1.12.7", cache.path()).await.result;
    // The kept checksum is of the other archive, so the new one is refused rather than trusted.
    assert!(matches!(mended, Err(ReleaseError::Download(DownloadError::WrongChecksum { .. }))), "{mended:?}");
    assert!(!matches!(mended, Err(ReleaseError::Archive(ArchiveError::Damaged { .. }))));
}
