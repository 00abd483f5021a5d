//! The directory that holds everything of one lab.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ui::Environment;

/// Names the home directory where no flag does.
pub const HOME_VARIABLE: &str = "CANARY_LAB_HOME";

/// A lab's home directory and the places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why there is no usable home.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Nothing says where it should be.
    #[error("neither `--home`, {HOME_VARIABLE}, XDG_DATA_HOME nor HOME says where the lab should live")]
    Unknown,
    /// It cannot be created or written.
    #[error("{path}: {source}", path = path.display())]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Home {
    /// The flag's directory, else CANARY_LAB_HOME's, else `canary-lab` in the XDG data directory. Relative paths are
    /// taken from the current directory. Nothing is created.
    pub fn resolve(flag: Option<&Path>, environment: &Environment) -> Result<Self, HomeError> {
        let named = flag.map(Path::to_path_buf).or_else(|| environment.get(HOME_VARIABLE).map(PathBuf::from));
        let root = match named {
            Some(path) => std::path::absolute(&path).map_err(|source| HomeError::NotWritable { path, source })?,
            None => environment
                .absolute_path("XDG_DATA_HOME")
                .or_else(|| Some(environment.absolute_path("HOME")?.join(".local/share")))
                .ok_or(HomeError::Unknown)?
                .join("canary-lab"),
        };
        Ok(Self { root })
    }

    /// A home at an absolute path.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates the directory, closed to other users, and shows that it can be written.
    pub fn prepare(&self) -> Result<(), HomeError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| HomeError::NotWritable { path, source }
        };
        if !self.root.is_dir() {
            std::fs::create_dir_all(&self.root).map_err(failed(&self.root))?;
            close_to_others(&self.root).map_err(failed(&self.root))?;
        }
        let trial = tempfile::Builder::new().prefix(".writable").tempfile_in(&self.root).map_err(failed(&self.root))?;
        // An empty file needs no block: only written bytes show that the file system has room.
        std::io::Write::write_all(&mut trial.as_file(), &[0; 4096]).map_err(failed(&self.root))?;
        trial.as_file().sync_all().map_err(failed(&self.root))
    }

    /// Takes away what writers that were cut off have left: files and directories that were to be moved to their place,
    /// and ones that were on their way out. Only for who holds the lock; what cannot be removed stays for the next time.
    pub fn sweep(&self) {
        for directory in [self.root.clone(), self.work(), self.runs(), self.cache()] {
            sweep_directory(&directory);
        }
        for below in [self.runs(), self.cache(), self.models()] {
            for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
                sweep_directory(&entry.path());
            }
        }
    }

    /// Removes a directory of the home so that it is either there or gone under its name, whenever this is cut off.
    pub fn discard(&self, path: &Path) -> io::Result<()> {
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if !found.is_dir() {
            return std::fs::remove_file(path);
        }
        let going = tempfile::Builder::new().prefix(GOING).tempdir_in(&self.root)?;
        std::fs::rename(path, going.path().join("gone"))?;
        going.close()
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the lab remembers.
    pub fn state_file(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Held by the command that changes the lab.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The cluster's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// The tutorial's files under their own names; the learner's terminal starts here.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The picture of the request body and of predictions, once one has been chosen: a JPEG or PNG.
    pub fn picture(&self) -> PathBuf {
        self.root.join("picture")
    }

    /// One directory a model.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// What can be made or fetched again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// What was downloaded, unless `--cache` names another place.
    pub fn downloads(&self) -> PathBuf {
        self.cache().join("downloads")
    }

    /// One directory a run: events and evidence.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Bundles that were made before something was removed.
    pub fn diagnostics(&self) -> PathBuf {
        self.root.join("diagnostics")
    }

    /// The embedded cluster's storage, keys and logs.
    pub fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }
}

/// What lies in a directory, by name; nothing where it cannot be read.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Begins the name of a directory that is being removed.
const GOING: &str = ".going-";
/// Begin the names of what is not in its place yet, or not any more.
const UNFINISHED: [&str; 5] = [".new-", ".writable", ".partial-", ".replaced-", GOING];

fn sweep_directory(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !UNFINISHED.iter().any(|prefix| name.starts_with(prefix)) && name != "kubeconfig.partial" {
            continue;
        }
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_directory { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
    }
}

#[cfg(unix)]
fn close_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn close_to_others(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn the_most_explicit_place_wins() {
        let full = environment(&[("CANARY_LAB_HOME", "/lab"), ("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")]);
        let root = |flag: Option<&str>, environment: &Environment| {
            Home::resolve(flag.map(Path::new), environment).map(|home| home.root().to_path_buf())
        };
        assert_eq!(root(Some("/flag"), &full).unwrap(), Path::new("/flag"));
        assert_eq!(root(None, &full).unwrap(), Path::new("/lab"));
        let data = environment(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")]);
        assert_eq!(root(None, &data).unwrap(), Path::new("/data/canary-lab"));
        let relative = environment(&[("XDG_DATA_HOME", "data"), ("HOME", "/home/a")]);
        assert_eq!(root(None, &relative).unwrap(), Path::new("/home/a/.local/share/canary-lab"));
        assert!(matches!(root(None, &environment(&[])), Err(HomeError::Unknown)));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_home_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path().join("a/b"));
        home.prepare().unwrap();
        home.prepare().unwrap();
        assert_eq!(std::fs::metadata(home.root()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(home.root()).unwrap().count(), 0, "the trial file is gone");
    }

    #[test]
    fn what_writers_left_unfinished_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        for folder in [
            "work",
            "runs/0001",
            "models/a/1",
            "models/a/.partial-x",
            "models/a/.replaced-y/old",
            ".going-z/gone",
            "cache/answers",
        ] {
            std::fs::create_dir_all(directory.path().join(folder)).unwrap();
        }
        for file in [
            ".new-1",
            "state.json",
            "work/.new-2",
            "work/.mine",
            "runs/0001/.new-3",
            "cache/answers/.new-4",
            "kubeconfig.partial",
        ] {
            std::fs::write(directory.path().join(file), "x").unwrap();
        }
        home.sweep();
        let left = |folder: &str| {
            let entries = std::fs::read_dir(directory.path().join(folder)).unwrap().flatten();
            let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(""), ["cache", "models", "runs", "state.json", "work"]);
        assert_eq!(left("work"), [".mine"]);
        assert_eq!(left("models/a"), ["1"]);
        assert!(left("runs/0001").is_empty() && left("cache/answers").is_empty());
    }

    #[test]
    fn a_directory_goes_under_its_name_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        std::fs::create_dir_all(directory.path().join("cluster/logs")).unwrap();
        home.discard(&home.cluster()).unwrap();
        home.discard(&home.cluster()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = Home::at(file.join("home")).prepare().unwrap_err();
        assert!(error.to_string().contains("file/home"), "{error}");
    }
}
