//! Who owns which field: what server-side apply and `metadata.managedFields` are made of.
//!
//! A [`FieldSet`] is a set of paths into an object, written as `FieldsV1`. [`Place`] knows for every value how it is
//! owned: as one leaf, key by key, or item by item. [`to_set`], [`compare`], [`merge`] and [`remove`] walk objects by it, and
//! [`Managers`] keeps the sets of everyone who wrote. The rules are those of Kubernetes 1.24 (the structured merge that its
//! API server uses). The API server's registry is the caller.

mod element;
mod managers;
mod place;
mod set;
mod walk;

pub use element::Element;
pub use managers::{Conflict, Managers, Operation, Writer};
pub use place::{Place, Relation};
pub use set::FieldSet;
pub use walk::{Comparison, check, compare, merge, remove, to_set};

#[cfg(test)]
mod tests;
