//! The object of a manifest is as the manifest says: applied as `kubectl apply` applies, and free of what others added.

use serde_json::{Value, json};

use super::{Change, Probe, Seen, World};
use crate::cluster::{Applied, Comparison, ObjectRef};
use crate::doctor::{Failure, Reason};
use crate::lab::Apply;
use crate::objects::schemas::unknown_fields;
use crate::objects::{Gvk, meta};

pub(super) async fn probe(spec: &Apply, world: &World<'_>) -> Result<Probe, Failure> {
    let manifest = world.object(&spec.manifest)?;
    let api = world.api().await?;
    let label = ObjectRef::of(&manifest).map(|reference| reference.label()).unwrap_or_default();
    Ok(match api.compare(&manifest).await? {
        Comparison::Same(live) => {
            let facts = json!({"manifest": spec.manifest, "uid": meta::uid(&live), "resource_version": meta::resource_version(&live)});
            Probe::Satisfied(Seen::quiet(facts).with_objects(vec![live]))
        }
        Comparison::Missing => Probe::Needed(Failure::new(Reason::ObjectMissing, format!("{label} does not exist"))),
        Comparison::Different { live, fields } => {
            let failure = Failure::new(Reason::ObjectChanged, format!("{label} is not as {} says", spec.manifest))
                .observed(format!("differs in {}", fields.join(", ")))
                .observed(format!(
                    "generation {}, resource version {}",
                    meta::generation(&live),
                    meta::resource_version(&live).unwrap_or("?")
                ));
            Probe::Needed(failure)
        }
    })
}

pub(super) async fn apply(spec: &Apply, world: &World<'_>) -> Result<Change, Failure> {
    let manifest = world.object(&spec.manifest)?;
    refuse_unknown_fields(spec, &manifest)?;
    let api = world.api().await?;
    let applied = api.restore(&manifest).await.map_err(|error| {
        let label = ObjectRef::of(&manifest).map(|reference| reference.label()).unwrap_or_default();
        let mut failure = Failure::from(error);
        if failure.reason == Reason::ApplyRefused {
            failure.headline = format!("{label} is refused");
        }
        failure
    })?;
    let (object, word) = match applied {
        Applied::Created(object) => (object, "created"),
        Applied::Configured(object) => (object, "configured"),
        Applied::Unchanged(object) => (object, "unchanged"),
    };
    let text = format!("{} {word}", kubectl_name(&object));
    let created = if word == "created" { vec![object] } else { Vec::new() };
    Ok(Change { text: Some(text), created, ..Change::default() })
}

/// `deployment.apps/x`: as kubectl names an object in what it prints.
fn kubectl_name(object: &Value) -> String {
    let gvk = Gvk::of(object).unwrap_or_else(|| Gvk::new("", "", ""));
    let kind = gvk.kind.to_lowercase();
    let kind = if gvk.group.is_empty() { kind } else { format!("{kind}.{}", gvk.group) };
    format!("{kind}/{}", meta::name(object))
}

/// The API server would drop a field that it does not know; kubectl refuses it, and so does the lab.
fn refuse_unknown_fields(spec: &Apply, manifest: &Value) -> Result<(), Failure> {
    let Some(gvk) = Gvk::of(manifest) else { return Ok(()) };
    let unknown = unknown_fields(&gvk, manifest);
    if unknown.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Reason::ManifestInvalid, format!("{} has unknown keys", spec.manifest))
        .because("a key is misspelt or belongs elsewhere; the API server would drop it without a word");
    failure.observed =
        unknown.into_iter().map(|field| format!("unknown key `{}` in a {}", field.path, gvk.kind)).collect();
    Err(failure)
}
