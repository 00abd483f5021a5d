//! Runs a SavedModel's graph on the CPU.
//!
//! [`Session::load`] reads the graph, inlines its functions, checks that every op is known, folds
//! constants and batch norms into weights, packs those once and gives the model's own files back to the system.
//! [`Session::run`] executes op by op for any input shape and answers mistakes with the texts
//! of TensorFlow 2.5's CPU kernels. A result depends on the input alone: neither the number of threads nor the place
//! in a batch changes a bit of it. Called by `serving/` for requests and by the lab as its oracle.
//! [`flatten`] gives the same graph back as TensorFlow's nodes, for a model that is to be written anew.

mod attributes;
mod batch;
mod constant;
mod context;
mod control;
mod flatten;
mod fused;
mod graph;
mod import;
mod kernel;
mod ops;
mod optimise;
mod program;
mod session;
mod status;
mod tensor;
#[cfg(test)]
mod tests;
mod window;

pub use flatten::{FlatModel, FlatVariable, flatten};
pub(crate) use kernel::give_back_large_blocks;
pub use session::{Session, SessionOptions};
pub use status::{LoadError, RunError, StatusCode};
pub use tensor::{Tensor, TensorData};
