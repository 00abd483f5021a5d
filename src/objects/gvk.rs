use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Group, version and kind: the name of an object's type. The core group's name is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gvk {
    /// API group, such as `apps`; empty for the core group.
    pub group: String,
    /// Version within the group, such as `v1`.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// Names a kind by its three parts.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Names a kind as manifests do: by `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group, version, kind)
    }

    /// The kind that an object says it has; `None` when `apiVersion` or `kind` is missing or empty.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |key| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self::from_api_version(text("apiVersion")?, text("kind")?))
    }

    /// The `apiVersion` that objects of this kind carry.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Kind.group`, as the API server names a kind in its messages; the bare kind for the core group.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether group and kind are these, whatever the version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, Kind={}", self.api_version(), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Gvk;

    #[test]
    fn core_and_named_groups_round_trip() {
        for (api_version, kind, qualified) in [
            ("v1", "Pod", "Pod"),
            ("apps/v1", "Deployment", "Deployment.apps"),
            ("networking.istio.io/v1alpha3", "Gateway", "Gateway.networking.istio.io"),
        ] {
            let gvk = Gvk::of(&json!({"apiVersion": api_version, "kind": kind})).expect("both are there");
            assert_eq!(gvk.api_version(), api_version);
            assert_eq!(gvk.qualified_kind(), qualified);
        }
        assert_eq!(Gvk::of(&json!({"kind": "Pod"})), None);
    }
}
