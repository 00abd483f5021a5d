//! The record of one run: events as they happen, evidence by stage.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::event::Event;
use crate::state::{Home, HomeError, write_atomically};

/// The version of both formats.
const VERSION: u32 = 1;

/// One run's directory.
#[derive(Debug)]
pub struct Journal {
    number: u32,
    directory: PathBuf,
    events: File,
    clock: fn() -> Timestamp,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

impl Journal {
    /// Begins the next run of the home.
    pub fn begin(home: &Home, clock: fn() -> Timestamp) -> Result<Self, HomeError> {
        let runs = home.runs();
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| HomeError::NotWritable { path, source }
        };
        std::fs::create_dir_all(&runs).map_err(failed(&runs))?;
        let mut number = last_run(&runs).map_err(failed(&runs))? + 1;
        let directory = loop {
            let directory = runs.join(format!("{number:04}"));
            match std::fs::create_dir(&directory) {
                Ok(()) => break directory,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&directory)(error)),
            }
        };
        let path = directory.join("events.jsonl");
        let events = OpenOptions::new().create(true).append(true).open(&path).map_err(failed(&path))?;
        Ok(Self { number, directory, events, clock })
    }

    /// The run's number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Appends an event.
    pub fn record(&mut self, event: &Event) -> Result<(), HomeError> {
        let line = Line { v: VERSION, at: (self.clock)(), event };
        let write = |file: &mut File| {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            file.write_all(&text)
        };
        write(&mut self.events)
            .map_err(|source| HomeError::NotWritable { path: self.directory.join("events.jsonl"), source })
    }

    /// Keeps the evidence of the stage at `position` (from 0); returns the file and its path relative to the home.
    pub fn keep(&self, position: usize, stage: &str, evidence: &Value) -> Result<(PathBuf, String), HomeError> {
        let name = format!("{:02}-{stage}.json", position + 1);
        let path = self.directory.join(&name);
        let write = || {
            let mut text = serde_json::to_vec_pretty(evidence)?;
            text.push(b'\n');
            write_atomically(&path, &text)
        };
        write().map_err(|source| HomeError::NotWritable { path: path.clone(), source })?;
        Ok((path, format!("runs/{:04}/{name}", self.number)))
    }
}

impl Journal {
    /// Keeps objects as they were before they went or were given another shape; nothing is written where there are none.
    pub fn keep_objects(&self, objects: &[Value]) -> Result<Option<PathBuf>, HomeError> {
        if objects.is_empty() {
            return Ok(None);
        }
        let path = self.directory.join("objects-before.json");
        let write = || {
            let mut text = serde_json::to_vec_pretty(objects)?;
            text.push(b'\n');
            write_atomically(&path, &text)
        };
        write().map_err(|source| HomeError::NotWritable { path: path.clone(), source })?;
        Ok(Some(path))
    }
}

/// The highest number of a run so far; 0 when there was none.
fn last_run(runs: &Path) -> io::Result<u32> {
    let numbers = std::fs::read_dir(runs)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_and_events_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let clock = || "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(Journal::begin(&home, clock).unwrap().number(), 1);
        let mut journal = Journal::begin(&home, clock).unwrap();
        let event = Event::StageStarted { stage: "cluster".into() };
        journal.record(&event).unwrap();
        let text = std::fs::read_to_string(directory.path().join("runs/0002/events.jsonl")).unwrap();
        assert_eq!(
            text,
            "{\"v\":1,\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"stage-started\",\"stage\":\"cluster\"}\n"
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let (path, relative) = journal.keep(1, "cluster", &Value::Null).unwrap();
        assert_eq!(relative, "runs/0002/02-cluster.json");
        assert!(path.is_file());
    }
}
