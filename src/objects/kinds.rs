use super::Gvk;

/// A kind that the API server knows without a CustomResourceDefinition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinKind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Kind as objects carry it.
    pub kind: &'static str,
    /// Resource name, as it stands in paths.
    pub plural: &'static str,
    /// Abbreviations that kubectl accepts.
    pub short_names: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Groups of resources, such as `all`, that kubectl can ask for at once.
    pub categories: &'static [&'static str],
    /// What can be done with the resource beside its subresources.
    pub verbs: Verbs,
    /// Subresources by their last path segment and the kind that they speak.
    pub subresources: &'static [Subresource],
}

/// A subresource, such as `status` or `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Last path segment.
    pub name: &'static str,
    /// Kind of its body.
    pub kind: &'static str,
    /// `group/version` of that kind when it is not the parent's.
    pub api_version: Option<&'static str>,
    /// Verbs in discovery.
    pub verbs: &'static [&'static str],
}

/// Which verbs a resource has in discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbs {
    /// Stored objects with every verb.
    All,
    /// Stored objects that cannot be deleted as a collection (services, namespaces).
    NoDeleteCollection,
    /// Questions that are answered and never stored.
    CreateOnly,
}

impl Verbs {
    /// The verbs in discovery's order.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            Self::NoDeleteCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
            Self::CreateOnly => &["create"],
        }
    }
}

impl BuiltinKind {
    /// The kind's full name.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(self.group, self.version, self.kind)
    }

    /// Lower-case kind, which kubectl accepts beside the plural. (Discovery of 1.24 leaves `singularName` empty for built-ins.)
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// `plural.group`, or the bare plural for the core group.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

const READ_WRITE: &[&str] = &["get", "patch", "update"];

const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

const fn subresource(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, kind, api_version: None, verbs }
}

const SCALE: Subresource =
    Subresource { name: "scale", kind: "Scale", api_version: Some("autoscaling/v1"), verbs: READ_WRITE };

const fn stored(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
) -> BuiltinKind {
    BuiltinKind {
        group,
        version,
        kind,
        plural,
        short_names,
        namespaced,
        categories: &[],
        verbs: Verbs::All,
        subresources: &[],
    }
}

const fn question(kind: &'static str, plural: &'static str) -> BuiltinKind {
    BuiltinKind { verbs: Verbs::CreateOnly, ..stored("authorization.k8s.io", "v1", kind, plural, &[], false) }
}

const ALL: &[&str] = &["all"];
const API_EXTENSIONS: &[&str] = &["api-extensions"];
const POLICY: &str = "policy";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Every built-in kind that the embedded API server serves, the preferred version of a group first.
///
/// Names, short names, categories and verbs as in the discovery documents of Kubernetes 1.24.
pub const BUILTIN_KINDS: &[BuiltinKind] = &[
    stored("", "v1", "ConfigMap", "configmaps", &["cm"], true),
    stored("", "v1", "Endpoints", "endpoints", &["ep"], true),
    stored("", "v1", "Event", "events", &["ev"], true),
    BuiltinKind {
        verbs: Verbs::NoDeleteCollection,
        subresources: &[
            subresource("finalize", "Namespace", &["update"]),
            subresource("status", "Namespace", READ_WRITE),
        ],
        ..stored("", "v1", "Namespace", "namespaces", &["ns"], false)
    },
    BuiltinKind {
        subresources: &[subresource("status", "Node", READ_WRITE)],
        ..stored("", "v1", "Node", "nodes", &["no"], false)
    },
    BuiltinKind {
        subresources: &[subresource("status", "PersistentVolumeClaim", READ_WRITE)],
        ..stored("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], true)
    },
    BuiltinKind {
        subresources: &[subresource("status", "PersistentVolume", READ_WRITE)],
        ..stored("", "v1", "PersistentVolume", "persistentvolumes", &["pv"], false)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[
            subresource("exec", "PodExecOptions", &["create", "get"]),
            subresource("log", "Pod", &["get"]),
            subresource("portforward", "PodPortForwardOptions", &["create", "get"]),
            subresource("proxy", "PodProxyOptions", PROXY),
            subresource("status", "Pod", READ_WRITE),
        ],
        ..stored("", "v1", "Pod", "pods", &["po"], true)
    },
    stored("", "v1", "Secret", "secrets", &[], true),
    stored("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], true),
    BuiltinKind {
        categories: ALL,
        verbs: Verbs::NoDeleteCollection,
        subresources: &[
            subresource("proxy", "ServiceProxyOptions", PROXY),
            subresource("status", "Service", READ_WRITE),
        ],
        ..stored("", "v1", "Service", "services", &["svc"], true)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[SCALE, subresource("status", "Deployment", READ_WRITE)],
        ..stored("apps", "v1", "Deployment", "deployments", &["deploy"], true)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[SCALE, subresource("status", "ReplicaSet", READ_WRITE)],
        ..stored("apps", "v1", "ReplicaSet", "replicasets", &["rs"], true)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[subresource("status", "HorizontalPodAutoscaler", READ_WRITE)],
        ..stored("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[subresource("status", "HorizontalPodAutoscaler", READ_WRITE)],
        ..stored("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true)
    },
    BuiltinKind {
        categories: ALL,
        subresources: &[subresource("status", "HorizontalPodAutoscaler", READ_WRITE)],
        ..stored("autoscaling", "v2beta2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true)
    },
    BuiltinKind {
        subresources: &[subresource("status", "PodDisruptionBudget", READ_WRITE)],
        ..stored(POLICY, "v1", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], true)
    },
    BuiltinKind {
        subresources: &[subresource("status", "PodDisruptionBudget", READ_WRITE)],
        ..stored(POLICY, "v1beta1", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], true)
    },
    stored(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", &[], false),
    stored(RBAC, "v1", "ClusterRole", "clusterroles", &[], false),
    stored(RBAC, "v1", "RoleBinding", "rolebindings", &[], true),
    stored(RBAC, "v1", "Role", "roles", &[], true),
    stored("coordination.k8s.io", "v1", "Lease", "leases", &[], true),
    stored("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", &[], true),
    BuiltinKind {
        categories: API_EXTENSIONS,
        ..stored(ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[], false)
    },
    BuiltinKind {
        categories: API_EXTENSIONS,
        ..stored(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[], false)
    },
    BuiltinKind {
        categories: API_EXTENSIONS,
        subresources: &[subresource("status", "CustomResourceDefinition", READ_WRITE)],
        ..stored(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            &["crd", "crds"],
            false,
        )
    },
    BuiltinKind { namespaced: true, ..question("LocalSubjectAccessReview", "localsubjectaccessreviews") },
    question("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    question("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    question("SubjectAccessReview", "subjectaccessreviews"),
];

/// Looks a built-in kind up by its full name.
pub fn builtin(gvk: &Gvk) -> Option<&'static BuiltinKind> {
    BUILTIN_KINDS
        .iter()
        .find(|known| known.group == gvk.group && known.version == gvk.version && known.kind == gvk.kind)
}

/// Looks a built-in kind up by group, version and plural, as a request path names it.
pub fn builtin_by_path(group: &str, version: &str, plural: &str) -> Option<&'static BuiltinKind> {
    BUILTIN_KINDS.iter().find(|known| known.group == group && known.version == version && known.plural == plural)
}

/// Whether some version of this group and kind is built in. Such kinds take strategic merge patches; others do not.
pub fn is_builtin(gvk: &Gvk) -> bool {
    BUILTIN_KINDS.iter().any(|known| gvk.is(known.group, known.kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_kind_or_path_is_listed_twice() {
        let mut kinds = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for known in BUILTIN_KINDS {
            assert!(kinds.insert((known.group, known.version, known.kind)), "{} twice", known.kind);
            assert!(paths.insert((known.group, known.version, known.plural)), "{} twice", known.plural);
        }
    }

    #[test]
    fn lookups_agree() {
        let deployment = builtin(&Gvk::new("apps", "v1", "Deployment")).expect("is built in");
        assert_eq!(builtin_by_path("apps", "v1", "deployments"), Some(deployment));
        assert_eq!(deployment.resource(), "deployments.apps");
        assert_eq!(builtin(&Gvk::new("apps", "v1beta1", "Deployment")), None);
        assert!(is_builtin(&Gvk::new("apps", "v1beta1", "Deployment")));
        assert!(!is_builtin(&Gvk::new("networking.istio.io", "v1beta1", "Gateway")));
    }
}
