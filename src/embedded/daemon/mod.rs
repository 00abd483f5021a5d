//! The daemon that is the embedded cluster: one process a home, which holds the lab's addresses, serves the API, and
//! runs controllers, kubelet, network and mesh.
//!
//! [`launch`] starts it in the background and returns when it is ready; [`probe`] says whether one runs. [`run`] is
//! the daemon itself, [`process_main`] the whole of its process. It ends on SIGTERM or through the admin API with all
//! its children; killed, its children end by their lifelines and the next daemon takes up what storage says.

mod detach;
mod kubeconfig;
mod launch;
mod paths;
mod record;
mod renumber;
mod start;

pub use launch::{DaemonStanding, LaunchError, launch, probe};
pub use paths::ClusterPaths;
pub use record::{DaemonRecord, PROTOCOL};
pub use start::{DaemonError, DaemonOptions, process_main, run};
