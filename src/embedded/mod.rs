//! The embedded cluster: a Kubernetes API server, controllers, a kubelet, a network and a mesh in one daemon.

pub mod admin;
pub mod api;
mod clock;
pub mod controllers;
pub mod daemon;
pub mod kubelet;
pub mod mesh;
pub mod network;
pub mod store;
