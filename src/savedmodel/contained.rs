//! Opening files of a model without leaving its directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::damage::{Damage, SavedModelError};

/// A model's directory with its links resolved.
#[derive(Debug, Clone)]
pub(super) struct ModelDir {
    /// As the caller named it, for messages.
    named: PathBuf,
    real: PathBuf,
}

/// An open regular file of a model.
#[derive(Debug)]
pub(super) struct ContainedFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Its size when it was opened, in bytes.
    pub(super) size: u64,
}

impl ModelDir {
    /// Resolves the directory; it may itself be a link.
    pub(super) fn open(dir: &Path) -> Result<Self, SavedModelError> {
        let real = dir.canonicalize().map_err(|source| SavedModelError::Io { path: dir.to_owned(), source })?;
        Ok(Self { named: dir.to_owned(), real })
    }

    /// The directory as the caller named it.
    pub(super) fn path(&self) -> &Path {
        &self.named
    }

    /// Opens a file of the model, or `None` where there is none.
    ///
    /// A link is followed only to a regular file below the directory: anything else would let a model name any file
    /// of the machine, or hang on a pipe.
    pub(super) fn file(&self, name: &str) -> Result<Option<ContainedFile>, SavedModelError> {
        let path = self.named.join(name);
        let fail = |source| SavedModelError::Io { path: path.clone(), source };
        let target = match self.real.join(name).canonicalize() {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        if !target.starts_with(&self.real) {
            return Err(SavedModelError::OutsideModel { path, target });
        }
        if !target.metadata().map_err(fail)?.is_file() {
            return Err(fail(io::Error::other("not a regular file")));
        }
        let file = File::open(&target).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        Ok(Some(ContainedFile { path, file, size }))
    }
}

impl ContainedFile {
    /// The whole file, refused when larger than `limit` bytes.
    pub(super) fn read(mut self, limit: u64) -> Result<(PathBuf, Vec<u8>), SavedModelError> {
        if self.size > limit {
            let damage = Damage::TooLarge { limit, actual: self.size };
            return Err(SavedModelError::Damaged { path: self.path, damage });
        }
        let mut bytes = Vec::with_capacity(self.size as usize);
        // Bounded by what was seen above, so that a file that grows meanwhile cannot exhaust the memory.
        match self.file.by_ref().take(self.size).read_to_end(&mut bytes) {
            Ok(_) => Ok((self.path, bytes)),
            Err(source) => Err(SavedModelError::Io { path: self.path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_may_stay_inside_but_not_leave() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("1");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(home.path().join("secret"), b"x").unwrap();
        std::fs::write(dir.join("real"), b"abc").unwrap();
        symlink("real", dir.join("inside")).unwrap();
        symlink("../secret", dir.join("outside")).unwrap();
        symlink("nowhere", dir.join("dangling")).unwrap();
        std::fs::create_dir(dir.join("folder")).unwrap();

        let model = ModelDir::open(&dir).unwrap();
        assert_eq!(model.file("inside").unwrap().unwrap().read(3).unwrap().1, b"abc");
        assert!(matches!(model.file("outside"), Err(SavedModelError::OutsideModel { .. })));
        assert!(model.file("dangling").unwrap().is_none());
        assert!(matches!(model.file("folder"), Err(SavedModelError::Io { .. })));
        let error = model.file("real").unwrap().unwrap().read(2).unwrap_err();
        assert!(matches!(error, SavedModelError::Damaged { damage: Damage::TooLarge { limit: 2, actual: 3 }, .. }));
    }
}
