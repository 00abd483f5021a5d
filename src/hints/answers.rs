//! What the answer itself tells, when nothing before it explained it.

use super::bindings::authority;
use super::facts::{Facts, Reply, Wanted};
use crate::doctor::{Failure, Situation};

/// What TensorFlow Serving writes once it listens, with the address.
const LISTENS: &str = "Exporting HTTP/REST API at";

pub(super) fn judge(facts: &Facts, wanted: &Wanted, found: &[Failure]) -> Option<Failure> {
    let (asked, Reply::Answered { status, body }) = facts.asked.as_ref()? else { return None };
    let excerpt: String = body.chars().take(200).collect();
    let url = format!("http://{}{}", authority(facts, asked), asked.path);
    let (namespace, deployment, container) = wanted.workload().unwrap_or_default();
    if *status == 404 && body.contains("Servable not found") {
        return Some(
            Situation::ModelNameWrong
                .seen(format!("the model server has no such model or version: {}", asked.path))
                .observed(excerpt)
                .then(
                    format!("kubectl get configmaps -n {namespace} -o yaml"),
                    "shows MODEL_NAME; the path is /v1/models/MODEL_NAME/versions/1:predict",
                ),
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
        let mut failure = Situation::NotServing
            .seen("the pod is reached and does not answer")
            .observed(format!("{url}: {status} `{excerpt}`"));
        let listening =
            |log: &String| log.lines().rev().find(|line| line.contains(LISTENS)).map(str::trim).map(str::to_owned);
        failure.observed.extend(facts.logs.values().filter_map(listening));
        return Some(failure.then(
            format!("kubectl logs -n {namespace} deployment/{deployment} -c {container}"),
            "shows at which port its program listens, or what it waits for",
        ));
    }
    None
}
