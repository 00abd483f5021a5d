//! What the answer itself tells, when nothing before it explained it.

use super::bindings::authority;
use super::facts::{Facts, Reply};
use crate::doctor::{Failure, Situation};

pub(super) fn judge(facts: &Facts, found: &[Failure]) -> Option<Failure> {
    let (asked, Reply::Answered { status, body }) = facts.asked.as_ref()? else { return None };
    let excerpt: String = body.chars().take(200).collect();
    let url = format!("http://{}{}", authority(facts, asked), asked.path);
    let served = "kubectl get configmaps -n tf-serving -o yaml";
    if *status == 404 && body.contains("Servable not found") {
        return Some(
            Situation::ModelNameWrong
                .seen(format!("the model server has no such model or version: {}", asked.path))
                .observed(excerpt)
                .then(served, "shows MODEL_NAME; the path is /v1/models/MODEL_NAME/versions/1:predict"),
        );
    }
    if *status == 400 && body.contains("Malformed request") {
        return Some(
            Situation::PathWrong
                .seen(format!("the model server does not know the path {}", asked.path))
                .observed(excerpt)
                .then("canary-lab request", "asks with the right one"),
        );
    }
    let explained = found.iter().any(|failure| {
        failure.situation.is_some_and(|known| !matches!(known, Situation::NotApplied | Situation::Altered))
    });
    if *status == 503 && body.starts_with("upstream connect error") && !explained {
        return Some(
            Situation::NotServing
                .seen("the pod is reached and does not answer")
                .observed(format!("{url}: {status} `{excerpt}`"))
                .then(
                    "kubectl logs -n tf-serving -l app=image-classifier -c tf-serving",
                    "shows what its model server waits for",
                ),
        );
    }
    None
}
