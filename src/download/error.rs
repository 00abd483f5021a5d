//! Why a download failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Checksum;

/// Why a download failed, with what a person needs to act on it.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The host could not be reached.
    #[error("{url} could not be reached: {detail}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The system's words.
        detail: String,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// HTTP status code.
        status: u16,
    },
    /// The server sends from address to address.
    #[error("{url} leads to other addresses without end: {detail}")]
    Redirects {
        /// What was asked for.
        url: String,
        /// What the last answer was taken for.
        detail: String,
    },
    /// The transfer broke, and broke again after it was resumed.
    #[error("{url} broke off after {received} bytes: {detail}")]
    Cut {
        /// What was asked for.
        url: String,
        /// Bytes on disk.
        received: u64,
        /// The system's words.
        detail: String,
    },
    /// Nothing came for too long.
    #[error("{url} sent nothing for {} s, after {received} bytes", limit.as_secs_f32())]
    Stalled {
        /// What was asked for.
        url: String,
        /// Bytes on disk.
        received: u64,
        /// How long was waited.
        limit: Duration,
    },
    /// A page for people came where a file should: a login page of a network, or a proxy's message.
    #[error("{url} answered with a web page instead of the file: `{excerpt}`")]
    WebPage {
        /// What was asked for.
        url: String,
        /// How the page begins.
        excerpt: String,
    },
    /// The file has another size than published.
    #[error("{url} has {found} bytes, not the published {expected}")]
    WrongSize {
        /// What was asked for.
        url: String,
        /// The published size in bytes.
        expected: u64,
        /// The size that came, in bytes.
        found: u64,
    },
    /// The file has another checksum than published.
    #[error("{url} has {found}, not the published {expected}")]
    WrongChecksum {
        /// What was asked for.
        url: String,
        /// The published checksum.
        expected: Checksum,
        /// The checksum of what came.
        found: Checksum,
    },
    /// The disk has no room for it.
    #[error("{} has room for {available} bytes, and {needed} are needed", path.display())]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// None of several places had it.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    EverySource {
        /// What went wrong at each, in the order in which they were asked; none is of this variant.
        errors: Vec<DownloadError>,
    },
    /// No place was given to get it from.
    #[error("there is no URL to download {name} from")]
    NoSource {
        /// The file's name.
        name: String,
    },
}
