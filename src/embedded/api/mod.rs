//! The embedded cluster's API server: Kubernetes 1.24's REST interface over the [store](super::store).
//!
//! [`Registry`] is the one way to objects, for the server's requests as for the daemon's controllers: it applies
//! defaults, validation, admission, names, uids, generations and the rules of deletion, and shows every change to
//! watchers. Whatever is refused is refused as a [`Status`], in the words of kube-apiserver.

pub mod admission;
mod catalog;
mod exec;
mod logs;
mod openapi;
pub mod pki;
mod registry;
mod server;
mod status;

pub use catalog::{Catalog, Resource, Version};
pub use exec::{ExecAnswer, ExecEnd, ExecStreams, Output, PodAccess};
pub use logs::{LogAnswer, LogOptions, LogStream, PodLogs};
pub use registry::{
    Author, DeleteOptions, Deletion, Ownership, Propagation, Registry, RegistryOptions, ServiceRange, Watch,
    WatchEvent, WriteOptions, Written,
};
pub use server::{ApiServer, ApiServerOptions};
pub use status::Status;
