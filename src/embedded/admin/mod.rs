//! The admin API: how the command line talks to the daemon of its home, over a unix socket that only the user can open.
//!
//! `Client` is the one way for other rooms; `serve` is the daemon's side. Both ends may be of different versions,
//! so a client asks for [`Version`] first and compares its `protocol`.

mod client;
mod server;
mod types;

pub use client::{AdminError, Client};
pub(in crate::embedded) use server::{AdminState, serve};
pub use types::{ClusterStatus, Tunnel, Version};
