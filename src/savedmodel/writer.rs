//! Writing a SavedModel's directory.

use std::path::{Path, PathBuf};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::bundle::BundleWriter;
use super::damage::SavedModelError;
use super::proto::{DataType, SavedModel};

/// Writes a version directory: tensors first, the graph last, everything visible at once.
///
/// It works in a hidden directory beside the wanted one, which is removed when the writer is dropped unfinished.
#[derive(Debug)]
pub struct SavedModelWriter {
    destination: PathBuf,
    staging: tempfile::TempDir,
    bundle: BundleWriter,
}

/// One file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its path below the version directory, with `/`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl WrittenFile {
    /// The SHA-256 in lowercase hexadecimal.
    pub fn sha256_hex(&self) -> String {
        self.sha256.iter().fold(String::new(), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl SavedModelWriter {
    /// Prepares to write `destination`, whose parent directory is created if need be.
    pub fn create(destination: &Path) -> Result<Self, SavedModelError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SavedModelError::Io { path, source }
        };
        let parent = destination.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        let staging = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent).map_err(io(parent))?;
        let variables = staging.path().join("variables");
        std::fs::create_dir(&variables).map_err(io(&variables))?;
        let bundle = BundleWriter::create(&variables, "variables")?;
        Ok(Self { destination: destination.to_owned(), staging, bundle })
    }

    /// Appends a variable's value; `bytes` are its elements in row-major order, little-endian.
    pub fn add_variable(
        &mut self,
        key: &str,
        dtype: DataType,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<(), SavedModelError> {
        self.bundle.add(key, dtype, shape, bytes)
    }

    /// Writes the index and `saved_model.pb`; nothing is visible under the destination's name yet.
    pub fn finish(self, model: &SavedModel) -> Result<FinishedModel, SavedModelError> {
        let root = self.staging.path().to_owned();
        let mut files = Vec::new();
        for file in self.bundle.finish()? {
            let name = file.path.strip_prefix(&root).unwrap_or(&file.path).to_string_lossy().into_owned();
            files.push(WrittenFile { name, bytes: file.bytes, sha256: file.sha256 });
        }
        let encoded = model.encode_to_vec();
        let path = root.join("saved_model.pb");
        std::fs::write(&path, &encoded).map_err(|source| SavedModelError::Io { path, source })?;
        files.push(WrittenFile {
            name: "saved_model.pb".to_owned(),
            bytes: encoded.len() as u64,
            sha256: Sha256::digest(&encoded).into(),
        });
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(FinishedModel { files, staging: self.staging, destination: self.destination })
    }
}

/// A model that is complete on disk, but not yet under its name.
#[derive(Debug)]
pub struct FinishedModel {
    files: Vec<WrittenFile>,
    staging: tempfile::TempDir,
    destination: PathBuf,
}

impl FinishedModel {
    /// The files, sorted by name.
    pub fn files(&self) -> &[WrittenFile] {
        &self.files
    }

    /// Moves the directory to its name; what was there before is replaced.
    pub fn publish(self) -> Result<Vec<WrittenFile>, SavedModelError> {
        put_in_place(self.staging, &self.destination)?;
        Ok(self.files)
    }
}

/// Moves the finished directory to its name. A directory in the way is moved aside first and then removed, because a
/// rename cannot replace one that is not empty.
pub fn put_in_place(staging: tempfile::TempDir, destination: &Path) -> Result<(), SavedModelError> {
    let io = |source| SavedModelError::Io { path: destination.to_owned(), source };
    // Temporary directories are private to their owner; a model is for every process that serves it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(staging.path(), open).map_err(io)?;
    let parent = destination.parent().unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new().prefix(".replaced-").tempdir_in(parent).map_err(io)?;
    match std::fs::rename(destination, aside.path().join("old")) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    std::fs::rename(staging.keep(), destination).map_err(io)
}
