//! What the kubelet tells a container process about the place it runs in.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The environment variable that carries a [`Sandbox`] as JSON.
pub const SANDBOX_VARIABLE: &str = "CANARY_LAB_SANDBOX";

/// One volume mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Where the container sees it, absolute, for example `/models/resnet50`.
    pub path: PathBuf,
    /// Where it lies on the host, absolute.
    pub source: PathBuf,
}

/// The place a container process lives in: its address and its view of the file system.
///
/// A process that finds [`SANDBOX_VARIABLE`] in its environment also has a lifeline on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sandbox {
    /// The only address that the process may bind.
    pub bind: IpAddr,
    /// The mount table; the longest matching path wins.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

/// Why a sandbox could not be read from the environment.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {SANDBOX_VARIABLE} does not hold a sandbox: {0}")]
pub struct SandboxError(#[from] serde_json::Error);

impl Sandbox {
    /// Reads the sandbox out of the value of [`SANDBOX_VARIABLE`].
    pub fn from_variable(value: &str) -> Result<Self, SandboxError> {
        Ok(serde_json::from_str(value)?)
    }

    /// The value to put into [`SANDBOX_VARIABLE`].
    pub fn to_variable(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The host path behind a container path, or `None` where no mount covers it or where `..` would leave the mount.
    pub fn resolve(&self, container_path: &Path) -> Option<PathBuf> {
        let wanted = normalise(container_path)?;
        self.mounts
            .iter()
            .filter_map(|mount| {
                let rest = wanted.strip_prefix(&mount.path).ok()?;
                Some((mount.path.components().count(), mount.source.join(rest)))
            })
            .max_by_key(|(depth, _)| *depth)
            .map(|(_, path)| path)
    }
}

/// Resolves `.` and `..` by text; `None` for a relative path or one that climbs above the root.
fn normalise(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir => clean.push("/"),
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::Prefix(_) => return None,
        }
    }
    clean.is_absolute().then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> Sandbox {
        Sandbox {
            bind: IpAddr::from([127, 77, 192, 3]),
            mounts: vec![
                Mount { path: "/models".into(), source: "/srv/all".into() },
                Mount { path: "/models/resnet50".into(), source: "/srv/r50".into() },
            ],
        }
    }

    #[test]
    fn the_longest_mount_wins_and_nothing_escapes() {
        let cases = [
            ("/models/resnet50", Some("/srv/r50")),
            ("/models/resnet50/1/saved_model.pb", Some("/srv/r50/1/saved_model.pb")),
            ("/models/resnet500/1", Some("/srv/all/resnet500/1")),
            ("/models/resnet50/../../etc/passwd", None),
            ("/etc/passwd", None),
            ("models/resnet50", None),
        ];
        for (path, host) in cases {
            assert_eq!(sandbox().resolve(Path::new(path)), host.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn a_sandbox_survives_its_variable() {
        let text = sandbox().to_variable();
        assert_eq!(Sandbox::from_variable(&text).unwrap(), sandbox());
        assert!(Sandbox::from_variable("{\"bind\":\"nowhere\"}").is_err());
    }
}
