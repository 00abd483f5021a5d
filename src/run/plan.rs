//! Which steps still count: an object that a later stage has given another shape is that stage's matter.

use crate::lab::{Lab, Manifest, StageSpec, StepSpec};
use crate::state::State;

/// The lab's stages in the light of what was begun.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    lab: &'a Lab,
    /// The furthest stage that was ever begun, by position; stages after it have changed nothing yet.
    begun: Option<usize>,
}

impl<'a> Plan<'a> {
    /// A plan by the records.
    pub fn new(lab: &'a Lab, state: &State) -> Self {
        let begun = lab.spec.stages.iter().rposition(|stage| state.stages.contains_key(&stage.id));
        Self { lab, begun }
    }

    /// The stage that stands in this step's place, if the step no longer counts.
    ///
    /// A manifest is superseded by a later one of the same object; what the routes were proven to do is superseded as
    /// soon as a later stage has changed a route. The first prediction never is: it can still be compared with the
    /// models; later ones would only repeat it then.
    pub fn superseded_by(&self, position: usize, step: &StepSpec) -> Option<&'a str> {
        match step {
            StepSpec::Apply(apply) => {
                let manifest = self.lab.manifests.get(&apply.manifest)?;
                self.later(position)
                    .filter(|stage| changes(self.lab, stage, manifest))
                    .last()
                    .map(|stage| stage.id.as_str())
            }
            StepSpec::RoutesLive | StepSpec::Traffic(_) => self.routes_changed_by(position),
            StepSpec::Predict(_) if self.predicts_before(position) => self.routes_changed_by(position),
            _ => None,
        }
    }

    /// The last stage after `position` that was begun and gives a route of this stage another shape.
    pub fn routes_changed_by(&self, position: usize) -> Option<&'a str> {
        let routes: Vec<&Manifest> = self.lab.spec.stages[..=position]
            .iter()
            .flat_map(|stage| self.lab.applied_by(stage))
            .filter(|manifest| manifest.key.is_route())
            .collect();
        let replaces = |stage: &StageSpec| routes.iter().any(|route| changes(self.lab, stage, route));
        self.later(position).filter(|stage| replaces(stage)).last().map(|stage| stage.id.as_str())
    }

    fn predicts_before(&self, position: usize) -> bool {
        let earlier = self.lab.spec.stages[..position].iter().flat_map(|stage| &stage.steps);
        earlier.into_iter().any(|step| matches!(step, StepSpec::Predict(_)))
    }

    fn later(&self, position: usize) -> impl Iterator<Item = &'a StageSpec> + use<'a> {
        let end = self.begun.map_or(0, |begun| begun + 1);
        self.lab.spec.stages.iter().take(end).skip(position + 1)
    }
}

/// Whether the stage applies another manifest of the same object.
fn changes(lab: &Lab, stage: &StageSpec, manifest: &Manifest) -> bool {
    lab.applied_by(stage).any(|other| other.key == manifest.key && other.file != manifest.file)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::lab::Source;
    use crate::state::{StageRecord, StageStanding};

    fn begun(lab: &Lab, until: &str) -> State {
        let mut state = State::new(&lab.spec.name);
        for id in &lab.stage_ids()[..=lab.position(until).unwrap()] {
            let record = StageRecord {
                standing: StageStanding::Proven,
                at: Timestamp::UNIX_EPOCH,
                run: 1,
                summary: String::new(),
                evidence: None,
                took_ms: None,
            };
            state.stages.insert((*id).to_owned(), record);
        }
        state
    }

    fn superseded(lab: &Lab, until: &str, stage: &str) -> Vec<Option<String>> {
        let state = begun(lab, until);
        let plan = Plan::new(lab, &state);
        let position = lab.position(stage).unwrap();
        let steps = lab.spec.stages[position].steps.iter();
        steps.map(|step| plan.superseded_by(position, step).map(str::to_owned)).collect()
    }

    #[test]
    fn a_later_virtual_service_takes_the_place_of_an_earlier_one() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(superseded(&lab, "ingress", "ingress"), [None, None, None]);
        assert_eq!(superseded(&lab, "subsets", "ingress"), [None, some("subsets"), some("subsets")]);
        assert_eq!(superseded(&lab, "by-header", "by-header"), [None, None, None, None, None]);
        let canary = superseded(&lab, "split-70-30", "canary-0");
        assert_eq!(canary, [None, None, None, some("split-70-30"), some("split-70-30")]);
    }

    #[test]
    fn the_first_prediction_always_counts() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        assert_eq!(superseded(&lab, "by-header", "predict"), [None]);
        assert_eq!(superseded(&lab, "by-header", "subsets")[3].as_deref(), Some("by-header"));
        let state = begun(&lab, "by-header");
        assert_eq!(Plan::new(&lab, &state).routes_changed_by(lab.position("predict").unwrap()), Some("by-header"));
        assert_eq!(Plan::new(&lab, &state).routes_changed_by(lab.position("by-header").unwrap()), None);
    }
}
