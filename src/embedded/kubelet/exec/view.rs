use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::process::Sandbox;

/// What a container path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Something in a mount, at this place on the host.
    Host(PathBuf),
    /// A folder above mounts; its entries.
    Folder(BTreeSet<String>),
}

/// The files of a container: its mounts, and the folders that lead to them.
#[derive(Debug, Clone)]
pub(in super::super) struct View {
    sandbox: Sandbox,
    /// The mounts that may be written to, by container path.
    writable: Vec<PathBuf>,
}

impl View {
    /// The view of a container with this mount table. Only host paths, claims and empty directories are written to.
    pub(in super::super) fn new(sandbox: Sandbox, pod: &Value, container: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let volumes = list(&pod["spec"]["volumes"]);
        let writable = list(&container["volumeMounts"])
            .into_iter()
            .filter(|mount| mount["readOnly"] != true)
            .filter(|mount| {
                volumes.iter().any(|volume| {
                    volume["name"] == mount["name"]
                        && ["hostPath", "emptyDir", "persistentVolumeClaim"].iter().any(|kind| volume[kind].is_object())
                })
            })
            .filter_map(|mount| mount["mountPath"].as_str().map(PathBuf::from))
            .collect();
        Self { sandbox, writable }
    }

    /// What is at a path; relative ones start at the root.
    pub(super) fn find(&self, path: &str) -> Option<Found> {
        let path = absolute(path);
        if let Some(host) = self.host(&path) {
            return host.exists().then_some(Found::Host(host));
        }
        let mut entries = BTreeSet::new();
        for mount in &self.sandbox.mounts {
            if let Ok(rest) = mount.path.strip_prefix(&path)
                && let Some(Component::Normal(first)) = rest.components().next()
            {
                entries.insert(first.to_string_lossy().into_owned());
            }
        }
        (!entries.is_empty() || path == Path::new("/")).then_some(Found::Folder(entries))
    }

    /// The host's place for a path in a mount, if no link leads out of the mount on the way.
    fn host(&self, path: &Path) -> Option<PathBuf> {
        let mount = self.mount(path)?;
        let host = self.sandbox.resolve(path)?;
        let root = std::fs::canonicalize(&mount.source).ok()?;
        let mut existing = host.as_path();
        while !existing.exists() {
            existing = existing.parent()?;
        }
        std::fs::canonicalize(existing).ok()?.starts_with(&root).then_some(host)
    }

    fn mount(&self, path: &Path) -> Option<&crate::process::Mount> {
        let covering = self.sandbox.mounts.iter().filter(|mount| path.starts_with(&mount.path));
        covering.max_by_key(|mount| mount.path.components().count())
    }

    /// The host's place for a path that is to be written.
    ///
    /// # Errors
    /// In the words of the system: there is nothing, or nothing that may be written.
    pub(super) fn writable(&self, path: &str) -> Result<PathBuf, String> {
        let path = absolute(path);
        let Some(mount) = self.mount(&path) else { return Err("Read-only file system".to_owned()) };
        if !self.writable.contains(&mount.path) {
            return Err("Read-only file system".to_owned());
        }
        self.host(&path).ok_or_else(|| "Permission denied".to_owned())
    }
}

/// The absolute path, `.` and `..` taken out.
pub(super) fn absolute(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
