//! The contents of the state file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inventory::{Creator, Item};

/// Everything that a home remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The lab that lives here.
    pub lab: String,
    /// The directory that its files were read from; none for the built-in lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab_directory: Option<PathBuf>,
    /// The provider of its cluster, such as `embedded`.
    #[serde(default)]
    pub provider: Option<String>,
    /// The uid of the cluster's kube-system namespace: another one means another cluster.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Stages that were begun, by id.
    #[serde(default)]
    pub stages: BTreeMap<String, StageRecord>,
    /// The lab's objects in the cluster, in the order of their making.
    #[serde(default)]
    pub inventory: Vec<Item>,
    /// Objects that the lab was about to make, by label; one that is found afterwards is the lab's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intended: Vec<String>,
    /// The lab's files in the work folder: by name, the SHA-256 of what the lab wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub work_files: BTreeMap<String, String>,
    /// Files that were replaced because somebody had changed them, and where the changed ones are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_files: Vec<Place>,
}

/// A file and where it was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it was.
    pub was: String,
    /// Where it is.
    pub is: String,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageStanding {
    /// Begun, and neither proven nor failed: its command was interrupted.
    Begun,
    /// Verified.
    Proven,
    /// Failed when it was tried last.
    Failed,
}

/// What is remembered of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// How far it is.
    pub standing: StageStanding,
    /// When that was found.
    pub at: Timestamp,
    /// The run that found it.
    pub run: u32,
    /// One line: what was shown.
    pub summary: String,
    /// The evidence, relative to the home.
    #[serde(default)]
    pub evidence: Option<String>,
    /// Milliseconds that the stage took when it was worked on last; shown as the typical time.
    #[serde(default)]
    pub took_ms: Option<u64>,
}

impl State {
    /// The state of a home that holds nothing yet.
    pub fn new(lab: &str) -> Self {
        Self { lab: lab.to_owned(), ..Self::default() }
    }

    /// Puts an object into the inventory. A known object keeps its creator and stage unless it was made anew.
    pub fn remember(&mut self, item: Item) {
        match self.inventory.iter_mut().find(|known| known.same_place(&item)) {
            Some(known) if known.uid == item.uid => {
                let (creator, stage) = (known.creator, known.stage.clone());
                *known = Item { creator, stage, ..item };
            }
            Some(known) => *known = item,
            None => self.inventory.push(item),
        }
    }

    /// The creator of the object at this place, if the lab knows it under this uid.
    pub fn creator_of(&self, item: &Item) -> Option<Creator> {
        self.inventory.iter().find(|known| known.same_place(item) && known.uid == item.uid).map(|known| known.creator)
    }

    /// Forgets stages and objects that stood in a cluster which is gone; stages named in `kept` do not depend on it.
    pub fn forget_cluster(&mut self, kept: &[&str]) {
        self.stages.retain(|id, _| kept.contains(&id.as_str()));
        self.inventory.clear();
        self.intended.clear();
        self.cluster = None;
    }

    /// Forgets that these stages were ever begun.
    pub fn forget_stages<'a>(&mut self, stages: impl IntoIterator<Item = &'a str>) {
        for stage in stages {
            self.stages.remove(stage);
        }
    }

    /// Whether the stage was verified.
    pub fn is_proven(&self, stage: &str) -> bool {
        self.stages.get(stage).is_some_and(|record| record.standing == StageStanding::Proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(uid: &str, creator: Creator) -> Item {
        Item {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("tf-serving".into()),
            name: "x".into(),
            uid: uid.into(),
            creator,
            stage: "resnet50".into(),
            generation: None,
        }
    }

    #[test]
    fn a_known_object_keeps_its_creator() {
        let mut state = State::new("lab");
        state.remember(item("1", Creator::Learner));
        state.remember(item("1", Creator::Lab));
        assert_eq!(state.inventory, [item("1", Creator::Learner)]);
        state.remember(item("2", Creator::Lab));
        assert_eq!(state.inventory, [item("2", Creator::Lab)], "made anew by the lab");
    }

    #[test]
    fn another_version_of_a_group_is_the_same_place() {
        let mut state = State::new("lab");
        state.remember(item("1", Creator::Before));
        assert_eq!(
            state.creator_of(&Item { api_version: "apps/v1beta1".into(), ..item("1", Creator::Lab) }),
            Some(Creator::Before)
        );
        assert_eq!(state.creator_of(&Item { api_version: "v1".into(), ..item("1", Creator::Lab) }), None);
    }
}
