//! Hints from what is observed: a pure judgement over the objects of a cluster, its answers and its logs.
//!
//! [`Facts`] is what was seen, [`Wanted`] what the lab wants to see up to a stage; [`judge`] turns both into failures that
//! name a [`crate::doctor::Situation`], the most fundamental first. [`collect`] gathers facts from any cluster through its
//! API. [`explain`] walks one request through the rules. Routes are judged by the functions of [`crate::routing`], the same
//! that the embedded mesh obeys. `walk`, `verify`, `up` and `explain` call this room; it changes nothing.

mod answers;
mod bindings;
mod facts;
mod ingress;
mod objects;
mod pods;
mod request;
mod routes;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub use facts::{Asked, Facts, IngressPlace, Reply, Wanted, collect};
pub use request::{Explained, explain};

use crate::doctor::{Failure, Situation};

/// Everything that stands in the way, the most fundamental first; empty when nothing does.
///
/// What only follows from something else is left out: pods that cannot start because a ConfigMap is missing are no
/// second finding, and routes are not judged by their endpoints then.
pub fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Failure> {
    let mut found = objects::judge(facts, wanted);
    if is_without_namespace(&found) {
        return found;
    }
    found.extend(pods::judge(facts, wanted));
    found.extend(ingress::judge(facts, wanted));
    found.extend(routes::judge(facts, wanted));
    found.extend(answers::judge(facts, wanted, &found));
    without_repetition(found)
}

/// Whether the namespace is not there, or not for long: everything else follows from that.
fn is_without_namespace(found: &[Failure]) -> bool {
    let gone = |failure: &Failure| {
        matches!(failure.situation, Some(Situation::NamespaceMissing | Situation::NamespaceTerminating))
    };
    found.iter().any(gone)
}

/// Each situation once, and an object that is only missing or altered not beside what this leads to.
fn without_repetition(found: Vec<Failure>) -> Vec<Failure> {
    let mut kept: Vec<Failure> = Vec::new();
    for failure in found {
        let known = |other: &Failure| other.situation == failure.situation && other.headline == failure.headline;
        if !kept.iter().any(known) {
            kept.push(failure);
        }
    }
    let unspecific = |failure: &Failure| matches!(failure.situation, Some(Situation::NotApplied | Situation::Altered));
    // What a precise finding says to apply needs not be said a second time.
    let said: Vec<String> = kept
        .iter()
        .filter(|failure| !unspecific(failure))
        .flat_map(|failure| failure.next.iter().map(|next| next.command.clone()))
        .collect();
    kept.retain(|failure| {
        failure.situation != Some(Situation::NotApplied)
            || !failure.next.iter().any(|next| said.contains(&next.command))
    });
    // A precise finding comes before "differs from the manifest", which stays for whoever reads on.
    kept.sort_by_key(unspecific);
    kept
}
