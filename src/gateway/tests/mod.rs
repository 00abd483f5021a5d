//! The data plane against real backends on loopback: what was recorded of the real one, and what was not.

mod bodies;
mod lab;
mod recorded;
mod sidecar;
mod switching;
