//! The SavedModel format: graph, signatures and the bundle of variables; a reader and a writer.
//!
//! [`LoadedSavedModel::read`] takes a version directory (`saved_model.pb` or `.pbtxt`, `variables/`) apart into values that
//! `inference` executes and `serving` describes; [`SavedModelWriter`] makes such a directory, atomically and in bytes
//! that TensorFlow 2.5 loads. The reader trusts nothing: sizes are checked before anything is allocated, every file
//! stays inside the model's directory, and each error names the file and what is wrong with it. Tensors are read when
//! they are asked for, so a model is never held twice.
//!
//! Format facts: TensorFlow's `tensorflow/cc/saved_model`, `core/util/tensor_bundle` and LevelDB's table format.

pub mod bundle;
mod checksum;
mod contained;
mod damage;
mod load;
pub mod proto;
mod restore;
mod table;
#[cfg(test)]
mod tests;
mod text_form;
pub(crate) mod text_format;
mod writer;

pub use bundle::{BundleWriter, VariableInfo, VariableSlice, Variables};
pub use damage::{Damage, SavedModelError};
pub use load::{LoadedSavedModel, SERVE_TAG};
pub use writer::{FinishedModel, SavedModelWriter, WrittenFile, put_in_place};
