//! What the admin API carries.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::embedded::kubelet::ContainerProcess;
use crate::embedded::network::{AddressBlock, IngressPorts, ListenerReport};
use crate::process::ProcessIdentity;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The daemon's version of canary-lab.
    pub version: String,
    /// The admin protocol's number.
    pub protocol: u32,
    /// Which process it is.
    #[serde(flatten)]
    pub process: ProcessIdentity,
}

/// What the daemon does and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Which process it is.
    #[serde(flatten)]
    pub process: ProcessIdentity,
    /// The API server's URL.
    pub api: String,
    /// The kubeconfig to use with it.
    pub kubeconfig: PathBuf,
    /// The lab's addresses.
    pub block: AddressBlock,
    /// The node's address.
    pub node: IpAddr,
    /// Where the ingress gateway answers while the tunnel runs.
    pub external: IpAddr,
    /// The ports that the ingress gateway's Service shows.
    pub ingress: IngressPorts,
    /// Whether load balancers give out addresses.
    pub tunnel: bool,
    /// The processes of running containers.
    pub processes: Vec<ContainerProcess>,
    /// What Services are served on.
    pub listeners: ListenerReport,
    /// Why storage refuses writes at the moment, if it does.
    pub storage_trouble: Option<String>,
}

/// Whether the tunnel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Whether load balancers give out addresses.
    pub running: bool,
}
