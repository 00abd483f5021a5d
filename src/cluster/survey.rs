//! Everything that a cluster holds: every kind that it serves, and the objects of each.

use kube::core::gvk::GroupVersionKind;
use kube::discovery::{ApiResource, Scope};
use serde_json::Value;

use super::api::{Api, ApiError, Resource};
use crate::objects::Gvk;

/// A kind that a cluster serves, in the version that it prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Group, version and kind.
    pub gvk: Gvk,
    /// Its name in paths, such as `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// `deployments.apps`, or `pods` for the core group.
    pub fn full_name(&self) -> String {
        if self.gvk.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.gvk.group) }
    }
}

impl Api {
    /// The kinds whose objects can be listed, each once, in the order in which the cluster tells of them.
    pub async fn kinds(&self) -> Result<Vec<Kind>, ApiError> {
        let mut versions = vec![(String::new(), "v1".to_owned())];
        let groups = self.send("GET", "/apis", None, None).await?;
        for group in groups["groups"].as_array().into_iter().flatten() {
            let preferred = group.pointer("/preferredVersion/version").and_then(Value::as_str);
            if let (Some(name), Some(version)) = (group["name"].as_str(), preferred) {
                versions.push((name.to_owned(), version.to_owned()));
            }
        }
        let mut kinds: Vec<Kind> = Vec::new();
        for (group, version) in versions {
            // The same events are served twice.
            if group == "events.k8s.io" {
                continue;
            }
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let served = self.send("GET", &path, None, None).await?;
            for resource in served["resources"].as_array().into_iter().flatten() {
                let listed = resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"));
                let (Some(plural), Some(kind)) = (resource["name"].as_str(), resource["kind"].as_str()) else {
                    continue;
                };
                if !listed || plural.contains('/') {
                    continue;
                }
                let namespaced = resource["namespaced"] == true;
                let kind = Kind { gvk: Gvk::new(&group, &version, kind), plural: plural.to_owned(), namespaced };
                self.learn(&kind).await;
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    /// The objects of these kinds, in a namespace or everywhere, each complete with its kind. Kinds that may not be
    /// listed are left out.
    pub async fn everything(&self, kinds: &[Kind], namespace: Option<&str>) -> Result<Vec<Value>, ApiError> {
        let mut objects = Vec::new();
        for kind in kinds.iter().filter(|kind| kind.namespaced || namespace.is_none()) {
            let listed = match self.list(&kind.gvk, namespace, "").await {
                Ok(listed) => listed,
                Err(ApiError::Refused { code: 403..=405, .. }) => continue,
                Err(error) => return Err(error),
            };
            for mut object in listed {
                object["apiVersion"] = kind.gvk.api_version().into();
                object["kind"] = kind.gvk.kind.clone().into();
                objects.push(object);
            }
        }
        Ok(objects)
    }

    /// Remembers where a kind is served, so that it need not be asked for.
    async fn learn(&self, kind: &Kind) {
        let name = GroupVersionKind::gvk(&kind.gvk.group, &kind.gvk.version, &kind.gvk.kind);
        let path = ApiResource::from_gvk_with_plural(&name, &kind.plural);
        let scope = if kind.namespaced { Scope::Namespaced } else { Scope::Cluster };
        self.remember_resource(&kind.gvk, Resource { path, namespaced: scope == Scope::Namespaced }).await;
    }
}
