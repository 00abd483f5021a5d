//! Child processes: how they are started, recognised again and ended, the sandbox they are told to live in and the
//! lifeline that ends them.
//!
//! The embedded kubelet starts model servers, gateways and sidecars as children of the daemon ([`Child`]), each in a
//! process group of its own. It tells each of them, in one environment variable, which address to bind and how
//! container paths map to the host ([`Sandbox`]); and it keeps the writing end of the child's standard input open, so
//! that the child ends when the daemon does ([`lifeline`]). A process is recognised by its number together with the
//! time it started ([`ProcessIdentity`]), because numbers are used again.

mod child;
mod executable;
mod identity;
pub mod kin;
pub mod lifeline;
mod sandbox;

pub use child::{Child, ChildCommand, Exit, SpawnError};
pub use executable::own_program;
pub use identity::ProcessIdentity;
pub use sandbox::{Mount, SANDBOX_VARIABLE, Sandbox, SandboxError};
