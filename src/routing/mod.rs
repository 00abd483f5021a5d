//! Istio 1.12.7's rules as pure functions: admission, binding, matching and route tables.
//!
//! Values in, values out. [`admission`] judges single objects with the webhook's texts; [`compile()`] turns all objects of a mesh
//! into the [`snapshot::Snapshot`] of one gateway workload; a listener's `select` decides one request, and [`explain`] says why.
//! The mesh and the data plane call these, and so do the hints, which judge any cluster by the same functions.

pub mod admission;
mod compile;
mod duration;
pub mod explain;
mod go_regexp;
pub mod header_template;
mod model;
mod names;
pub mod path;
pub mod pattern;
#[cfg(test)]
pub(crate) mod recorded;
pub mod select;
pub mod snapshot;

pub use compile::{GatewayWorkload, MeshObjects, compile};
pub use model::UndecodableSpec;
