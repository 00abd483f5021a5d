//! What leads from a later stage back to an earlier one, by the lab alone: records may be lost, the way is the same.

use std::collections::BTreeSet;

use crate::lab::{Lab, StepSpec};
use crate::steps::Undo;

/// What is to be taken back of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageUndo<'a> {
    /// The stage, by position.
    pub position: usize,
    /// In the order in which it is taken back.
    pub undos: Vec<Undo<'a>>,
}

/// The stages after `target` (all of them, if there is none), last first, each with what is to be taken back of it.
///
/// An object that an earlier stage made stays, and gets the shape of the last of these; models are kept. Where the
/// cluster itself goes, nothing in it needs to be taken back one by one.
pub fn undo_plan(lab: &Lab, target: Option<usize>) -> Vec<StageUndo<'_>> {
    let first = target.map_or(0, |target| target + 1);
    let stages = &lab.spec.stages;
    let cluster_goes =
        stages[first..].iter().flat_map(|stage| &stage.steps).any(|step| matches!(step, StepSpec::Cluster(_)));
    let mut restored = BTreeSet::new();
    let mut plan = Vec::new();
    for (position, stage) in stages.iter().enumerate().skip(first).rev() {
        let mut undos = Vec::new();
        for step in stage.steps.iter().rev() {
            let undo = match step {
                StepSpec::Cluster(_) => Some(Undo::Cluster),
                StepSpec::WorkFolder => Some(Undo::WorkFolder),
                _ if cluster_goes => None,
                StepSpec::Mesh(_) => Some(Undo::Mesh),
                StepSpec::Tunnel => Some(Undo::Tunnel),
                StepSpec::Namespace(spec) if made_before(lab, first, &spec.name) => None,
                StepSpec::Namespace(spec) => Some(Undo::Namespace { name: &spec.name }),
                StepSpec::Apply(apply) => match shape_before(lab, first, &apply.manifest) {
                    Some(earlier) => restored.insert(earlier).then_some(Undo::Restore { manifest: earlier }),
                    None => Some(Undo::Delete { manifest: &apply.manifest }),
                },
                _ => None,
            };
            // The shapes of one object are one object.
            undos.extend(undo.filter(|undo| !undos.contains(undo)));
        }
        plan.push(StageUndo { position, undos });
    }
    plan
}

/// The manifest by which a stage before `first` shaped the object of `manifest` last.
fn shape_before<'a>(lab: &'a Lab, first: usize, manifest: &str) -> Option<&'a str> {
    let key = &lab.manifests.get(manifest)?.key;
    let earlier = lab.spec.stages[..first].iter().flat_map(|stage| lab.applied_by(stage));
    earlier.filter(|earlier| earlier.key == *key).last().map(|earlier| earlier.file.as_str())
}

fn made_before(lab: &Lab, first: usize, namespace: &str) -> bool {
    let earlier = lab.spec.stages[..first].iter().flat_map(|stage| &stage.steps);
    earlier.into_iter().any(|step| matches!(step, StepSpec::Namespace(spec) if spec.name == namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Source;

    fn undone<'a>(lab: &'a Lab, target: Option<&str>) -> Vec<Undo<'a>> {
        let target = target.map(|id| lab.position(id).unwrap());
        undo_plan(lab, target).into_iter().flat_map(|stage| stage.undos).collect()
    }

    #[test]
    fn an_object_of_an_earlier_stage_gets_its_shape_back_once() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let (restore, delete) = (|manifest| Undo::Restore { manifest }, |manifest| Undo::Delete { manifest });
        assert_eq!(undone(&lab, Some("by-header")), []);
        assert_eq!(undone(&lab, Some("split-70-30")), [restore("virtualservice-weight-70.yaml")]);
        let canary = [restore("virtualservice-weight-100.yaml")];
        assert_eq!(undone(&lab, Some("canary-0")), canary);
        let subsets = [
            restore("virtualservice-weight-100.yaml"),
            delete("deployment-resnet101.yaml"),
            delete("configmap-resnet101.yaml"),
        ];
        assert_eq!(undone(&lab, Some("subsets")), subsets);
        let predict = [&[restore("virtual-service.yaml")], &subsets[1..], &[delete("destinationrule.yaml")]].concat();
        assert_eq!(undone(&lab, Some("predict")), predict);
    }

    #[test]
    fn a_shape_that_no_stage_is_left_for_is_deleted_with_its_object() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let all = undone(&lab, Some("models"));
        assert!(all.iter().all(|undo| !matches!(undo, Undo::Restore { .. })), "{all:?}");
        assert_eq!(all.last(), Some(&Undo::Namespace { name: "tf-serving" }));
        assert_eq!(undone(&lab, Some("istio")).last(), Some(&Undo::Tunnel));
        assert_eq!(undone(&lab, Some("cluster")).last(), Some(&Undo::Mesh));
    }

    #[test]
    fn nothing_is_taken_out_of_a_cluster_that_goes() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        assert_eq!(undone(&lab, Some("preflight")), [Undo::WorkFolder, Undo::Cluster]);
        assert_eq!(undone(&lab, None), [Undo::WorkFolder, Undo::Cluster]);
    }
}
