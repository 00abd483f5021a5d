use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition,
};
use serde_json::Value;

use super::{Key, revision_of};

/// Objects as JSON by `resource/namespace/name`.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// Numbers about the whole: see the two keys below.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const REVISION_KEY: &str = "revision";
/// Version of this layout; a file with a higher one was written by a newer canary-lab.
const FORMAT: u64 = 1;
/// Every object is kept in memory as well, so redb's page cache only serves commits.
const PAGE_CACHE_BYTES: usize = 2 << 20;

/// Why storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is damaged, or not a store; it was renamed so that nothing overwrites it.
    #[error("the store `{}` cannot be read ({reason}); it was kept as `{}`", path.display(), kept.display())]
    Corrupt {
        /// Where the file was.
        path: PathBuf,
        /// Where it is now.
        kept: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has the file open.
    #[error("the store `{}` is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file's layout is newer than this program.
    #[error("the store `{}` has format {found}, this program knows format {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The operating system refused.
    #[error("the store `{}` cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Everything that a file holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(super) revision: u64,
}

/// The open file. After a failed commit it is closed, and reopened by the next one.
pub(super) struct Disk {
    path: PathBuf,
    database: Option<Database>,
}

/// A failed commit, in words; `full` when there is no space left.
pub(super) struct CommitFailure {
    pub(super) full: bool,
    pub(super) reason: String,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        let result = open_database(path).and_then(|database| {
            let contents = read_all(&database, path)?;
            Ok((Self { path: path.to_owned(), database: Some(database) }, contents))
        });
        match result {
            Ok(opened) => Ok(opened),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Damaged(reason)) => Err(keep_aside(path, reason)),
        }
    }

    /// Reopens the file if the last commit failed. Returns what it holds if that may differ from what is in memory.
    pub(super) fn reopen_if_closed(&mut self) -> Result<Option<Contents>, CommitFailure> {
        if self.database.is_some() {
            return Ok(None);
        }
        let failure = |failure: Failure| match failure {
            Failure::Refused(OpenError::Io { source, .. }) => CommitFailure::from_io(&source),
            Failure::Refused(error) => CommitFailure { full: false, reason: error.to_string() },
            Failure::Damaged(reason) => CommitFailure { full: false, reason },
        };
        // A file that vanished would be made anew, and would then lack every object that is only in memory.
        if !self.path.exists() {
            let reason = format!("the store `{}` is gone", self.path.display());
            return Err(CommitFailure { full: false, reason });
        }
        let database = open_database(&self.path).map_err(failure)?;
        let contents = read_all(&database, &self.path).map_err(failure)?;
        self.database = Some(database);
        Ok(Some(contents))
    }

    /// Writes all changes and the new revision in one durable transaction; `None` removes a key.
    pub(super) fn commit<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a Key, Option<&'a Value>)>,
        revision: u64,
    ) -> Result<(), CommitFailure> {
        let Some(database) = &self.database else {
            return Err(CommitFailure { full: false, reason: "the store is closed".to_owned() });
        };
        let result = write_all(database, changes, revision);
        if result.is_err() {
            // redb refuses everything after an I/O error until the file is opened again.
            self.database = None;
        }
        result.map_err(CommitFailure::from_redb)
    }
}

impl CommitFailure {
    fn from_redb(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) => Self::from_io(&source),
            other => Self { full: false, reason: other.to_string() },
        }
    }

    fn from_io(source: &io::Error) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { full, reason: source.to_string() }
    }
}

enum Failure {
    /// The file is fine or unknown, and stays where it is.
    Refused(OpenError),
    /// The file is not a readable store.
    Damaged(String),
}

impl Failure {
    fn of_storage(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
                // A file that ends early shows as an unexpected end, which is damage and not the system's refusal.
                if source.kind() == io::ErrorKind::UnexpectedEof {
                    return Self::Damaged(source.to_string());
                }
                Self::Refused(OpenError::Io { path: path.to_owned(), source })
            }
            redb::Error::DatabaseAlreadyOpen => Self::Refused(OpenError::InUse { path: path.to_owned() }),
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn open_database(path: &Path) -> Result<Database, Failure> {
    let opening = || {
        let mut builder = Database::builder();
        builder.set_cache_size(PAGE_CACHE_BYTES).set_check_integrity_on_open(true);
        builder.create(path)
    };
    // redb answers some kinds of damage with a panic.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(opening)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::Storage(StorageError::Io(source)))) => {
            Err(Failure::of_storage(path, redb::Error::Io(source)))
        }
        Ok(Err(error)) => Err(Failure::of_storage(path, error.into())),
        Err(_) => Err(Failure::Damaged("its structure is inconsistent".to_owned())),
    }
}

fn read_all(database: &Database, path: &Path) -> Result<Contents, Failure> {
    let reading = || -> Result<Result<Contents, Failure>, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = match transaction.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Ok(Contents::default())),
            Err(error) => return Err(error.into()),
        };
        let number = |name: &str| -> Result<u64, redb::Error> { Ok(meta.get(name)?.map_or(0, |found| found.value())) };
        let found = number(FORMAT_KEY)?;
        if found > FORMAT {
            return Ok(Err(Failure::Refused(OpenError::Newer { path: path.to_owned(), found })));
        }
        let mut contents = Contents { objects: BTreeMap::new(), revision: number(REVISION_KEY)? };
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let (key, value) = entry?;
            let (Some(key), Ok(object)) = (Key::parse(key.value()), serde_json::from_slice::<Value>(value.value()))
            else {
                return Ok(Err(Failure::Damaged(format!("the object `{}` is not readable", key.value()))));
            };
            contents.revision = contents.revision.max(revision_of(&object));
            contents.objects.insert(key, Arc::new(object));
        }
        Ok(Ok(contents))
    };
    reading().map_err(|error| Failure::of_storage(path, error))?
}

fn write_all<'a>(
    database: &Database,
    changes: impl Iterator<Item = (&'a Key, Option<&'a Value>)>,
    revision: u64,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(redb::Durability::Immediate)?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for (key, object) in changes {
            let key = key.to_string();
            match object {
                Some(object) => {
                    objects.insert(key.as_str(), object.to_string().as_bytes())?;
                }
                None => {
                    objects.remove(key.as_str())?;
                }
            }
        }
        let mut meta = transaction.open_table(META)?;
        if meta.is_empty()? {
            meta.insert(FORMAT_KEY, FORMAT)?;
        }
        meta.insert(REVISION_KEY, revision)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Renames a damaged file to the first free `NAME.corrupt-N`.
fn keep_aside(path: &Path, reason: String) -> OpenError {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".corrupt");
    let free = (1_u32..=u32::from(u16::MAX))
        .map(|number| {
            let mut numbered = name.clone();
            numbered.push(format!("-{number}"));
            path.with_file_name(numbered)
        })
        .find(|candidate| !candidate.exists());
    let kept = free.unwrap_or_else(|| path.with_file_name(name));
    match std::fs::rename(path, &kept) {
        Ok(()) => OpenError::Corrupt { path: path.to_owned(), kept, reason },
        Err(source) => OpenError::Io { path: path.to_owned(), source },
    }
}
