//! The documents that describe the API: OpenAPI v2 in JSON and protocol buffers, and v3 by group and version.
//!
//! kubectl validates manifests against v2, finds out from the paths which parameters a resource takes, and explains
//! fields from either. Documents are made when first asked for and kept compressed until a CustomResourceDefinition
//! changes; nobody asks often, and they are large.

mod custom;
mod paths;
mod proto;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalog::Catalog;

pub(super) use v3::index;

/// A document, compressed, and the tag by which a client recognises it.
#[derive(Clone)]
pub(super) struct Document {
    pub(super) packed: Bytes,
    pub(super) etag: String,
}

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// v2 as JSON.
    V2Json,
    /// v2 in the messages of gnostic.
    V2Protobuf,
    /// v3 of one group and version.
    V3(String, String),
}

/// The documents that have been made for the present resources.
#[derive(Default)]
pub(super) struct Documents {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    catalog: Option<Arc<Catalog>>,
    documents: BTreeMap<Kind, Document>,
}

impl Documents {
    /// The document, made now unless it is at hand. `definitions` are the CustomResourceDefinitions of the catalog.
    pub(super) fn get(&self, catalog: &Arc<Catalog>, definitions: &[Arc<Value>], kind: &Kind) -> Document {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if !kept.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog)) {
                *kept = Kept { catalog: Some(Arc::clone(catalog)), documents: BTreeMap::new() };
            }
            if let Some(document) = kept.documents.get(kind) {
                return document.clone();
            }
        }
        let bytes = match kind {
            Kind::V2Json => serde_json::to_vec(&v2::document(catalog, definitions)).unwrap_or_default(),
            Kind::V2Protobuf => proto::encode(&v2::document(catalog, definitions)),
            Kind::V3(group, version) => {
                serde_json::to_vec(&v3::document(catalog, definitions, group, version)).unwrap_or_default()
            }
        };
        let mut etag = String::from("\"");
        for byte in Sha256::digest(&bytes) {
            etag.push_str(&format!("{byte:02X}"));
        }
        etag.push('"');
        let packed = super::server::gzip(&bytes).unwrap_or_default();
        let document = Document { packed: packed.into(), etag };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog)) {
            kept.documents.insert(kind.clone(), document.clone());
        }
        document
    }
}
