//! What a Kubernetes cluster has built in and the embedded one leaves out, so that a request for it hears that.

/// Resources of Kubernetes 1.24 by group, without those that are served here.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("", &["bindings", "componentstatuses", "limitranges", "podtemplates", "replicationcontrollers", "resourcequotas"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("apps", &["controllerrevisions", "daemonsets", "statefulsets"]),
    ("authentication.k8s.io", &["tokenreviews"]),
    ("batch", &["cronjobs", "jobs"]),
    ("certificates.k8s.io", &["certificatesigningrequests"]),
    ("events.k8s.io", &["events"]),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    ("networking.k8s.io", &["ingressclasses", "ingresses", "networkpolicies"]),
    ("node.k8s.io", &["runtimeclasses"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("storage.k8s.io", &["csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"]),
];

/// Whether a real cluster serves this resource without any addition.
pub(super) fn is_built_in(group: &str, plural: &str) -> bool {
    LEFT_OUT.iter().any(|(known, plurals)| *known == group && plurals.contains(&plural))
}
