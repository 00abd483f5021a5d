//! One command at a time changes a lab.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::home::{Home, HomeError};

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it does, such as `up`.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why the lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another command holds it.
    #[error("{}", held_text(holder.as_ref()))]
    Held {
        /// Who, when the lock file tells.
        holder: Option<Holder>,
    },
    /// The lock file cannot be opened or written.
    #[error(transparent)]
    Home(#[from] HomeError),
}

fn held_text(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, command, since }) => {
            format!("`canary-lab {command}` (process {pid}) is changing this lab since {since:.0}")
        }
        None => "another canary-lab is changing this lab".to_owned(),
    }
}

/// The held lock; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at once or tells who holds it.
    pub fn take(home: &Home, command: &str, now: Timestamp) -> Result<Self, LockError> {
        let path = home.lock_file();
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| LockError::Home(HomeError::NotWritable { path, source })
        };
        let open = || {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed(&path))
        };
        let mut file = open()?;
        match file.try_lock() {
            // A command that took the lab down has taken its lock file along: the file that counts is another one.
            Ok(()) if !is_at(&file, &path) => return Self::take(home, command, now),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
                return Err(LockError::Held { holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
        let holder = Holder { pid: std::process::id(), command: command.to_owned(), since: now };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&mut file).map_err(failed(&path))?;
        Ok(Self { file })
    }
}

/// Whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &std::path::Path) -> bool {
    path.exists()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The text only explains the lock while it is held; a text that stays does no harm.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_hears_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let since: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let lock = Lock::take(&home, "up", since).unwrap();
        let error = Lock::take(&home, "down", Timestamp::now()).unwrap_err();
        let LockError::Held { holder: Some(holder) } = &error else { panic!("{error}") };
        assert_eq!(*holder, Holder { pid: std::process::id(), command: "up".into(), since });
        assert!(
            error.to_string().contains("`canary-lab up`") && error.to_string().contains("2026-01-02T03:04:05Z"),
            "{error}"
        );
        drop(lock);
        drop(Lock::take(&home, "down", Timestamp::now()).unwrap());
    }

    #[test]
    fn leftover_text_does_not_hold_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        std::fs::write(home.lock_file(), r#"{"pid":1,"command":"up","since":"2026-01-02T03:04:05Z"}"#).unwrap();
        assert!(Lock::take(&home, "up", Timestamp::now()).is_ok());
    }
}
