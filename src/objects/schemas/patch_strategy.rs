use serde_json::{Map, Value};

/// How a property takes part in a strategic merge patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// What happens to a list.
    pub list: ListStrategy,
    /// Whether an object is replaced instead of merged.
    pub replace: bool,
    /// Whether a patch names, in `$retainKeys`, the keys that may stay: for unions, of which one member is set.
    pub retain_keys: bool,
}

/// What a strategic merge patch does to a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListStrategy {
    /// The patch's list takes the place of the old one.
    #[default]
    Replace,
    /// Objects are matched by this key and merged one by one.
    MergeBy(&'static str),
    /// A set of plain values.
    MergeSet,
}

impl PatchStrategy {
    const fn merge_by(key: &'static str) -> Self {
        Self { list: ListStrategy::MergeBy(key), replace: false, retain_keys: false }
    }

    /// Writes the strategy into a property's schema in the words of OpenAPI extensions.
    pub(super) fn annotate(self, property: &mut Map<String, Value>) {
        let mut words = Vec::new();
        if self.list != ListStrategy::Replace {
            words.push("merge");
        }
        if self.replace {
            words.push("replace");
        }
        if self.retain_keys {
            words.push("retainKeys");
        }
        if let ListStrategy::MergeBy(key) = self.list {
            property.insert("x-kubernetes-patch-merge-key".to_owned(), key.into());
        }
        if !words.is_empty() {
            property.insert("x-kubernetes-patch-strategy".to_owned(), words.join(",").into());
        }
    }
}

/// The strategy of a property, by the definition that it belongs to. Facts from the Kubernetes 1.24 API reference
/// (`patchStrategy` and `patchMergeKey` of each field).
pub(super) fn of(definition: &str, property: &str) -> PatchStrategy {
    const BY_NAME: PatchStrategy = PatchStrategy::merge_by("name");
    const BY_TYPE: PatchStrategy = PatchStrategy::merge_by("type");
    const SET: PatchStrategy = PatchStrategy { list: ListStrategy::MergeSet, replace: false, retain_keys: false };
    let (package, kind) = definition.rsplit_once('.').unwrap_or(("", definition));
    match (kind, property) {
        ("ObjectMeta", "finalizers") | ("NodeSpec", "podCIDRs") => SET,
        ("ObjectMeta", "ownerReferences") => PatchStrategy::merge_by("uid"),
        ("PodSpec", "volumes") => PatchStrategy { retain_keys: true, ..BY_NAME },
        ("PodSpec", "containers" | "initContainers" | "ephemeralContainers" | "imagePullSecrets")
        | ("Container" | "EphemeralContainer", "env")
        | ("ServiceAccount", "secrets")
        | ("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration", "webhooks") => BY_NAME,
        ("PodSpec", "hostAliases") | ("PodStatus", "podIPs") => PatchStrategy::merge_by("ip"),
        ("PodSpec", "topologySpreadConstraints") => PatchStrategy::merge_by("topologyKey"),
        ("Container" | "EphemeralContainer", "ports") => PatchStrategy::merge_by("containerPort"),
        ("Container" | "EphemeralContainer", "volumeMounts") => PatchStrategy::merge_by("mountPath"),
        ("Container" | "EphemeralContainer", "volumeDevices") => PatchStrategy::merge_by("devicePath"),
        ("ServiceSpec", "ports") => PatchStrategy::merge_by("port"),
        ("DeploymentSpec", "strategy") => PatchStrategy { retain_keys: true, ..PatchStrategy::default() },
        ("PodDisruptionBudgetSpec", "selector") => PatchStrategy { replace: true, ..PatchStrategy::default() },
        ("NodeStatus", "addresses" | "conditions")
        | (
            "PodStatus"
            | "DeploymentStatus"
            | "ReplicaSetStatus"
            | "NamespaceStatus"
            | "ServiceStatus"
            | "PersistentVolumeClaimStatus"
            | "PodDisruptionBudgetStatus",
            "conditions",
        ) => BY_TYPE,
        ("HorizontalPodAutoscalerStatus", "conditions") if package == "io.k8s.api.autoscaling.v2" => BY_TYPE,
        _ => PatchStrategy::default(),
    }
}
