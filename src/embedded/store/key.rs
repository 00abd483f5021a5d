use std::fmt;
use std::sync::Arc;

/// Where an object is stored: resource, namespace, name.
///
/// Keys sort by resource, then namespace, then name, which is the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The resource with its group, such as `deployments.apps` or `pods`.
    pub resource: Arc<str>,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Key {
    /// Names an object; `namespace` is `None` for cluster-scoped ones.
    pub fn new(resource: &str, namespace: Option<&str>, name: &str) -> Self {
        Self { resource: resource.into(), namespace: namespace.unwrap_or_default().into(), name: name.into() }
    }

    /// Reads a key as [`Display`](fmt::Display) writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (resource, rest) = text.split_once('/')?;
        let (namespace, name) = rest.split_once('/')?;
        Some(Self { resource: resource.into(), namespace: namespace.into(), name: name.into() })
    }
}

/// `resource/namespace/name`; none of the first two can contain a slash.
impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}/{}", self.resource, self.namespace, self.name)
    }
}
