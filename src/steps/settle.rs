//! Asking until processes that have just been started answer.
//!
//! A Deployment's pods are ready before what is in them answers: the tutorial's containers have no readiness probe, so
//! that Kubernetes calls them ready when their process runs, on a real cluster as well as here. Nothing tells when a
//! model server has loaded its model; what is asked before is answered by the gateway in its place. So the question is
//! repeated while the answers are such as starting processes give, and what was asked meanwhile counts for nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lab::Traffic;
use crate::traffic::{Answer, AskError, Client, Ingress, Plan, Question, Sampler};

/// How long starting processes may take.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// Questions of one look at who answers.
const A_FEW: u64 = 5;
/// Questions that were all answered, after which everybody is believed to have started.
const ENOUGH: u64 = 60;

/// Asks until somebody answers: a connection that breaks and the gateway's word that a pod does not listen, or has not
/// loaded its model, are what starting processes look like. Any other answer is final.
pub(super) async fn ask(client: &Client, ingress: &Ingress, question: &Question) -> Result<Answer, AskError> {
    let started = Instant::now();
    loop {
        let outcome = client.ask(ingress, question).await;
        let starting = match &outcome {
            Ok(answer) => answer.status == 503 && !answer.body.is_empty(),
            Err(error) => matches!(error, AskError::Refused { .. } | AskError::Broken { .. }),
        };
        if !starting || started.elapsed() >= PATIENCE {
            return outcome;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks until every version that is to answer has answered and nobody fails as starting processes do.
pub(super) async fn versions(sampler: &Sampler<'_>, question: &Question, spec: &Traffic) {
    let started = Instant::now();
    let wanted: BTreeSet<&str> =
        spec.shares.iter().filter(|(_, share)| **share > 0).map(|(version, _)| version.as_str()).collect();
    let (mut seen, mut answered) = (BTreeSet::new(), 0);
    while started.elapsed() < PATIENCE {
        let plan = Plan { count: A_FEW, in_flight: 1, patience: PATIENCE };
        let tally = sampler.take(question, plan, |_| {}).await;
        if tally.errors.is_empty() {
            answered += tally.answered();
            seen.extend(tally.answers.into_keys());
            if wanted.iter().all(|version| seen.contains(*version)) || answered >= ENOUGH {
                return;
            }
        } else if tally.errors.keys().all(|observed| is_of_starting(observed)) {
            (seen, answered) = (BTreeSet::new(), 0);
            tokio::time::sleep(PAUSE).await;
        } else {
            return;
        }
    }
}

/// Whether the observation is one that starting processes give, by the words of [`Sampler`].
fn is_of_starting(observed: &str) -> bool {
    (observed.starts_with("503") && !observed.contains("empty body"))
        || observed.contains("refused the connection")
        || observed.contains("broke: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_route_is_not_waited_for() {
        assert!(is_of_starting("503 `upstream connect error or disconnect/reset before headers`"));
        assert!(is_of_starting("http://127.77.0.1:80 refused the connection"));
        assert!(!is_of_starting("503 with an empty body"));
        assert!(!is_of_starting("404 with an empty body"));
        assert!(!is_of_starting("200 with a prediction of another shape"));
    }
}
