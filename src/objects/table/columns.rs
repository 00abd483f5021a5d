use super::ColumnDefinition;
use crate::objects::{Gvk, schemas};

/// Where a column's description comes from.
enum Source {
    /// The description of this field in the kind's schema.
    Field(&'static str),
    /// These words.
    Words(&'static str),
}

use Source::{Field, Words};

type Column = (&'static str, &'static str, i32, Source);

const AGE: Column = ("Age", "string", 0, Field("metadata.creationTimestamp"));

/// The column that names the object; kinds without a schema of their own borrow the words of one that has.
pub(super) fn name_column() -> ColumnDefinition {
    ColumnDefinition {
        name: "Name".to_owned(),
        kind: "string".to_owned(),
        format: "name".to_owned(),
        description: schemas::description(&Gvk::new("", "v1", "ConfigMap"), &["metadata", "name"]).to_owned(),
        priority: 0,
    }
}

/// What a creation time is, in the schema's words.
pub(super) fn creation_description() -> &'static str {
    schemas::description(&Gvk::new("", "v1", "ConfigMap"), &["metadata", "creationTimestamp"])
}

pub(super) fn of(gvk: &Gvk) -> Vec<ColumnDefinition> {
    let own = own(gvk).into_iter().map(|(name, kind, priority, source)| ColumnDefinition {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: if gvk.kind == "Event" && name == "Name" { "name" } else { "" }.to_owned(),
        description: match source {
            Words(words) => words.to_owned(),
            Field(path) => {
                let path: Vec<&str> = path.split('.').collect();
                match schemas::description(gvk, &path) {
                    "" if path.last() == Some(&"creationTimestamp") => creation_description(),
                    text => text,
                }
                .to_owned()
            }
        },
        priority,
    });
    if gvk.is("", "Event") {
        return own.collect();
    }
    std::iter::once(name_column()).chain(own).collect()
}

fn own(gvk: &Gvk) -> Vec<Column> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => vec![
            ("Ready", "string", 0, Words("Containers that are ready, of all containers in the pod.")),
            ("Status", "string", 0, Words("What the pod's containers are doing, in one word.")),
            ("Restarts", "string", 0, Words("How often containers were restarted, and when the last one was.")),
            AGE,
            ("IP", "string", 1, Field("status.podIP")),
            ("Node", "string", 1, Field("spec.nodeName")),
            ("Nominated Node", "string", 1, Field("status.nominatedNodeName")),
            ("Readiness Gates", "string", 1, Field("spec.readinessGates")),
        ],
        ("", "Service") => vec![
            ("Type", "string", 0, Field("spec.type")),
            ("Cluster-IP", "string", 0, Field("spec.clusterIP")),
            ("External-IP", "string", 0, Field("spec.externalIPs")),
            ("Port(s)", "string", 0, Field("spec.ports")),
            AGE,
            ("Selector", "string", 1, Field("spec.selector")),
        ],
        ("", "Endpoints") => vec![("Endpoints", "string", 0, Field("subsets")), AGE],
        ("discovery.k8s.io", "EndpointSlice") => vec![
            ("AddressType", "string", 0, Field("addressType")),
            ("Ports", "string", 0, Field("ports")),
            ("Endpoints", "string", 0, Field("endpoints")),
            AGE,
        ],
        ("apps", "Deployment") => vec![
            ("Ready", "string", 0, Words("Pods that are ready, of all that are wanted.")),
            ("Up-to-date", "string", 0, Field("status.updatedReplicas")),
            ("Available", "string", 0, Field("status.availableReplicas")),
            AGE,
            ("Containers", "string", 1, Words("Names of each container in the template.")),
            ("Images", "string", 1, Words("Images referenced by each container in the template.")),
            ("Selector", "string", 1, Field("spec.selector")),
        ],
        ("apps", "ReplicaSet") => vec![
            ("Desired", "integer", 0, Field("spec.replicas")),
            ("Current", "integer", 0, Field("status.replicas")),
            ("Ready", "integer", 0, Field("status.readyReplicas")),
            AGE,
            ("Containers", "string", 1, Words("Names of each container in the template.")),
            ("Images", "string", 1, Words("Images referenced by each container in the template.")),
            ("Selector", "string", 1, Field("spec.selector")),
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => vec![
            ("Reference", "string", 0, Field("spec.scaleTargetRef")),
            ("Targets", "string", 0, Words("The measured and the wanted use of each resource.")),
            ("MinPods", "string", 0, Field("spec.minReplicas")),
            ("MaxPods", "string", 0, Field("spec.maxReplicas")),
            ("Replicas", "string", 0, Field("status.currentReplicas")),
            AGE,
        ],
        ("policy", "PodDisruptionBudget") => vec![
            ("Min Available", "string", 0, Field("spec.minAvailable")),
            ("Max Unavailable", "string", 0, Field("spec.maxUnavailable")),
            ("Allowed Disruptions", "integer", 0, Field("status.disruptionsAllowed")),
            AGE,
        ],
        ("", "Namespace") => vec![("Status", "string", 0, Words("The status of the namespace")), AGE],
        ("", "Node") => vec![
            ("Status", "string", 0, Words("The status of the node")),
            ("Roles", "string", 0, Words("The roles of the node")),
            AGE,
            ("Version", "string", 0, Field("status.nodeInfo.kubeletVersion")),
            ("Internal-IP", "string", 1, Field("status.addresses")),
            ("External-IP", "string", 1, Field("status.addresses")),
            ("OS-Image", "string", 1, Field("status.nodeInfo.osImage")),
            ("Kernel-Version", "string", 1, Field("status.nodeInfo.kernelVersion")),
            ("Container-Runtime", "string", 1, Field("status.nodeInfo.containerRuntimeVersion")),
        ],
        ("", "ConfigMap") => vec![("Data", "string", 0, Field("data")), AGE],
        ("", "Secret") => vec![("Type", "string", 0, Field("type")), ("Data", "string", 0, Field("data")), AGE],
        ("", "ServiceAccount") => vec![("Secrets", "string", 0, Field("secrets")), AGE],
        ("", "PersistentVolume") => vec![
            ("Capacity", "string", 0, Field("spec.capacity")),
            ("Access Modes", "string", 0, Field("spec.accessModes")),
            ("Reclaim Policy", "string", 0, Field("spec.persistentVolumeReclaimPolicy")),
            ("Status", "string", 0, Field("status.phase")),
            ("Claim", "string", 0, Field("spec.claimRef")),
            ("StorageClass", "string", 0, Field("spec.storageClassName")),
            ("Reason", "string", 0, Field("status.reason")),
            AGE,
            ("VolumeMode", "string", 1, Field("spec.volumeMode")),
        ],
        ("", "PersistentVolumeClaim") => vec![
            ("Status", "string", 0, Field("status.phase")),
            ("Volume", "string", 0, Field("spec.volumeName")),
            ("Capacity", "string", 0, Field("status.capacity")),
            ("Access Modes", "string", 0, Field("status.accessModes")),
            ("StorageClass", "string", 0, Field("spec.storageClassName")),
            AGE,
            ("VolumeMode", "string", 1, Field("spec.volumeMode")),
        ],
        ("coordination.k8s.io", "Lease") => vec![("Holder", "string", 0, Field("spec.holderIdentity")), AGE],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => vec![
            ("Role", "string", 0, Field("roleRef")),
            AGE,
            ("Users", "string", 1, Words("Users who have the role.")),
            ("Groups", "string", 1, Words("Groups that have the role.")),
            ("ServiceAccounts", "string", 1, Words("Service accounts that have the role.")),
        ],
        ("admissionregistration.k8s.io", _) => {
            vec![("Webhooks", "integer", 0, Words("How many webhooks the configuration has.")), AGE]
        }
        ("", "Event") => vec![
            ("Last Seen", "string", 0, Field("lastTimestamp")),
            ("Type", "string", 0, Field("type")),
            ("Reason", "string", 0, Field("reason")),
            ("Object", "string", 0, Field("involvedObject")),
            ("Subobject", "string", 1, Words("The part of the object that the event is about.")),
            ("Source", "string", 1, Field("source")),
            ("Message", "string", 0, Field("message")),
            ("First Seen", "string", 1, Field("firstTimestamp")),
            ("Count", "string", 1, Field("count")),
            ("Name", "string", 1, Field("metadata.name")),
        ],
        _ => vec![("Created At", "date", 0, Field("metadata.creationTimestamp"))],
    }
}
