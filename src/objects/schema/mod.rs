//! Structural schemas of custom resources: reading a CRD's `openAPIV3Schema`, and pruning, defaulting and validating
//! objects by it.
//!
//! The API server does the three in this order on every write. Rules and texts are those of apiextensions-apiserver
//! 1.24 and the kube-openapi validators that it uses.

mod default;
mod formats;
mod node;
mod prune;
mod validate;

use serde_json::Value;

use node::Node;
pub(in crate::objects) use node::Node as SchemaNode;

use super::FieldError;

/// The schema of one version of a custom resource.
#[derive(Clone, Debug)]
pub struct StructuralSchema {
    root: Node,
}

impl StructuralSchema {
    /// Reads a CRD version's `schema.openAPIV3Schema`. Keywords that structural schemas do not have are ignored.
    pub fn parse(schema: &Value) -> Self {
        Self { root: Node::parse(schema) }
    }

    /// The schema of the whole object.
    pub(in crate::objects) fn root(&self) -> &SchemaNode {
        &self.root
    }

    /// Removes fields that the schema does not have, except under `x-kubernetes-preserve-unknown-fields`. The root's
    /// `apiVersion`, `kind` and `metadata` stay.
    pub fn prune(&self, object: &mut Value) {
        prune::prune(&self.root, object, true);
    }

    /// Removes nulls where the schema allows none and fills absent fields in.
    pub fn default(&self, object: &mut Value) {
        default::drop_nulls(&self.root, object);
        default::fill(&self.root, object);
    }

    /// Judges an object; an empty list means that it is valid.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::validate(&self.root, object)
    }
}

#[cfg(test)]
mod tests;
