//! Where a lab's files come from: the binary, or a directory.

use std::path::{Component, Path, PathBuf};

use super::error::LabError;
use crate::models::catalogue;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $path)))),*]
    };
}

/// The lab's own files, by their path in the project.
const LAB_FILES: &[(&str, &str)] = embedded![
    "lab/tensorflow-canary/lab.yaml",
    "lab/tensorflow-canary/guide.yaml",
    "manifests/configmap-resnet50.yaml",
    "manifests/deployment-resnet50.yaml",
    "manifests/service.yaml",
    "manifests/gateway.yaml",
    "manifests/virtual-service.yaml",
    "manifests/destinationrule.yaml",
    "manifests/virtualservice-weight-100.yaml",
    "manifests/configmap-resnet101.yaml",
    "manifests/deployment-resnet101.yaml",
    "manifests/virtualservice-weight-70.yaml",
    "manifests/virtualservice-focused-routing.yaml",
];

/// The files of the built-in lab with the model catalogue, by their path in the project; `export` writes them.
pub fn builtin_files() -> impl Iterator<Item = (String, &'static str)> {
    let lab = LAB_FILES.iter().map(|(path, text)| ((*path).to_owned(), *text));
    lab.chain(catalogue::FILES.iter().map(|(path, text)| (format!("models/{path}"), *text)))
}

/// The built-in lab's folder in [`builtin_files`].
const BUILTIN_FOLDER: &str = "lab/tensorflow-canary";

/// A folder with a `lab.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The one that the binary carries.
    Builtin,
    /// A directory.
    Directory(PathBuf),
}

impl Source {
    /// Reads a file by its path relative to the lab's folder; returns the path to show, too.
    pub(super) fn read(&self, relative: &str) -> Result<(String, String), LabError> {
        match self {
            Self::Builtin => {
                let path = normalised(&Path::new(BUILTIN_FOLDER).join(relative));
                builtin_files()
                    .find(|(name, _)| Path::new(name) == path)
                    .map(|(name, text)| (name, text.to_owned()))
                    .ok_or_else(|| LabError::Missing { file: path, reason: "not among the built-in files".to_owned() })
            }
            Self::Directory(directory) => {
                let path = normalised(&directory.join(relative));
                match std::fs::read_to_string(&path) {
                    Ok(text) => Ok((path.display().to_string(), text)),
                    Err(error) => Err(LabError::Missing { file: path, reason: error.to_string() }),
                }
            }
        }
    }
}

/// Takes `x/..` out of a path without asking the file system.
fn normalised(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_taken_out() {
        assert_eq!(normalised(Path::new("lab/x/../../manifests/a.yaml")), Path::new("manifests/a.yaml"));
        assert_eq!(normalised(Path::new("../a/./b")), Path::new("../a/b"));
    }
}
