//! Files of the cluster that are replaced as a whole: who runs, and what was chosen once.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::embedded::network::{AddressBlock, IngressPorts};
use crate::process::ProcessIdentity;

/// The number of the admin protocol and of the files here; another number is another program's.
pub const PROTOCOL: u32 = 1;

/// Who runs the cluster of a home: `cluster/daemon.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRecord {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The daemon's version of canary-lab.
    pub version: String,
    /// Which process it is.
    #[serde(flatten)]
    pub process: ProcessIdentity,
    /// The API server's URL.
    pub api: String,
    /// The lab's addresses.
    pub block: AddressBlock,
    /// Where the admin API listens.
    pub admin_socket: PathBuf,
}

/// What was chosen for a home and stays: `cluster/network.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// The block that the objects in storage speak of.
    pub(super) block: AddressBlock,
    /// Where the API server listens.
    pub(super) api: SocketAddr,
    /// The ports of the ingress gateway's Service.
    pub(super) ingress: IngressPorts,
    /// Whether load balancers give out addresses.
    pub(super) tunnel: bool,
}

/// Reads one of these files; `None` when it is missing or cannot be understood, since everything in it can be chosen
/// or found out again.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str(&text).inspect_err(|error| tracing::warn!("{}: {error}", path.display())).ok()
}

/// Replaces a file, as a whole or not at all; readable by its owner only.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

/// Writes a value as JSON.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    replace(path, &text)
}

impl DaemonRecord {
    /// The record of a home, whether its process still runs or not.
    pub fn read(path: &Path) -> Option<Self> {
        read(path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_record_survives_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("daemon.json");
        assert_eq!(DaemonRecord::read(&path), None);
        let record = DaemonRecord {
            protocol: PROTOCOL,
            version: "0.1.0".into(),
            process: ProcessIdentity::current(),
            api: "https://127.77.0.2:6443".into(),
            block: AddressBlock::new(77).unwrap(),
            admin_socket: "/x/admin.sock".into(),
        };
        write(&path, &record).unwrap();
        assert_eq!(DaemonRecord::read(&path), Some(record));
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&value["pid"], &value["block"]), (&std::process::id().into(), &77.into()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "{\"pid\":").unwrap();
        assert_eq!(DaemonRecord::read(&path), None);
    }
}
