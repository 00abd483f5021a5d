//! A model's files lie where pods mount them. Where the node is this machine, they lie there once they are built.

use super::{Change, Probe, World, model};
use crate::doctor::{Failure, Reason};
use crate::lab::ModelStep;

/// What the model's own probe found, unless the files are not on the node yet.
pub(super) async fn probe(spec: &ModelStep, world: &World<'_>) -> Result<Probe, Failure> {
    let built = model::probe(spec, world).await?;
    let Probe::Satisfied(mut seen) = built else { return Ok(built) };
    if world.provider.is_the_labs() {
        return Ok(Probe::Satisfied(seen));
    }
    let api = world.api().await?;
    let folder = world.home.models().join(&spec.name);
    let differences = world.provider.probe_model(&api, &spec.name, &folder).await?;
    if differences.is_empty() {
        seen.text = placed(seen.text, spec, world);
        if let Some(reference) = world.provider.model_object(&spec.name) {
            seen.objects.extend(api.get(&reference).await?);
        }
        return Ok(Probe::Satisfied(seen));
    }
    let mut failure = Failure::new(Reason::ModelNotOnNode, format!("model {} is not on the node", spec.name));
    failure.observed = differences;
    Ok(Probe::Needed(failure))
}

/// Builds the model where that is needed, and places it.
pub(super) async fn apply(spec: &ModelStep, world: &World<'_>) -> Result<Change, Failure> {
    let (mut change, built) = match model::probe(spec, world).await? {
        Probe::Satisfied(_) => (Change::default(), false),
        Probe::Needed(_) | Probe::Judge => (model::apply(spec, world).await?, true),
    };
    if !world.provider.is_the_labs() {
        let api = world.api().await?;
        let folder = world.home.models().join(&spec.name);
        change.created.extend(world.provider.place_model(&api, &spec.name, &folder, &world.progress).await?);
        change.text = placed(change.text, spec, world);
        if built {
            // Pods that were made anew in the meantime have loaded what was there before.
            let _ = model::restart::restart_pods(world, &spec.name).await?;
        }
    }
    Ok(change)
}

/// What the model will lie in, by label, where that has to be made first.
pub(super) async fn about_to_make(spec: &ModelStep, world: &World<'_>) -> Result<Vec<String>, Failure> {
    let Some(reference) = world.provider.model_object(&spec.name) else { return Ok(Vec::new()) };
    let there = world.api().await?.get(&reference).await?.is_some();
    Ok(if there { Vec::new() } else { vec![reference.label()] })
}

/// A model's line, with the place where it lies for pods.
fn placed(text: Option<String>, spec: &ModelStep, world: &World<'_>) -> Option<String> {
    let place = world.provider.model_object(&spec.name);
    let place = place.map(|place| format!("{} lies in {}", spec.name, place.label()));
    let lines: Vec<String> = text.into_iter().chain(place).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
