//! Log lines with TensorFlow's prefix: time, severity, file and line of the original.

use std::io::Write as _;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `I`
    Info,
    /// `W`
    Warning,
    /// `E`
    Error,
}

/// Writes log lines to standard error. Cheap to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Log {
    /// Writes `YYYY-MM-DD HH:MM:SS.uuuuuu: I FILE] TEXT`, in local time. `place` is file and line, for example
    /// `tensorflow_serving/core/loader_harness.cc:74`.
    ///
    /// A log that cannot be written is dropped: the server goes on.
    pub fn line(self, level: Level, place: &str, text: &str) {
        let now = jiff::Zoned::now();
        let letter = match level {
            Level::Info => 'I',
            Level::Warning => 'W',
            Level::Error => 'E',
        };
        let line = format!("{}: {letter} {place}] {text}\n", now.strftime("%Y-%m-%d %H:%M:%S%.6f"));
        // One call, so that lines of several threads do not mix.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// [`Log::line`] with [`Level::Info`] and a place under `tensorflow_serving/`.
    pub fn info(self, place: &str, text: &str) {
        self.line(Level::Info, &format!("tensorflow_serving/{place}"), text);
    }

    /// [`Log::line`] with [`Level::Warning`] and a place under `tensorflow_serving/`.
    pub fn warning(self, place: &str, text: &str) {
        self.line(Level::Warning, &format!("tensorflow_serving/{place}"), text);
    }

    /// [`Log::line`] with [`Level::Error`] and a place under `tensorflow_serving/`.
    pub fn error(self, place: &str, text: &str) {
        self.line(Level::Error, &format!("tensorflow_serving/{place}"), text);
    }

    /// A line of the HTTP library's own log: `[FILE : LINE] NET_LOG: TEXT`.
    pub fn net(self, place: &str, text: &str) {
        let _ = std::io::stderr().lock().write_all(format!("[{place}] NET_LOG: {text}\n").as_bytes());
    }
}
