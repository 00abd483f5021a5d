//! Child processes: the sandbox they are told to live in and the lifeline that ends them.
//!
//! The embedded kubelet starts model servers, gateways and sidecars as children of the daemon. It tells each of
//! them, in one environment variable, which address to bind and how container paths map to the host ([`Sandbox`]);
//! and it keeps the writing end of the child's standard input open, so that the child ends when the daemon
//! does ([`lifeline`]).

pub mod lifeline;
mod sandbox;

pub use sandbox::{Mount, SANDBOX_VARIABLE, Sandbox, SandboxError};
