//! The Istio release of the tutorial: where it lies, how it is downloaded and unpacked, and what its istioctl installs and
//! removes.
//!
//! [`Release`] names the archive for this machine; [`fetch`] brings it into the lab's cache, verified by the checksum that
//! is published beside it, and unpacked: nothing of it has its final name before it is whole. [`Installer`] runs the
//! istioctl in it and takes away what Istio's own uninstall leaves. Called by the providers of real clusters and by
//! `prefetch`; the embedded mesh has nothing to do with it.

mod archive;
mod install;
mod release;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveError, unpack};
pub use install::{InstallError, Installer, SURVIVORS, is_installer_option};
pub use release::{Fetched, Release, ReleaseError, download, fetch, take_from};
