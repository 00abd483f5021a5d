//! Where the release lies, and how it comes into the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::archive::{ArchiveError, unpack};
use crate::download::{Checksum, Download, DownloadError, Downloader, Fetched as Transferred, Progress};
use crate::tools::{Call, Tool, ToolError, Trace, istioctl};
use crate::ui::Environment;

/// Where Istio publishes its releases; the tutorial's own URL.
const SOURCE: &str = "https://github.com/istio/istio/releases/download";
/// A checksum's file is one short line.
const CHECKSUM_LIMIT: usize = 4096;
/// How long istioctl may take to say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// A release of Istio for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Such as `1.12.7`.
    pub version: String,
    /// `linux-amd64`, `linux-arm64`, `osx` or `osx-arm64`.
    pub platform: &'static str,
    source: String,
}

/// Why there is no release.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// Istio does not publish one for this machine.
    #[error("Istio publishes no release for {system} on {processor}")]
    NoPlatform {
        /// The operating system.
        system: String,
        /// The processor.
        processor: String,
    },
    /// What lies beside the archive is no checksum of it.
    #[error("{url} holds no SHA-256: `{found}`")]
    NoChecksum {
        /// Where it should be.
        url: String,
        /// What is there.
        found: String,
    },
    /// A transfer failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The archive was not unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its istioctl does not run.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Its istioctl is of another version.
    #[error("istioctl of the release {wanted} says {found}")]
    OtherVersion {
        /// The release's version.
        wanted: String,
        /// What istioctl said.
        found: String,
    },
    /// Something else went wrong on this machine.
    #[error("{0}")]
    Machine(String),
}

/// An unpacked release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its directory, `istio-1.12.7`.
    pub folder: PathBuf,
    /// Its istioctl.
    pub istioctl: PathBuf,
    /// Whether it had to be downloaded now.
    pub downloaded: bool,
}

impl Release {
    /// The release of this version for this machine, from Istio's own place or from a mirror: a URL below which
    /// `VERSION/istio-VERSION-PLATFORM.tar.gz` lies, or the URL of that archive itself.
    pub fn new(version: &str, mirror: Option<&str>) -> Result<Self, ReleaseError> {
        Self::for_machine(version, mirror, std::env::consts::OS, std::env::consts::ARCH)
    }

    fn for_machine(version: &str, mirror: Option<&str>, system: &str, processor: &str) -> Result<Self, ReleaseError> {
        let platform = match (system, processor) {
            ("linux", "x86_64") => "linux-amd64",
            ("linux", "aarch64") => "linux-arm64",
            ("macos", "x86_64") => "osx",
            ("macos", "aarch64") => "osx-arm64",
            _ => return Err(ReleaseError::NoPlatform { system: system.to_owned(), processor: processor.to_owned() }),
        };
        let source = mirror.unwrap_or(SOURCE).trim_end_matches('/').to_owned();
        Ok(Self { version: version.to_owned(), platform, source })
    }

    /// The archive's file name.
    pub fn archive_name(&self) -> String {
        format!("istio-{}-{}.tar.gz", self.version, self.platform)
    }

    /// Where the archive lies.
    pub fn url(&self) -> String {
        if self.source.ends_with(".tar.gz") {
            return self.source.clone();
        }
        format!("{}/{}/{}", self.source, self.version, self.archive_name())
    }

    /// Where it is unpacked in a cache.
    pub fn folder(&self, cache: &Path) -> PathBuf {
        cache.join("istio").join(self.platform).join(format!("istio-{}", self.version))
    }

    /// Where the archive is kept in a cache.
    pub fn archive(&self, cache: &Path) -> PathBuf {
        cache.join("istio").join(self.archive_name())
    }
}

/// Brings the release into `cache`: what is there is verified, what is missing downloaded; then its istioctl is asked who
/// it is. Begun and cut off anywhere, it can be begun again.
pub async fn fetch(
    release: &Release,
    cache: &Path,
    downloader: &Downloader,
    environment: &Environment,
    trace: &Trace,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Fetched, ReleaseError> {
    let folder = release.folder(cache);
    let istioctl = folder.join("bin").join("istioctl");
    // An unpacked release that says its version was renamed into place whole.
    if istioctl.is_file() && ask_version(release, &istioctl, environment, trace).await.is_ok() {
        return Ok(Fetched { folder, istioctl, downloaded: false });
    }
    let (archive, transferred) = download(release, cache, downloader, progress).await?;
    let (from, to) = (archive.clone(), folder.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&from, &to)).await;
    unpacked.map_err(|error| ReleaseError::Machine(error.to_string()))??;
    ask_version(release, &istioctl, environment, trace).await?;
    Ok(Fetched { folder, istioctl, downloaded: matches!(transferred, Transferred::Downloaded { .. }) })
}

/// Brings the release's archive into `cache`, verified by the checksum that is published beside it, and leaves it packed.
pub async fn download(
    release: &Release,
    cache: &Path,
    downloader: &Downloader,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(PathBuf, Transferred), ReleaseError> {
    let archive = release.archive(cache);
    let checksum = published_checksum(release, &archive, downloader).await?;
    let download = Download { name: release.archive_name(), urls: vec![release.url()], size: None, checksum };
    let transferred = downloader.fetch(&download, &archive, progress).await?;
    Ok((archive, transferred))
}

/// Takes the archive out of a folder that labs share, such as a stick that may be read only, into the lab's own cache,
/// with the checksum that it is going to be verified by. What the cache has already stays.
pub fn take_from(release: &Release, shared: &Path, cache: &Path) -> std::io::Result<()> {
    let (from, to) = (release.archive(shared), release.archive(cache));
    if to.is_file() || !from.is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(to.parent().unwrap_or(cache))?;
    // The archive comes last: one that is there has its checksum.
    std::fs::copy(checksum_file(&from), checksum_file(&to))?;
    let half = to.with_extension("copied");
    std::fs::copy(&from, &half)?;
    std::fs::rename(half, to)
}

fn checksum_file(archive: &Path) -> PathBuf {
    archive.with_extension("gz.sha256")
}

/// The checksum beside the archive. It is kept with the archive, so that a complete cache needs no network.
async fn published_checksum(
    release: &Release,
    archive: &Path,
    downloader: &Downloader,
) -> Result<Checksum, ReleaseError> {
    let kept = checksum_file(archive);
    if archive.is_file()
        && let Some(checksum) = std::fs::read_to_string(&kept).ok().and_then(|text| read_checksum(&text, release))
    {
        return Ok(checksum);
    }
    let url = format!("{}.sha256", release.url());
    let text = downloader.text(&url, CHECKSUM_LIMIT).await?;
    let Some(checksum) = read_checksum(&text, release) else {
        let found = text.lines().next().unwrap_or_default().chars().take(80).collect();
        return Err(ReleaseError::NoChecksum { url, found });
    };
    let write = || {
        std::fs::create_dir_all(kept.parent()?).ok()?;
        std::fs::write(&kept, &text).ok()
    };
    // A checksum that could not be kept is asked for again.
    let _ = write();
    Ok(checksum)
}

/// `DIGEST FILE`, with one space or two, or a `*` for binary; only the digest; lines about other files are passed over.
fn read_checksum(text: &str, release: &Release) -> Option<Checksum> {
    let archive = release.archive_name();
    text.lines().find_map(|line| {
        let (digest, file) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let file = file.trim().trim_start_matches('*');
        let about_it = file.is_empty() || file.rsplit('/').next() == Some(archive.as_str());
        let checksum = digest.parse::<Checksum>().ok().filter(|checksum| matches!(checksum, Checksum::Sha256(_)))?;
        about_it.then_some(checksum)
    })
}

async fn ask_version(
    release: &Release,
    program: &Path,
    environment: &Environment,
    trace: &Trace,
) -> Result<(), ReleaseError> {
    let tool = Tool::new(program, environment, trace.clone());
    let ran = tool.run(Call::new(["version", "--remote=false"], PATIENCE)).await?;
    match istioctl::version(&ran) {
        Some(version) if version.to_string() == release.version => {
            trace.read(&format!("istioctl {version}"));
            Ok(())
        }
        found => {
            let found = found.map_or_else(|| ran.last_lines(1).concat(), |version| version.to_string());
            Err(ReleaseError::OtherVersion { wanted: release.version.clone(), found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_its_archive() {
        for (system, processor, name) in [
            ("linux", "x86_64", "istio-1.12.7-linux-amd64.tar.gz"),
            ("linux", "aarch64", "istio-1.12.7-linux-arm64.tar.gz"),
            ("macos", "x86_64", "istio-1.12.7-osx.tar.gz"),
            ("macos", "aarch64", "istio-1.12.7-osx-arm64.tar.gz"),
        ] {
            let release = Release::for_machine("1.12.7", None, system, processor).unwrap();
            assert_eq!(release.url(), format!("https://github.com/istio/istio/releases/download/1.12.7/{name}"));
        }
        assert!(Release::for_machine("1.12.7", None, "windows", "x86_64").is_err());
        let mirror = Release::for_machine("1.12.7", Some("http://mirror/istio/"), "linux", "x86_64").unwrap();
        assert_eq!(mirror.url(), "http://mirror/istio/1.12.7/istio-1.12.7-linux-amd64.tar.gz");
        let direct = Release::for_machine("1.12.7", Some("http://m/x.tar.gz"), "linux", "x86_64").unwrap();
        assert_eq!(direct.url(), "http://m/x.tar.gz");
    }

    #[test]
    fn checksums_are_read_in_every_form() {
        let release = Release::for_machine("1.12.7", None, "linux", "x86_64").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let name = release.archive_name();
        for text in [
            format!("{digest} {name}\n"),
            format!("{digest}  {name}\n"),
            format!("{digest} *{name}"),
            format!("{digest}\n"),
            format!("{digest}  ./out/{name}\r\n"),
            format!("{}  other.tar.gz\n{digest}  {name}\n", digest.replace('b', "c")),
        ] {
            let found = read_checksum(&text, &release).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.to_string(), format!("sha256:{digest}"), "{text}");
        }
        for text in ["", "Not Found", "<html>", &format!("{digest} other.tar.gz"), "900150983cd24fb0d6963f7d28e17f72 x"]
        {
            assert!(read_checksum(text, &release).is_none(), "{text}");
        }
    }
}
