//! The embedded cluster: a Kubernetes API server, controllers, a kubelet, a network and a mesh in one daemon.

pub mod api;
pub mod network;
pub mod store;
