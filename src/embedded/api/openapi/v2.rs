use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::custom;
use super::paths::{Dialect, paths};
use crate::embedded::api::catalog::Catalog;
use crate::objects::schemas;

/// The whole API in OpenAPI v2.
pub(super) fn document(catalog: &Catalog, definitions: &[Arc<Value>]) -> Value {
    let mut all: Map<String, Value> =
        schemas::definitions().iter().map(|(name, schema)| (name.clone(), schema.clone())).collect();
    all.extend(custom::definitions(catalog, definitions, Dialect::V2));
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.24.3"},
        "paths": paths(catalog, Dialect::V2, None),
        "definitions": all,
    })
}
