use serde_json::Value;

use crate::objects::go_json;

/// A change to an object, as it is sent to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The format of the body.
    pub content_type: PatchType,
    /// The change.
    pub body: Value,
}

/// The formats of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902: a list of operations.
    Json,
    /// RFC 7386: a partial object, `null` deletes.
    Merge,
    /// Kubernetes' strategic merge patch; for built-in kinds only.
    Strategic,
}

impl PatchType {
    /// The media type in `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }

    /// Reads a media type; parameters such as `charset` must be cut off already.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        [Self::Json, Self::Merge, Self::Strategic].into_iter().find(|known| known.media_type() == media_type)
    }
}

impl Patch {
    /// A partial object that is merged in by RFC 7386.
    pub fn merge(body: Value) -> Self {
        Self { content_type: PatchType::Merge, body }
    }

    /// A partial object that is merged in by the types' own rules.
    pub fn strategic(body: Value) -> Self {
        Self { content_type: PatchType::Strategic, body }
    }

    /// Whether nothing would change: what kubectl calls `unchanged`.
    pub fn is_empty(&self) -> bool {
        match &self.body {
            Value::Object(map) => map.is_empty(),
            Value::Array(operations) => operations.is_empty(),
            _ => false,
        }
    }

    /// The body's bytes as kubectl sends them.
    pub fn text(&self) -> String {
        go_json::to_string(&self.body)
    }
}
