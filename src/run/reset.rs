//! Back to a stage: what later stages made is taken back, and what stands then is proven.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::engine::{Engine, Mode, Summary, drive, screen_gone};
use super::event::Event;
use super::foreign;
use super::interrupt::Interrupt;
use super::undo::{StageUndo, undo_plan};
use crate::cluster::{ObjectRef, Settings, Standing};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, StepSpec};
use crate::state::Creator;
use crate::steps::{Memory, Undo, World};
use crate::ui::{Mark, Progress, Screen, plural};

/// A stage of which something was taken back.
#[derive(Debug, Clone, Serialize)]
pub struct UndoneStage {
    /// Its id.
    pub stage: String,
    /// What was done, a line each.
    pub lines: Vec<String>,
}

/// What a reset did.
#[derive(Debug, Clone, Serialize)]
pub struct ResetSummary {
    /// What was taken back, last stage first.
    pub undone: Vec<UndoneStage>,
    /// What stands, proven anew.
    #[serde(flatten)]
    pub proven: Summary,
}

/// What a reset to the stage at `target` would do, a line each, last stage first.
pub fn plan_reset(lab: &Lab, target: usize, provider: &str) -> Vec<UndoneStage> {
    let stages = undo_plan(lab, Some(target)).into_iter().map(|StageUndo { position, undos }| UndoneStage {
        stage: lab.spec.stages[position].id.clone(),
        lines: undos.iter().map(|undo| undo.describe(lab, provider)).collect(),
    });
    stages.filter(|stage| !stage.lines.is_empty()).collect()
}

impl Engine<'_> {
    /// Brings cluster, files and state to what they were after the stage at `target`, from wherever they are: takes back
    /// what later stages made, then makes and proves every stage up to it. Models and caches stay.
    ///
    /// Objects of other people that would go with a namespace stop it before anything is touched, unless `force`; ones
    /// that stood before the lab are left. What is changed or removed is kept in the run's directory first.
    pub async fn reset(
        &mut self,
        target: usize,
        force: bool,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<ResetSummary, Failure> {
        self.begin("reset", target)?;
        let memory = Memory::default();
        let undone = match self.take_back(target, force, &memory, screen, interrupt).await {
            Ok(undone) => undone,
            Err(failure) => {
                screen.clear().map_err(screen_gone)?;
                self.end(Some(&failure))?;
                return Err(failure);
            }
        };
        let proven = self.stages(Mode::Up, target, &memory, screen, interrupt).await?;
        self.end(proven.failure())?;
        Ok(ResetSummary { undone, proven })
    }

    /// Takes back what the stages after `target` made.
    async fn take_back(
        &mut self,
        target: usize,
        force: bool,
        memory: &Memory,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Vec<UndoneStage>, Failure> {
        let lab = self.lab;
        let plan = undo_plan(lab, Some(target));
        if self.needs_the_cluster(&plan).await? {
            screen.begin("the cluster", None).map_err(screen_gone)?;
            let (progress, mut notes) = Progress::channel();
            if let Standing::Down(_) = self.provider.probe().await? {
                drive(self.provider.start(&progress), screen, &mut notes, interrupt).await??;
            }
            if !force {
                self.refuse_to_take_what_is_not_ours(&plan, memory).await?;
            }
        }
        // From here on nothing claims that the later stages stand; what they made is still in the inventory.
        let later: Vec<&str> = lab.spec.stages[target + 1..].iter().map(|stage| stage.id.as_str()).collect();
        self.state.forget_stages(later.iter().copied());
        self.save()?;
        let mut undone = Vec::new();
        let mut objects = Vec::new();
        for stage in plan {
            let lines = self.undo_stage(&stage, memory, &mut objects, screen, interrupt).await?;
            if !lines.is_empty() {
                undone.push(UndoneStage { stage: lab.spec.stages[stage.position].id.clone(), lines });
            }
        }
        self.forget_what_is_gone(target, &later)?;
        Ok(undone)
    }

    /// Whether something has to be taken back inside of a cluster. One that was never started holds nothing.
    async fn needs_the_cluster(&self, plan: &[StageUndo<'_>]) -> Result<bool, Failure> {
        let inside = |undo: &Undo<'_>| !matches!(undo, Undo::Cluster | Undo::WorkFolder);
        if !plan.iter().flat_map(|stage| &stage.undos).any(inside) {
            return Ok(false);
        }
        let runs = matches!(self.provider.probe().await?, Standing::Runs { .. });
        Ok(runs || self.state.cluster.is_some() || Settings::has_company(self.home))
    }

    async fn undo_stage(
        &mut self,
        stage: &StageUndo<'_>,
        memory: &Memory,
        objects: &mut Vec<Value>,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Vec<String>, Failure> {
        let begun = Instant::now();
        let spec = &self.lab.spec.stages[stage.position];
        screen.begin(format!("taking back {}", spec.title), None).map_err(screen_gone)?;
        let (progress, mut notes) = Progress::channel();
        let mut lines = Vec::new();
        for undo in &stage.undos {
            let world = self.world(stage.position, false, memory, progress.clone());
            if let Some(label) = self.stood_before(undo, &world) {
                lines.push(format!("{label} stays: it was there before the lab"));
                continue;
            }
            if !matches!(undo, Undo::Cluster | Undo::WorkFolder)
                && matches!(self.provider.probe().await?, Standing::Down(_))
            {
                continue;
            }
            let undone = drive(undo.carry_out(&world, self.state), screen, &mut notes, interrupt).await??;
            lines.extend(undone.lines);
            objects.extend(undone.objects);
            self.journal.keep_objects(objects)?;
        }
        if lines.is_empty() {
            return Ok(lines);
        }
        self.journal.record(&Event::Undone { stage: spec.id.clone(), lines: lines.clone() })?;
        let (number, of) = (stage.position + 1, self.lab.spec.stages.len());
        screen
            .stage(number, of, &spec.title, Mark::Quiet, &lines.join(", "), Some(begun.elapsed()))
            .map_err(screen_gone)?;
        Ok(lines)
    }

    /// The label of the object that is to go, if it stood before the lab.
    fn stood_before(&self, undo: &Undo<'_>, world: &World<'_>) -> Option<String> {
        let label = match undo {
            Undo::Delete { manifest } | Undo::Restore { manifest } => world.lab.manifests.get(*manifest)?.key.label(),
            Undo::Namespace { name } => format!("Namespace {name}"),
            _ => return None,
        };
        let mut items = self.state.inventory.iter();
        items.any(|item| item.creator == Creator::Before && item.label() == label).then_some(label)
    }

    /// A namespace takes everything with it that is in it.
    async fn refuse_to_take_what_is_not_ours(&self, plan: &[StageUndo<'_>], memory: &Memory) -> Result<(), Failure> {
        let world = self.world(0, false, memory, Progress::channel().0);
        let api = world.api().await?;
        let known = foreign::of_the_lab(self.lab, self.state);
        let mut found = Vec::new();
        for undo in plan.iter().flat_map(|stage| &stage.undos) {
            let Undo::Namespace { name } = undo else { continue };
            let kinds = api.kinds().await?;
            let objects = api.everything(&kinds, Some(name)).await?;
            let others = foreign::of_others(&objects, &known, &self.lab.spec.ingress.namespace);
            found.extend(others.into_iter().filter_map(ObjectRef::of).map(|reference| (*name, reference.label())));
        }
        let Some((namespace, _)) = found.first() else { return Ok(()) };
        let what = format!("Namespace {namespace} holds {} of yours", plural(found.len() as u64, "object"));
        let mut failure = Failure::new(Reason::NotOurs, what)
            .then("canary-lab reset --force", "removes them as well")
            .then(format!("kubectl get all,cm,secret -n {namespace}"), "shows them");
        failure.observed = found.iter().map(|(_, label)| label.clone()).collect();
        Err(failure)
    }

    /// Takes out of the records what the later stages had put there.
    fn forget_what_is_gone(&mut self, target: usize, later: &[&str]) -> Result<(), Failure> {
        self.state.inventory.retain(|item| item.creator == Creator::Before || !later.contains(&item.stage.as_str()));
        let kept = self.lab.spec.stages[..=target].iter().flat_map(|stage| &stage.steps);
        let (mut cluster, mut files) = (false, false);
        for step in kept {
            cluster |= matches!(step, StepSpec::Cluster(_));
            files |= matches!(step, StepSpec::WorkFolder);
        }
        self.state.intended.clear();
        if !cluster {
            self.state.cluster = None;
            self.state.provider = None;
            self.state.inventory.clear();
        }
        if !files {
            self.state.work_files.clear();
        }
        self.save()
    }
}
