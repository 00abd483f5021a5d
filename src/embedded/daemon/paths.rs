//! Where the daemon of a home keeps its things.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A unix socket's path must be shorter than this on every system we run on (macOS: 104 bytes, Linux: 108).
const LONGEST_SOCKET_PATH: usize = 100;

/// The places below a home that the embedded cluster uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPaths {
    home: PathBuf,
}

impl ClusterPaths {
    /// The places of a home, which is made absolute so that the daemon may change its directory.
    pub fn new(home: &Path) -> Self {
        Self { home: std::path::absolute(home).unwrap_or_else(|_| home.to_owned()) }
    }

    /// The home itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What clients need to reach the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("kubeconfig")
    }

    /// Everything else of the cluster.
    pub fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    /// Who runs, and how to reach it.
    pub fn record(&self) -> PathBuf {
        self.cluster().join("daemon.json")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.cluster().join("daemon.lock")
    }

    pub(super) fn settings(&self) -> PathBuf {
        self.cluster().join("network.json")
    }

    pub(super) fn store(&self) -> PathBuf {
        self.cluster().join("store.redb")
    }

    pub(super) fn pki(&self) -> PathBuf {
        self.cluster().join("pki")
    }

    /// The daemon's own log.
    pub fn daemon_log(&self) -> PathBuf {
        self.cluster().join("logs/daemon.log")
    }

    pub(super) fn pod_logs(&self) -> PathBuf {
        self.cluster().join("logs/pods")
    }

    pub(super) fn volumes(&self) -> PathBuf {
        self.cluster().join("volumes")
    }

    pub(super) fn claims(&self) -> PathBuf {
        self.cluster().join("claims")
    }

    /// Where sockets lie: in the home, or in a private directory elsewhere when the home's path is too long for them.
    pub fn sockets(&self) -> PathBuf {
        let near = self.cluster();
        if near.join("admin.sock").as_os_str().len() < LONGEST_SOCKET_PATH {
            return near;
        }
        let digest: [u8; 32] = Sha256::digest(self.home.as_os_str().as_encoded_bytes()).into();
        let name = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        let user = rustix::process::getuid().as_raw();
        std::env::temp_dir().join(format!("canary-lab-{user}")).join(format!("{name:016x}"))
    }

    /// The daemon's admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.sockets().join("admin.sock")
    }

    /// The socket that gateways and sidecars get their configuration from.
    pub(super) fn mesh_socket(&self) -> PathBuf {
        self.sockets().join("mesh.sock")
    }

    /// Makes the directories, closed to other users. One that lies in a shared place must belong to this user.
    pub(super) fn prepare(&self) -> std::io::Result<()> {
        for directory in [self.cluster(), self.pki(), self.pod_logs(), self.volumes()] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let sockets = self.sockets();
        if sockets != self.cluster() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&sockets)?;
            for directory in [sockets.as_path(), sockets.parent().unwrap_or(&sockets)] {
                let found = std::fs::symlink_metadata(directory)?;
                if found.uid() != rustix::process::getuid().as_raw() || !found.is_dir() || found.mode() & 0o077 != 0 {
                    let text = format!("{} is not a private directory of this user", directory.display());
                    return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_move_away_from_a_long_home() {
        let short = ClusterPaths::new(Path::new("/tmp/lab"));
        assert_eq!(short.admin_socket(), Path::new("/tmp/lab/cluster/admin.sock"));
        let home = tempfile::tempdir().unwrap();
        let long = ClusterPaths::new(&home.path().join("x".repeat(120)));
        assert!(long.admin_socket().as_os_str().len() < LONGEST_SOCKET_PATH);
        assert_ne!(long.admin_socket(), ClusterPaths::new(&home.path().join("y".repeat(120))).admin_socket());
        long.prepare().unwrap();
        assert!(long.sockets().is_dir());
        std::fs::remove_dir(long.sockets()).unwrap();
    }
}
