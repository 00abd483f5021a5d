//! Unpacking a release: into a temporary directory, renamed when whole; nothing leaves it.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use thiserror::Error;

/// More than this is no Istio release (1.12.7 unpacks to 90 MB); a small file that unpacks to a full disk stops here.
const LARGEST: u64 = 1 << 30;

/// Why an archive was not unpacked.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// An entry would lie outside, or is no plain file or directory.
    #[error("{entry} in {archive}: {why}", archive = archive.display())]
    Unsafe {
        /// The archive.
        archive: PathBuf,
        /// The entry's path.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is cut off, or no gzipped tar at all.
    #[error("{archive} is damaged: {detail}", archive = archive.display())]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// What the reader said.
        detail: String,
    },
    /// The disk refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Unpacks a gzipped tar so that `target` appears whole or not at all. Every entry must lie below one top directory, which
/// becomes `target`. What was at `target` before is replaced.
pub fn unpack(archive: &Path, target: &Path) -> Result<(), ArchiveError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ArchiveError::Io { path, source }
    };
    let parent = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(at(parent))?;
    let staging = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(parent).map_err(at(parent))?;
    let top = write_entries(archive, staging.path())?;
    let unpacked = staging.path().join(top);
    if target.symlink_metadata().is_ok() {
        fs::remove_dir_all(target).map_err(at(target))?;
    }
    fs::rename(&unpacked, target).map_err(at(target))
}

fn write_entries(archive: &Path, staging: &Path) -> Result<PathBuf, ArchiveError> {
    let damaged = |error: io::Error| ArchiveError::Damaged { archive: archive.to_owned(), detail: error.to_string() };
    let refuse = |entry: &Path, why| ArchiveError::Unsafe {
        archive: archive.to_owned(),
        entry: entry.display().to_string(),
        why,
    };
    let file = File::open(archive).map_err(|source| ArchiveError::Io { path: archive.to_owned(), source })?;
    let mut tar = Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let (mut top, mut total) = (None::<PathBuf>, 0_u64);
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        // Headers of the format itself, such as a comment with the commit.
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        if !matches!(kind, EntryType::Regular | EntryType::Directory) {
            return Err(refuse(&path, "a link, a device or another special file, which a release has no use for"));
        }
        let clean = plain(&path).ok_or_else(|| refuse(&path, "its path leads out of the archive"))?;
        let Some(first) = clean.components().next() else { continue };
        let first = PathBuf::from(first.as_os_str());
        match &top {
            None => top = Some(first),
            Some(top) if *top == first => {}
            Some(_) => return Err(refuse(&path, "it lies beside the release's directory")),
        }
        total = total.saturating_add(entry.header().size().map_err(damaged)?);
        if total > LARGEST {
            return Err(refuse(&path, "the archive unpacks to more than any release"));
        }
        let place = staging.join(&clean);
        let at = |source| ArchiveError::Io { path: place.clone(), source };
        if kind == EntryType::Directory {
            fs::create_dir_all(&place).map_err(at)?;
            continue;
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(at)?;
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut out = open_new(&place, executable).map_err(at)?;
        // An error of the reader and one of the disk look alike; the disk's come with a code of the system.
        io::copy(&mut entry, &mut out)
            .map_err(|error| if error.raw_os_error().is_some() { at(error) } else { damaged(error) })?;
    }
    let top = top.ok_or_else(|| damaged(io::Error::other("it is empty")))?;
    if staging.join(&top).is_dir() { Ok(top) } else { Err(damaged(io::Error::other("it holds one file only"))) }
}

/// The path without `.`; `None` for one that is absolute or climbs.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

fn open_new(path: &Path, executable: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    File::options().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    type Entries<'e> = &'e [(&'e str, EntryType, &'e str)];

    /// A gzipped tar; the paths are written as they are, also where tar itself would refuse them.
    fn packed(folder: &Path, entries: Entries<'_>) -> PathBuf {
        let file = folder.join("x.tar.gz");
        let mut bytes = Vec::new();
        for (name, kind, contents) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.set_link_name(contents).unwrap();
                header.set_size(0);
            } else {
                header.set_size(contents.len() as u64);
            }
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            if *kind == EntryType::Regular {
                bytes.extend_from_slice(contents.as_bytes());
                bytes.resize(bytes.len().next_multiple_of(512), 0);
            }
        }
        bytes.resize(bytes.len() + 1024, 0);
        let mut out = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
        out.write_all(&bytes).unwrap();
        out.finish().unwrap();
        file
    }

    const GOOD: Entries<'static> = &[
        ("istio-1.12.7/", EntryType::Directory, ""),
        ("./istio-1.12.7/bin/istioctl", EntryType::Regular, "#!/bin/sh\n"),
        ("istio-1.12.7/LICENSE", EntryType::Regular, "text"),
    ];

    #[test]
    fn a_release_appears_whole_and_replaces_a_half_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("istio-1.12.7");
        fs::create_dir_all(target.join("half")).unwrap();
        unpack(&packed(folder.path(), GOOD), &target).unwrap();
        assert!(!target.join("half").exists());
        assert_eq!(fs::read_to_string(target.join("LICENSE")).unwrap(), "text");
        assert_eq!(fs::metadata(target.join("bin/istioctl")).unwrap().permissions().mode() & 0o777, 0o755);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn nothing_escapes() {
        let cases: [(&str, EntryType, &str); 7] = [
            ("../evil", EntryType::Regular, "x"),
            ("istio-1.12.7/../../evil", EntryType::Regular, "x"),
            ("/tmp/evil", EntryType::Regular, "x"),
            ("istio-1.12.7/link", EntryType::Symlink, "/etc"),
            ("istio-1.12.7/hard", EntryType::Link, "/etc/passwd"),
            ("istio-1.12.7/device", EntryType::Block, ""),
            ("other/evil", EntryType::Regular, "x"),
        ];
        for case in cases {
            let folder = tempfile::tempdir().unwrap();
            let inside = folder.path().join("inside");
            fs::create_dir(&inside).unwrap();
            let target = inside.join("istio");
            let error = unpack(&packed(folder.path(), &[GOOD[0], case]), &target).unwrap_err();
            assert!(matches!(error, ArchiveError::Unsafe { .. }), "{case:?}: {error}");
            assert!(!target.exists() && !folder.path().join("evil").exists(), "{case:?}");
            assert_eq!(fs::read_dir(&inside).unwrap().count(), 0, "{case:?}: nothing is left behind");
        }
    }

    #[test]
    fn a_cut_archive_is_damaged_and_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let archive = packed(folder.path(), GOOD);
        let whole = fs::read(&archive).unwrap();
        let target = folder.path().join("istio");
        fs::create_dir(&target).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"<html>log in</html>", b""] {
            fs::write(&archive, bytes).unwrap();
            let error = unpack(&archive, &target).unwrap_err();
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
            assert!(target.exists());
        }
    }
}
