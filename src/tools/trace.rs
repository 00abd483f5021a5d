//! `--trace`: each command, its output, and what was read in it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A stream that several writers share; each write is whole.
#[derive(Clone)]
pub struct SharedWriter(Arc<Mutex<Box<dyn Write + Send>>>);

impl SharedWriter {
    /// Shares a stream.
    pub fn new(stream: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }
}

impl Write for SharedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Where commands are shown; silent unless somebody asked.
#[derive(Clone, Default)]
pub struct Trace(Option<SharedWriter>);

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({})", if self.is_on() { "on" } else { "off" })
    }
}

impl Trace {
    /// Shows everything on a stream.
    pub fn to(stream: SharedWriter) -> Self {
        Self(Some(stream))
    }

    /// Whether somebody asked.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A command starts.
    pub(super) fn command(&self, words: &str) {
        self.line(&format!("+ {words}"));
    }

    /// A line of its output.
    pub(super) fn output(&self, mark: &str, line: &str) {
        self.line(&format!("  {mark} {line}"));
    }

    /// It ended.
    pub(super) fn ended(&self, how: &str, took: Duration) {
        self.line(&format!("  = {how} after {:.1}s", took.as_secs_f64()));
    }

    /// What was read in the output.
    pub fn read(&self, what: &str) {
        self.line(&format!("  > read: {what}"));
    }

    fn line(&self, text: &str) {
        if let Some(stream) = &self.0 {
            let mut stream = stream.clone();
            // A reader that has gone away needs no trace.
            let _ = stream.write_all(format!("{text}\n").as_bytes()).and_then(|()| stream.flush());
        }
    }
}
