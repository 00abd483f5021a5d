//! Downloads from a server that misbehaves on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SIZE: usize = 100_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| (index * 31 % 251) as u8).collect()
}

fn download(urls: &[String]) -> Download {
    Download {
        name: "weights".into(),
        urls: urls.to_vec(),
        size: Some(SIZE as u64),
        checksum: Checksum::Sha256(Sha256::digest(content()).into()),
    }
}

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Act {
    /// The file, or the part of it that was asked for.
    Serve,
    /// As [`Act::Serve`], but the connection breaks after so many bytes.
    CutAfter(usize),
    /// Headers and a few bytes, then silence.
    Stall,
    /// This status, an empty body.
    Status(u16),
    /// As many bytes as the file has, but others.
    Corrupt,
    /// A login page.
    Portal,
    /// A login page that does not say that it is one.
    PlainPortal,
    /// A shorter file than published.
    Shorter,
    /// Another place, on the same server.
    Redirect,
    /// The file without its length.
    Unannounced,
    /// A file that is longer by ten bytes.
    Longer,
    /// The file from its start, whatever was asked for.
    IgnoreRange,
}

/// A server that plays the acts in turn, and the last one for ever. Returns its URL and a counter of requests.
async fn server(acts: &'static [Act]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/weights.h5", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let act = acts[count.fetch_add(1, Ordering::SeqCst).min(acts.len() - 1)];
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                    let count = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..count]);
                }
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let from = text.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
                play(act, from, &mut stream).await;
            });
        }
    });
    (url, requests)
}

async fn play(act: Act, from: Option<usize>, stream: &mut tokio::net::TcpStream) {
    let whole = content();
    let head = |status: &str, kind: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")
    };
    let (status, part) = match from {
        Some(from) => ("206 Partial Content", &whole[from.min(SIZE)..]),
        None => ("200 OK", &whole[..]),
    };
    let mut out = Vec::new();
    match act {
        Act::Serve => out.extend([head(status, "x/y", part.len()).as_bytes(), part].concat()),
        Act::CutAfter(bytes) => out.extend([head(status, "x/y", part.len()).as_bytes(), &part[..bytes]].concat()),
        Act::Stall => out.extend([head(status, "x/y", part.len()).as_bytes(), &part[..1000]].concat()),
        Act::Status(status) => out.extend(head(&format!("{status} No"), "x/y", 0).as_bytes()),
        Act::Corrupt => out.extend([head("200 OK", "x/y", SIZE).as_bytes(), &vec![7; SIZE]].concat()),
        Act::Portal => {
            let page = "<html><title>Hotel  WLAN</title>\n please log in</html>";
            out.extend([head("200 OK", "text/html; charset=utf-8", page.len()).as_bytes(), page.as_bytes()].concat());
        }
        Act::PlainPortal => {
            let page = "\n<!DOCTYPE HTML><title>Log in</title>";
            out.extend([head("200 OK", "x/y", page.len()).as_bytes(), page.as_bytes()].concat());
        }
        Act::Shorter => out.extend([head("200 OK", "x/y", SIZE - 10).as_bytes(), &whole[..SIZE - 10]].concat()),
        Act::Redirect => {
            let place = "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
            out.extend(place.as_bytes());
        }
        Act::Unannounced => {
            out.extend([&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], &whole].concat());
        }
        Act::Longer => out.extend([head("200 OK", "x/y", SIZE + 10).as_bytes(), &vec![7; SIZE + 10]].concat()),
        Act::IgnoreRange => out.extend([head("200 OK", "x/y", SIZE).as_bytes(), &whole].concat()),
    }
    let _ = stream.write_all(&out).await;
    if matches!(act, Act::Stall) {
        std::future::pending::<()>().await;
    }
}

struct Outcome {
    result: Result<Fetched, DownloadError>,
    file: Option<Vec<u8>>,
    requests: usize,
    partial: bool,
}

fn impatient() -> Downloader {
    let (stall, pause) = (Duration::from_millis(300), Duration::from_millis(1));
    Downloader::new(Patience { connect: stall, stall, retries: 4, insists: true, pause }).unwrap()
}

async fn fetch_with_partial(acts: &'static [Act], partial: Option<&[u8]>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("cache").join("weights.h5");
    let beside = folder.path().join("cache").join("weights.h5.partial");
    if let Some(bytes) = partial {
        std::fs::create_dir_all(beside.parent().unwrap()).unwrap();
        std::fs::write(&beside, bytes).unwrap();
    }
    let (url, requests) = server(acts).await;
    let result = impatient().fetch(&download(&[url]), &target, &mut |_| {}).await;
    Outcome {
        result,
        file: std::fs::read(&target).ok(),
        requests: requests.load(Ordering::SeqCst),
        partial: beside.exists(),
    }
}

async fn fetch(acts: &'static [Act]) -> Outcome {
    fetch_with_partial(acts, None).await
}

#[tokio::test]
async fn a_file_comes_whole_and_is_not_fetched_twice() {
    let outcome = fetch(&[Act::Serve]).await;
    assert_eq!(outcome.result.unwrap(), Fetched::Downloaded { resumed_from: 0 });
    assert_eq!(outcome.file.unwrap(), content());

    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x");
    std::fs::write(&target, content()).unwrap();
    let fetched = impatient().fetch(&download(&[]), &target, &mut |_| {}).await.unwrap();
    assert_eq!(fetched, Fetched::AlreadyThere);
}

#[tokio::test]
async fn a_cut_transfer_goes_on_where_it_was_cut() {
    let outcome = fetch(&[Act::CutAfter(30_000), Act::CutAfter(30_000), Act::Serve]).await;
    assert_eq!((outcome.requests, outcome.file.unwrap()), (3, content()));
    assert!(outcome.result.is_ok() && !outcome.partial);
}

#[tokio::test]
async fn an_earlier_partial_file_is_resumed_and_a_wrong_one_thrown_away() {
    let outcome = fetch_with_partial(&[Act::Serve], Some(&content()[..40_000])).await;
    assert_eq!(outcome.result.unwrap(), Fetched::Downloaded { resumed_from: 40_000 });
    let outcome = fetch_with_partial(&[Act::Serve], Some(&vec![9; 40_000])).await;
    assert_eq!((outcome.requests, outcome.file.unwrap()), (2, content()));
    let outcome = fetch_with_partial(&[Act::Serve], Some(&vec![9; SIZE + 5])).await;
    assert_eq!(outcome.file.unwrap(), content());
    let outcome = fetch_with_partial(&[Act::IgnoreRange], Some(&content()[..40_000])).await;
    assert_eq!(outcome.file.unwrap(), content());
}

#[tokio::test]
async fn every_failure_is_told_apart_and_leaves_no_file() {
    let outcome = fetch(&[Act::Status(404)]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Refused { status: 404, .. })));
    assert_eq!((outcome.requests, outcome.file), (1, None));

    let outcome = fetch(&[Act::Status(503)]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Refused { status: 503, .. })));
    assert_eq!(outcome.requests, 5);

    // A captive portal that says so; a login does not come about by asking again.
    let outcome = fetch(&[Act::Status(511)]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Refused { status: 511, .. })));
    assert_eq!(outcome.requests, 1);

    let outcome = fetch(&[Act::Corrupt]).await;
    assert!(matches!(outcome.result, Err(DownloadError::WrongChecksum { .. })));
    assert!(outcome.file.is_none() && !outcome.partial);

    let outcome = fetch(&[Act::Longer]).await;
    assert!(matches!(outcome.result, Err(DownloadError::WrongSize { found: 100_010, .. })));

    let outcome = fetch(&[Act::Shorter]).await;
    assert!(matches!(outcome.result, Err(DownloadError::WrongSize { found: 99_990, .. })));

    let outcome = fetch(&[Act::Portal]).await;
    let Err(DownloadError::WebPage { excerpt, .. }) = outcome.result else { panic!("not a page") };
    assert_eq!(excerpt, "<html><title>Hotel WLAN</title> please log in</html>");
    assert!(outcome.file.is_none() && !outcome.partial);

    // A redirect that leads nowhere is an answer like any other.
    let outcome = fetch(&[Act::Status(302)]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Refused { status: 302, .. })));
}

#[tokio::test]
async fn redirects_are_followed_and_missing_lengths_do_not_matter() {
    let outcome = fetch(&[Act::Redirect, Act::Serve]).await;
    assert_eq!((outcome.requests, outcome.file.unwrap()), (2, content()));
    let outcome = fetch(&[Act::Redirect]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Redirects { .. })), "round and round: {:?}", outcome.result);
    assert_eq!(outcome.requests, 11, "an answer like any other: not asked for again");
    let outcome = fetch(&[Act::Unannounced]).await;
    assert_eq!((outcome.requests, outcome.file.unwrap()), (1, content()));
}

#[tokio::test]
async fn a_login_page_costs_nothing_of_what_came_before() {
    for portal in [&[Act::Portal, Act::Serve], &[Act::PlainPortal, Act::Serve]] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        std::fs::write(folder.path().join("x.partial"), &content()[..40_000]).unwrap();
        let (url, _) = server(portal).await;
        let error = impatient().fetch(&download(std::slice::from_ref(&url)), &target, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, DownloadError::WebPage { .. }), "{error}");
        let fetched = impatient().fetch(&download(&[url]), &target, &mut |_| {}).await.unwrap();
        assert_eq!(fetched, Fetched::Downloaded { resumed_from: 40_000 });
    }
}

#[tokio::test]
async fn a_disk_without_room_is_told_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (url, requests) = server(&[Act::Serve]).await;
    let vast = Download { size: Some(1 << 60), ..download(&[url]) };
    let error = impatient().fetch(&vast, &folder.path().join("x"), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::NoSpace { needed, .. } if needed == 1 << 60), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_given_up_at_once_when_the_file_is_only_welcome() {
    // A port of the loopback address that was free a moment ago: the connection is refused.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let urls = [format!("http://{closed}/x"), "http://no-such-host.invalid/x".to_owned()];
    let downloader = Downloader::new(Patience::WELCOME).unwrap();
    let error = downloader.fetch(&download(&urls), &folder.path().join("x"), &mut |_| {}).await.unwrap_err();
    let DownloadError::EverySource { errors } = &error else { panic!("{error}") };
    assert!(errors.iter().all(|error| matches!(error, DownloadError::Unreachable { .. })), "{error}");
    assert!(started.elapsed() < Patience::WELCOME.connect * 2 + Duration::from_millis(400));
}

#[tokio::test]
async fn silence_is_a_stall_and_what_came_is_kept() {
    let outcome = fetch(&[Act::Stall, Act::Status(404)]).await;
    assert!(matches!(outcome.result, Err(DownloadError::Refused { status: 404, .. })));
    assert!(outcome.partial);
    let outcome = fetch(&[Act::Stall, Act::Serve]).await;
    assert_eq!(outcome.file.unwrap(), content());
}

#[tokio::test]
async fn a_mirror_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x");
    let (bad, _) = server(&[Act::Portal]).await;
    let (good, _) = server(&[Act::Serve]).await;
    let mut seen = 0;
    let fetched = impatient().fetch(&download(&[bad, good]), &target, &mut |progress| seen = progress.received).await;
    assert!(fetched.is_ok());
    assert_eq!((seen, std::fs::read(&target).unwrap()), (SIZE as u64, content()));
    // When nobody has it, each says why.
    let (portal, _) = server(&[Act::Portal]).await;
    let (empty, _) = server(&[Act::Status(404)]).await;
    let target = folder.path().join("y");
    let error = impatient().fetch(&download(&[portal, empty]), &target, &mut |_| {}).await.unwrap_err();
    let DownloadError::EverySource { errors } = &error else { panic!("{error}") };
    assert!(
        matches!(&errors[..], [DownloadError::WebPage { .. }, DownloadError::Refused { status: 404, .. }]),
        "{errors:?}"
    );
    assert!(error.to_string().contains("web page") && error.to_string().contains("; http"), "{error}");
}
