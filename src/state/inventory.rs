//! The inventory: which objects of the cluster belong to the lab, and who made them.

use serde::{Deserialize, Serialize};

/// Who made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Creator {
    /// The lab.
    Lab,
    /// The learner, for a stage that was not proven yet; the lab adopted it.
    Learner,
    /// It was there before the lab; it is left alone when the lab goes.
    Before,
}

/// One object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// None for cluster-wide kinds.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
    /// Which object of that name: one made anew has another uid.
    pub uid: String,
    /// Who made it.
    pub creator: Creator,
    /// The stage that first needed it.
    pub stage: String,
    /// The object's generation (or, where it has none, nothing) when the lab last wrote it: a higher one shows that
    /// somebody else changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

impl Item {
    /// Whether both speak of the same place in the cluster, whatever the object's age.
    pub fn same_place(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
            && group(&self.api_version) == group(&other.api_version)
    }

    /// `Deployment tf-serving/image-classifier-resnet50`.
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
