//! Container logs: one file a start, each line with its time and stream, as the container runtimes write them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::embedded::api::{LogAnswer, LogOptions, LogStream, PodLogs};
use crate::embedded::clock;
use crate::objects::meta;

/// A log file that grows beyond this is put aside, and a new one begun; one file put aside is kept.
const ROTATE_AT: u64 = 10 * 1024 * 1024;
/// A longer line is cut into pieces of this length, so that memory stays bounded whatever a program writes.
const LONGEST_LINE: usize = 16 * 1024;

/// Which of a container's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Where the logs of all containers lie, and which of them are being written.
#[derive(Debug, Clone)]
pub struct LogStore {
    directory: Arc<PathBuf>,
    live: Arc<Mutex<HashMap<PathBuf, Arc<LogWriter>>>>,
}

/// Names the log of one start of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogName {
    /// The pod's uid.
    pub(super) pod: String,
    /// The container's name.
    pub(super) container: String,
    /// How often it had been restarted before.
    pub(super) attempt: u64,
}

impl LogStore {
    /// Logs below this directory, which is made when the first is written.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory: Arc::new(directory), live: Arc::default() }
    }

    /// Starts a log; those older than the one before it are removed.
    pub(super) fn start(&self, name: &LogName) -> std::io::Result<Arc<LogWriter>> {
        let path = self.path(name);
        let container = path.parent().unwrap_or(&self.directory);
        std::fs::create_dir_all(container)?;
        for attempt in 0..name.attempt.saturating_sub(1) {
            let old = self.path(&LogName { attempt, ..name.clone() });
            if old.exists() {
                std::fs::remove_file(&old)?;
            }
        }
        let writer = Arc::new(LogWriter::open(path.clone())?);
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(path, Arc::clone(&writer));
        Ok(writer)
    }

    /// Notes that a log is complete; whoever follows it is told.
    pub(super) fn finish(&self, name: &LogName) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path(name));
        if let Some(writer) = live {
            writer.close();
        }
    }

    /// Removes all logs of a pod.
    pub(super) fn remove_pod(&self, uid: &str) {
        let directory = self.directory.join(uid);
        if let Err(error) = std::fs::remove_dir_all(&directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("logs in {} cannot be removed: {error}", directory.display());
        }
    }

    /// Opens a log for reading; `None` when there is none.
    pub(super) fn read(&self, name: &LogName) -> Option<LogReader> {
        let path = self.path(name);
        let progress = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.get(&path).map(|writer| writer.progress.subscribe())
        };
        if !path.exists() && progress.is_none() {
            return None;
        }
        Some(LogReader { path, progress })
    }

    fn path(&self, name: &LogName) -> PathBuf {
        self.directory.join(&name.pod).join(&name.container).join(format!("{}.log", name.attempt))
    }
}

impl PodLogs for LogStore {
    fn logs<'a>(&'a self, pod: &'a Value, container: &'a str, options: LogOptions) -> LogAnswer<'a> {
        Box::pin(async move {
            let statuses = ["containerStatuses", "initContainerStatuses"];
            let mut known = statuses.iter().flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
            let restarts = known.find(|one| one["name"] == *container).and_then(|one| one["restartCount"].as_u64());
            let attempt = restarts.unwrap_or(0).saturating_sub(u64::from(options.previous));
            let name = LogName { pod: meta::uid(pod).to_owned(), container: container.to_owned(), attempt };
            // A container that has not written anything has no file, and an empty log.
            let Some(reader) = self.read(&name) else { return Ok(Box::pin(futures::stream::empty()) as LogStream) };
            let (pieces, arriving) = mpsc::channel(4);
            tokio::spawn(reader.send(options, pieces));
            Ok(Box::pin(ReceiverStream::new(arriving).map(|piece| Ok(Bytes::from(piece)))) as LogStream)
        })
    }
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// How often the file was put aside.
    rotations: u64,
    /// Bytes in the present file.
    bytes: u64,
    /// Whether nothing follows.
    closed: bool,
}

/// The writing end of a log.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    file: Mutex<File>,
    progress: watch::Sender<Progress>,
}

impl LogWriter {
    fn open(path: PathBuf) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path,
            file: Mutex::new(file),
            progress: watch::Sender::new(Progress { bytes, ..Progress::default() }),
        })
    }

    /// Writes one line without its end.
    pub(super) fn line(&self, stream: Stream, text: &[u8]) {
        let stream = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        let mut line = format!("{} {stream} F ", clock::nanoseconds(Timestamp::now())).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses lines of logs, not the container.
        if file.write_all(&line).is_err() {
            return;
        }
        let mut progress = *self.progress.borrow();
        progress.bytes += line.len() as u64;
        if progress.bytes > ROTATE_AT
            && std::fs::rename(&self.path, put_aside(&self.path)).is_ok()
            && let Ok(fresh) = OpenOptions::new().create(true).append(true).open(&self.path)
        {
            *file = fresh;
            progress.rotations += 1;
            progress.bytes = 0;
        }
        self.progress.send_replace(progress);
    }

    /// Copies a stream of the container line by line until it ends.
    pub(super) async fn copy(self: Arc<Self>, stream: Stream, from: impl AsyncRead + Unpin) {
        let mut reader = tokio::io::BufReader::new(from);
        let mut line = vec![];
        while let Ok(chunk) = reader.fill_buf().await {
            if chunk.is_empty() {
                break;
            }
            let room = LONGEST_LINE - line.len();
            let end = chunk.iter().take(room).position(|&byte| byte == b'\n');
            let text = end.unwrap_or(chunk.len().min(room));
            line.extend_from_slice(&chunk[..text]);
            let used = text + usize::from(end.is_some());
            if end.is_some() || line.len() == LONGEST_LINE {
                self.line(stream, &line);
                line.clear();
            }
            reader.consume(used);
        }
        if !line.is_empty() {
            self.line(stream, &line);
        }
    }

    fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }
}

fn put_aside(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// The reading end of a log.
#[derive(Debug)]
pub(super) struct LogReader {
    path: PathBuf,
    progress: Option<watch::Receiver<Progress>>,
}

impl LogReader {
    /// Sends the wanted lines in pieces; ends when there are no more, or when nobody receives them.
    pub(super) async fn send(mut self, query: LogOptions, to: mpsc::Sender<Vec<u8>>) {
        let mut left = query.limit_bytes.unwrap_or(usize::MAX);
        // What is written after this point is told by the watch.
        let seen = self.progress.as_mut().map(|progress| *progress.borrow_and_update());
        let upto = seen.map(|seen| seen.bytes);
        let present = self.present(&query, upto);
        if !deliver(&to, present, &mut left).await || !query.follow {
            return;
        }
        let (Some(mut progress), Some(mut seen)) = (self.progress, seen) else { return };
        while left > 0 && !seen.closed {
            tokio::select! {
                () = to.closed() => return,
                changed = progress.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            let now = *progress.borrow_and_update();
            let mut fresh = vec![];
            if now.rotations != seen.rotations {
                fresh.extend(read_range(&put_aside(&self.path), seen.bytes, None));
                seen.bytes = 0;
            }
            fresh.extend(read_range(&self.path, seen.bytes, Some(now.bytes)));
            seen = now;
            let text = render(&fresh, &LogOptions { tail_lines: None, ..query.clone() });
            if !deliver(&to, text, &mut left).await {
                return;
            }
        }
    }

    fn present(&self, query: &LogOptions, upto: Option<u64>) -> Vec<u8> {
        let mut lines = read_range(&put_aside(&self.path), 0, None);
        lines.extend(read_range(&self.path, 0, upto));
        render(&lines, query)
    }
}

/// Sends no more than what is left of the limit; `false` when that is the end.
async fn deliver(to: &mpsc::Sender<Vec<u8>>, mut text: Vec<u8>, left: &mut usize) -> bool {
    text.truncate(*left);
    *left -= text.len();
    text.is_empty() || to.send(text).await.is_ok()
}

/// The lines between two positions of a file, the last one only if it is complete.
fn read_range(path: &Path, from: u64, upto: Option<u64>) -> Vec<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = File::open(path) else { return vec![] };
    if file.seek(SeekFrom::Start(from)).is_err() {
        return vec![];
    }
    let length = upto.map_or(u64::MAX, |upto| upto.saturating_sub(from));
    BufReader::new(file.take(length)).split(b'\n').map_while(Result::ok).collect()
}

fn render(lines: &[Vec<u8>], query: &LogOptions) -> Vec<u8> {
    let wanted: Vec<(&[u8], &[u8])> = lines
        .iter()
        .filter_map(|line| {
            // Time, stream, tag, text.
            let mut parts = line.splitn(4, |&byte| byte == b' ');
            let time = parts.next()?;
            let text = parts.nth(2)?;
            let at = || clock::parse(std::str::from_utf8(time).ok());
            (query.since.is_none_or(|since| at().is_none_or(|at| at >= since))).then_some((time, text))
        })
        .collect();
    let skipped = query.tail_lines.map_or(0, |tail| wanted.len().saturating_sub(tail));
    let mut out = vec![];
    for (time, text) in &wanted[skipped..] {
        if query.timestamps {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        out.extend_from_slice(text);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(attempt: u64) -> LogName {
        LogName { pod: "uid".into(), container: "app".into(), attempt }
    }

    async fn collect(reader: LogReader, query: LogOptions) -> String {
        let (to, mut from) = mpsc::channel(8);
        let sending = tokio::spawn(reader.send(query, to));
        let mut text = vec![];
        while let Some(piece) = from.recv().await {
            text.extend(piece);
        }
        sending.await.unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn lines_are_selected_by_number_time_and_size() {
        let home = tempfile::tempdir().unwrap();
        let store = LogStore::new(home.path().to_owned());
        let writer = store.start(&name(0)).unwrap();
        Arc::clone(&writer).copy(Stream::Err, &b"one\ntwo\n\nfour"[..]).await;
        let read = |query: LogOptions| collect(store.read(&name(0)).unwrap(), query);
        assert_eq!(read(LogOptions::default()).await, "one\ntwo\n\nfour\n");
        assert_eq!(read(LogOptions { tail_lines: Some(2), ..LogOptions::default() }).await, "\nfour\n");
        assert_eq!(read(LogOptions { tail_lines: Some(0), ..LogOptions::default() }).await, "");
        assert_eq!(read(LogOptions { limit_bytes: Some(5), ..LogOptions::default() }).await, "one\nt");
        let future = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        assert_eq!(read(LogOptions { since: Some(future), ..LogOptions::default() }).await, "");
        let stamped = read(LogOptions { timestamps: true, tail_lines: Some(1), ..LogOptions::default() }).await;
        let (time, text) = stamped.split_once(' ').unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && time.len() == 30, "{time}");
        assert_eq!(text, "four\n");
        assert!(store.read(&name(1)).is_none());
    }

    #[tokio::test]
    async fn a_follower_sees_later_lines_and_the_end() {
        let home = tempfile::tempdir().unwrap();
        let store = LogStore::new(home.path().to_owned());
        let writer = store.start(&name(0)).unwrap();
        writer.line(Stream::Out, b"before");
        let (to, mut from) = mpsc::channel(8);
        let query = LogOptions { follow: true, ..LogOptions::default() };
        tokio::spawn(store.read(&name(0)).unwrap().send(query, to));
        assert_eq!(from.recv().await.unwrap(), b"before\n");
        writer.line(Stream::Out, b"after");
        assert_eq!(from.recv().await.unwrap(), b"after\n");
        store.finish(&name(0));
        assert_eq!(from.recv().await, None);
    }

    #[tokio::test]
    async fn a_large_log_is_put_aside_once_and_still_read_whole() {
        let home = tempfile::tempdir().unwrap();
        let store = LogStore::new(home.path().to_owned());
        let writer = store.start(&name(0)).unwrap();
        let long = vec![b'x'; LONGEST_LINE];
        let lines = usize::try_from(ROTATE_AT).unwrap() / LONGEST_LINE + 5;
        for _ in 0..lines {
            writer.line(Stream::Out, &long);
        }
        writer.line(Stream::Out, b"last");
        let text = collect(store.read(&name(0)).unwrap(), LogOptions::default()).await;
        assert_eq!(text.lines().count(), lines + 1);
        assert!(text.ends_with("\nlast\n"));
        let files = std::fs::read_dir(home.path().join("uid/app")).unwrap().count();
        assert_eq!(files, 2);
    }

    #[tokio::test]
    async fn the_log_before_is_kept_and_older_ones_go() {
        let home = tempfile::tempdir().unwrap();
        let store = LogStore::new(home.path().to_owned());
        for attempt in 0..4 {
            store.start(&name(attempt)).unwrap().line(Stream::Out, attempt.to_string().as_bytes());
            store.finish(&name(attempt));
        }
        let present: Vec<bool> = (0..4).map(|attempt| store.read(&name(attempt)).is_some()).collect();
        assert_eq!(present, [false, false, true, true]);
        store.remove_pod("uid");
        assert!(store.read(&name(3)).is_none());
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_into_pieces() {
        let home = tempfile::tempdir().unwrap();
        let store = LogStore::new(home.path().to_owned());
        let writer = store.start(&name(0)).unwrap();
        let endless = vec![b'y'; LONGEST_LINE * 2 + 3];
        Arc::clone(&writer).copy(Stream::Out, endless.as_slice()).await;
        let text = collect(store.read(&name(0)).unwrap(), LogOptions::default()).await;
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, 3]);
    }
}
