//! The bundle: tensors by key, an index (`variables.index`) and data files (`variables.data-00000-of-00001`).
//!
//! [`Variables`] reads tensors by position when asked, from any thread; [`BundleWriter`] streams them out.

mod reader;
mod strings;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{VariableInfo, VariableSlice, Variables};
pub use writer::BundleWriter;

/// The file name of one data file.
fn shard_name(prefix: &str, shard: u32, shards: u32) -> String {
    format!("{prefix}.data-{shard:05}-of-{shards:05}")
}
