//! Downloads: streamed to disk, resumed after a cut, verified before they count.
//!
//! A [`Download`] names one file, the places to get it from, its size and its checksum. [`Downloader::fetch`] leaves
//! either the verified file at the target or a `.partial` beside it that the next call goes on from; a file at the
//! target is always whole, because it gets its name only after its checksum held. Proxies of the environment are
//! honoured. Called for pretrained weights and releases; it prints nothing and reports [`Progress`].

mod checksum;
mod error;
mod text;
mod transfer;

pub use checksum::{Checksum, ChecksumError};
pub use error::DownloadError;
pub use transfer::{Download, Downloader, Fetched, Patience, Progress};

#[cfg(test)]
mod tests;
