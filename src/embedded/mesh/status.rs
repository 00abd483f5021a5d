//! The mesh's own account of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gateway::control::ProxyKind;
use crate::routing::snapshot::ObjectVersion;

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyStatus {
    /// Gateway or sidecar.
    pub kind: ProxyKind,
    /// The last revision that every thread of the proxy obeys; 0 before the first.
    pub acknowledged: u64,
    /// Ports that accept connections.
    pub listening: Vec<u16>,
    /// Ports that could not be bound, with the reason.
    pub refused: Vec<(u16, String)>,
}

/// What the mesh knows and who has been told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshStatus {
    /// Whether the control plane runs.
    pub running: bool,
    /// Counts up with every change that the control plane has taken in.
    pub revision: u64,
    /// The Istio objects in that revision.
    pub objects: Vec<ObjectVersion>,
    /// Connected proxies by `pod.namespace`.
    pub proxies: BTreeMap<String, ProxyStatus>,
}

impl MeshStatus {
    /// Whether every connected gateway, and at least one, obeys the current revision.
    pub fn is_current(&self) -> bool {
        let mut gateways = self.proxies.values().filter(|proxy| proxy.kind == ProxyKind::Gateway).peekable();
        self.running && gateways.peek().is_some() && gateways.all(|proxy| proxy.acknowledged >= self.revision)
    }

    /// Whether every gateway obeys a revision with exactly this version of an object.
    pub fn is_acknowledged(&self, object: &ObjectVersion) -> bool {
        self.is_current() && self.objects.contains(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_acknowledged_by_all_gateways_or_not() {
        let object = |version: &str| ObjectVersion {
            kind: "VirtualService".into(),
            namespace: "tf-serving".into(),
            name: "image-classifier".into(),
            resource_version: version.into(),
        };
        let proxy = |kind, acknowledged| ProxyStatus { kind, acknowledged, listening: vec![], refused: vec![] };
        let mut status =
            MeshStatus { running: true, revision: 7, objects: vec![object("12")], proxies: BTreeMap::new() };
        assert!(!status.is_acknowledged(&object("12")), "nobody is connected");
        status.proxies.insert("side.car".into(), proxy(ProxyKind::Sidecar, 1));
        status.proxies.insert("gw.istio-system".into(), proxy(ProxyKind::Gateway, 7));
        assert!(status.is_acknowledged(&object("12")));
        assert!(!status.is_acknowledged(&object("13")));
        status.proxies.insert("gw2.istio-system".into(), proxy(ProxyKind::Gateway, 6));
        assert!(!status.is_acknowledged(&object("12")));
    }
}
