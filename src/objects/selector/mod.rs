//! Choosing objects by labels and by fields.
//!
//! [`LabelSelector`] has two spellings, one meaning: the object in a spec (`matchLabels`, `matchExpressions`) and the
//! query string (`a=b,c!=d,e in (x)`). [`FieldSelector`] has only the string. Error texts are those that
//! `k8s.io/apimachinery` 1.24 gives, because kubectl shows them as they come.

mod fields;
mod lexer;
mod requirement;
mod text;

pub use fields::{FieldSelector, FieldSelectorError, field_value};
pub use requirement::{LabelSelector, Operator, Requirement, SelectorError};
