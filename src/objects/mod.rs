//! Kubernetes objects as values: what a cluster's API and its clients do to JSON objects, as pure functions.
//!
//! The words and rules are those of Kubernetes 1.24; nothing here panics, whatever the object. The API server,
//! controllers, mesh and lab all call it.

pub mod apply;
pub mod decode;
pub mod defaults;
mod field_error;
pub mod fields;
pub mod go_json;
pub mod go_yaml;
mod gvk;
pub mod jsonpath;
mod kinds;
pub mod merge;
pub mod meta;
pub mod names;
pub mod quantity;
pub mod schema;
pub mod schemas;
pub mod selector;
pub mod table;
pub mod validation;

pub use field_error::{FieldError, FieldErrorReason, invalid_message};
pub use gvk::Gvk;
pub use kinds::{BUILTIN_KINDS, BuiltinKind, Subresource, Verbs, builtin, builtin_by_path, is_builtin};
