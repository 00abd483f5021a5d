//! Single stages out of order, for somebody who walks through the lab.

use std::time::Duration;

use super::engine::{Engine, Mode, StageResult};
use super::event::Event;
use super::interrupt::Interrupt;
use super::plan::Plan;
use crate::doctor::Failure;
use crate::lab::StepSpec;
use crate::steps::{Memory, Probe, World};
use crate::ui::{Progress, Screen};

impl Engine<'_> {
    /// Begins a run whose stages are asked for one by one.
    pub fn open(&mut self, command: &str) -> Result<(), Failure> {
        let last = self.lab.spec.stages.last().map(|stage| stage.id.clone()).unwrap_or_default();
        Ok(self.journal.record(&Event::RunStarted {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            lab: self.lab.spec.name.clone(),
            command: command.to_owned(),
            until: last,
            provider: self.provider.name().to_owned(),
        })?)
    }

    /// Ends a run that [`Engine::open`] began.
    pub fn close(&mut self, failure: Option<&Failure>) -> Result<(), Failure> {
        Ok(self.journal.record(&Event::RunEnded {
            exit: failure.map_or(0, Failure::exit_code),
            reason: failure.map(|failure| failure.reason.id().to_owned()),
        })?)
    }

    /// Runs the stage at `position`: makes it true, or only looks. Objects that somebody else made for it are adopted.
    pub async fn alone(
        &mut self,
        mode: Mode,
        position: usize,
        memory: &Memory,
        screen: &mut Screen<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<StageResult, Failure> {
        let stage = &self.lab.spec.stages[position];
        self.stage(mode, position, stage, memory, screen, interrupt).await
    }

    /// What a step of the stage at `position` looks at.
    pub fn surroundings<'w>(&'w self, position: usize, memory: &'w Memory, progress: Progress) -> World<'w> {
        let routes_changed_since = Plan::new(self.lab, self.state).routes_changed_by(position).is_some();
        self.world(position, routes_changed_since, memory, progress)
    }

    /// Whether every step of the stage that can be seen without judging holds: objects, namespace, address, models. Steps
    /// that a later stage stands in for count as held. The first that does not hold is told with its reason.
    pub async fn made(&self, position: usize, memory: &Memory) -> Result<Result<(), Failure>, Failure> {
        let plan = Plan::new(self.lab, self.state);
        let world = self.surroundings(position, memory, Progress::silent());
        for step in &self.lab.spec.stages[position].steps {
            if plan.superseded_by(position, step).is_some() {
                continue;
            }
            if let Probe::Needed(failure) = crate::steps::probe(step, &world).await? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Whether somebody can see by the cluster alone that the stage was done: it has a step that changes the cluster.
    pub fn is_visible(&self, position: usize) -> bool {
        self.lab.spec.stages[position]
            .steps
            .iter()
            .any(|step| matches!(step, StepSpec::Apply(_) | StepSpec::Namespace(_) | StepSpec::Tunnel))
    }

    /// How long the stages from `position` on usually take in all.
    pub fn time_left(&self, position: usize) -> Duration {
        let stages = self.lab.spec.stages.iter().skip(position);
        stages.filter(|stage| !self.state.is_proven(&stage.id)).filter_map(|stage| self.typical(stage)).sum()
    }

    /// How long the stage at `position` usually takes.
    pub fn typical_time(&self, position: usize) -> Option<Duration> {
        self.typical(&self.lab.spec.stages[position])
    }
}
