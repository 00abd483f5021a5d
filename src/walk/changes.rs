//! What a stage would change: its manifests against the cluster, as `kubectl diff` shows them.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::cluster::{ObjectRef, Preview};
use crate::doctor::Failure;
use crate::lab::StepSpec;
use crate::objects::apply::LAST_APPLIED;
use crate::objects::meta;
use crate::steps::{Probe, World, probe, subject};
use crate::ui::Paint;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// One step's effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing would change.
    None,
    /// An object would be made or changed: its YAML before and after.
    Object {
        /// What it is now; empty when it is not there.
        before: String,
        /// What it would be.
        after: String,
    },
    /// Something other than an object, in words.
    Words(String),
}

/// A step and its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// What it is about: `Deployment tf-serving/x (deployment.yaml)`.
    pub(super) subject: String,
    /// What would happen.
    pub(super) effect: Effect,
}

/// What the steps would change that change anything at all.
pub(super) async fn of_stage(steps: &[StepSpec], world: &World<'_>) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    for step in steps {
        let change = match step {
            StepSpec::Apply(apply) => {
                let manifest = world.object(&apply.manifest)?;
                let label = ObjectRef::of(&manifest).map(|reference| reference.label()).unwrap_or_default();
                let api = world.api().await?;
                let effect = match api.preview(&manifest).await {
                    Ok(preview) => effect_of(&preview),
                    Err(error) => Effect::Words(format!("cannot be told: {error}")),
                };
                Change { subject: format!("{label} ({})", apply.manifest), effect }
            }
            StepSpec::Preflight
            | StepSpec::Rollout(_)
            | StepSpec::RoutesLive
            | StepSpec::Predict(_)
            | StepSpec::Traffic(_) => {
                continue;
            }
            _ => {
                let effect = match probe(step, world).await {
                    Ok(Probe::Needed(failure)) | Err(failure) => Effect::Words(needed(&failure)),
                    Ok(_) => Effect::None,
                };
                Change { subject: subject(step, world), effect }
            }
        };
        changes.push(change);
    }
    Ok(changes)
}

fn needed(failure: &Failure) -> String {
    let observed = failure.observed.first().map(|line| format!(" ({line})")).unwrap_or_default();
    format!("to be made: {}{observed}", failure.headline)
}

fn effect_of(preview: &Preview) -> Effect {
    let before = preview.live.as_ref().map(readable).unwrap_or_default();
    let after = readable(&preview.merged);
    if before == after { Effect::None } else { Effect::Object { before, after } }
}

/// An object as YAML without what the server keeps books by.
fn readable(object: &Value) -> String {
    let mut object = object.clone();
    for path in [
        ["metadata", "managedFields"],
        ["metadata", "uid"],
        ["metadata", "resourceVersion"],
        ["metadata", "generation"],
        ["metadata", "creationTimestamp"],
    ] {
        meta::remove_at(&mut object, &path);
    }
    meta::remove_annotation(&mut object, LAST_APPLIED);
    if object.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
        meta::remove_at(&mut object, &["metadata", "annotations"]);
    }
    meta::remove_at(&mut object, &["status"]);
    serde_yaml::to_string(&in_usual_order(object)).unwrap_or_default()
}

/// A heading, wrapped beside its sign.
fn heading(sign: &str, words: &str, width: usize, paint: Paint) -> Vec<String> {
    let lines = crate::ui::wrap(words, width.saturating_sub(4).max(10));
    let lead = |index| if index == 0 { format!(" {sign} ") } else { "   ".to_owned() };
    lines.iter().enumerate().map(|(index, line)| format!("{}{}", lead(index), paint.bold(line))).collect()
}

/// The object with its type and name first, as people write them.
fn in_usual_order(object: Value) -> Value {
    let Value::Object(mut members) = object else { return object };
    let mut ordered = serde_json::Map::new();
    for key in ["apiVersion", "kind", "metadata"] {
        ordered.extend(members.shift_remove_entry(key));
    }
    ordered.extend(members);
    Value::Object(ordered)
}

/// The changes as lines: a heading for each object, `+` and `-` before what comes and goes.
pub(super) fn lines(changes: &[Change], width: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for Change { subject, effect } in changes {
        match effect {
            Effect::None => lines.push(format!(" {} {subject}: no change", paint.dim("="))),
            Effect::Words(words) => {
                lines.extend(heading(&paint.notable("~"), subject, width, paint));
                lines.extend(
                    crate::ui::wrap(words, width.saturating_sub(5).max(10)).iter().map(|line| format!("     {line}")),
                );
            }
            Effect::Object { before, after } if before.is_empty() => {
                lines.extend(heading(&paint.added("+"), &format!("{subject} would be created:"), width, paint));
                lines.extend(after.lines().map(|line| paint.added(&format!("   + {line}"))));
            }
            Effect::Object { before, after } => {
                lines.extend(heading(&paint.notable("~"), &format!("{subject} would change:"), width, paint));
                lines.extend(difference(before, after, paint));
            }
        }
    }
    if changes.iter().all(|change| change.effect == Effect::None) {
        lines.push(" Nothing would change.".to_owned());
    }
    lines
}

fn difference(before: &str, after: &str, paint: Paint) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push(paint.dim("   ⋮"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Delete => paint.removed(&format!("   - {text}")),
                ChangeTag::Insert => paint.added(&format!("   + {text}")),
                ChangeTag::Equal => format!("     {text}"),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_shows_what_comes_and_goes() {
        let object = |weight: u32| {
            json!({"kind": "VirtualService", "metadata": {"name": "v", "uid": "1", "resourceVersion": weight.to_string(),
                "annotations": {LAST_APPLIED: "x"}}, "spec": {"weight": weight}, "status": {}})
        };
        let effect = effect_of(&Preview { live: Some(object(100)), merged: object(70) });
        let change = Change { subject: "VirtualService n/v (v.yaml)".into(), effect };
        let lines = lines(&[change], 80, Paint::PLAIN);
        assert_eq!(lines[0], " ~ VirtualService n/v (v.yaml) would change:");
        assert!(lines.contains(&"   -   weight: 100".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"   +   weight: 70".to_owned()), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("uid") || line.contains("annotations")), "{lines:#?}");
    }

    #[test]
    fn a_new_object_is_shown_whole_and_an_equal_one_not_at_all() {
        let object = json!({"kind": "ConfigMap", "data": {"A": "b"}});
        let made = effect_of(&Preview { live: None, merged: object.clone() });
        let same = effect_of(&Preview { live: Some(object.clone()), merged: object });
        assert_eq!(same, Effect::None);
        let shown = lines(&[Change { subject: "a".into(), effect: made }], 80, Paint::PLAIN);
        assert_eq!(shown[1], "   + kind: ConfigMap");
        let shown = lines(&[Change { subject: "a".into(), effect: same }], 80, Paint::PLAIN);
        assert_eq!(shown, [" = a: no change", " Nothing would change."]);
    }
}
