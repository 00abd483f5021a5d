//! The SavedModel format: graph, signatures, variables bundle; a reader and a writer.

pub mod proto;
