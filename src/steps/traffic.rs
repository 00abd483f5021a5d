//! Many requests through the ingress, judged by who answers them.

use serde_json::{Value, json};

use super::predict::explain_errors;
use super::{Seen, World, settle};
use crate::doctor::{Failure, Reason};
use crate::lab::Traffic;
use crate::stats::{Sample, clopper_pearson, two_sided_p};
use crate::traffic::{Cause, Figures, Plan, Sampler, Tally, Verdict, Wanted, judge as verdict_on, rules};
use crate::ui::{Share, Shares, thousands};

pub(super) async fn judge(spec: &Traffic, world: &World<'_>) -> Result<Seen, Failure> {
    let asking = world.asking(world.lab.spec.request.sample_picture).await?;
    let ingress = world.ingress().await?.ingress;
    let client = world.http()?;
    let mut question = asking.question.clone();
    for (name, value) in &spec.headers {
        question = question.with_header(name, value);
    }
    let wanted = wanted(spec);
    let sampler = Sampler { client: &client, ingress: &ingress, oracle: &asking.oracle };
    let awaited = format!("{} requests{}", spec.requests, header_text(spec));
    world.progress.awaiting(awaited.clone(), None);
    settle::versions(&sampler, &question, spec).await;
    let mut tallies = Vec::new();
    loop {
        let take = sampler.take(&question, Plan::of(spec.requests), |tally| {
            world.progress.sampling(awaited.clone(), counts(tally), shares(spec, tally));
        });
        let tally = take.await;
        let verdict = verdict_on(&wanted, &tally, spec.requests);
        tallies.push(tally);
        let last = &tallies[tallies.len() - 1];
        match verdict {
            Verdict::Pass { figures } => {
                let facts = json!({
                    "verdict": "pass", "samples": tallies.iter().map(evidence).collect::<Vec<_>>(), "figures": figures, "headers": spec.headers,
                    "shares": spec.shares, "alpha": rules::ALPHA, "ingress": ingress.url(),
                });
                return Ok(Seen::new(passed_text(spec, last, &figures), facts));
            }
            // One fresh sample before chance is ruled out; a stray answer is no matter of chance.
            Verdict::Fail { cause: Cause::Share, .. } if tallies.len() < 2 => {}
            Verdict::Fail { figures, cause } => return Err(failed(spec, last, &figures, &cause)),
            Verdict::Inconclusive { cause, .. } => return Err(inconclusive(spec, last, &cause, world).await),
        }
    }
}

fn wanted(spec: &Traffic) -> Wanted {
    match spec.shares.iter().find(|(_, share)| **share == 100) {
        Some((version, _)) => Wanted::Only(version.clone()),
        None => Wanted::Split(spec.shares.clone()),
    }
}

/// The division so far, with its interval and p, for whoever watches.
fn shares(spec: &Traffic, tally: &Tally) -> Shares {
    let mut wanted: Vec<(&String, u32)> = spec.shares.iter().map(|(name, percent)| (name, *percent)).collect();
    wanted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let part = |(name, percent): &(&String, u32)| Share {
        name: (*name).clone(),
        count: tally.of(name),
        wanted: Some(f64::from(*percent) / 100.0),
    };
    let verdict = wanted.first().map(|(name, percent)| {
        let sample = Sample { hits: tally.of(name), size: tally.answered() };
        let (low, high) = clopper_pearson(sample, rules::CONFIDENCE);
        let p = two_sided_p(sample, f64::from(*percent) / 100.0);
        format!("95 % interval {:.1}–{:.1} %   p {p:.2}", low * 100.0, high * 100.0)
    });
    Shares { parts: wanted.iter().map(part).collect(), of: spec.requests, verdict: verdict.unwrap_or_default() }
}

fn header_text(spec: &Traffic) -> String {
    spec.headers.iter().fold(String::new(), |text, (name, value)| text + &format!(" with {name}: {value}"))
}

fn evidence(tally: &Tally) -> Value {
    json!({"answers": tally.answers, "errors": tally.errors, "seconds": tally.elapsed.as_secs_f64(), "out_of_time": tally.out_of_time})
}

fn counts(tally: &Tally) -> String {
    let mut parts: Vec<String> = tally.answers.iter().map(|(version, count)| format!("{version} {count}")).collect();
    parts.extend(tally.errors.iter().map(|(what, count)| format!("{count} × {what}")));
    parts.join(", ")
}

/// `300 requests: resnet50 209 (69.7 %), resnet101 91; 95 % interval …`.
fn passed_text(spec: &Traffic, tally: &Tally, figures: &[Figures]) -> String {
    let asked = format!("{} requests{}", thousands(spec.requests), header_text(spec));
    let mut shares: Vec<_> = spec.shares.iter().collect();
    shares.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    if let Some((version, _)) = shares.first().filter(|(_, share)| **share == 100) {
        let others =
            shares[1..].iter().fold(String::new(), |text, (other, _)| text + &format!(", {other} {}", tally.of(other)));
        let bound = figures.iter().find_map(|figures| figures.stray_bound);
        let bound = bound
            .map(|bound| format!(" (strays under {:.1} % with 95 % confidence)", bound * 100.0))
            .unwrap_or_default();
        return format!("{asked}: {version} {}{others}{bound}", tally.of(version));
    }
    let listed: Vec<String> = shares
        .iter()
        .map(|(version, _)| {
            let share =
                figures.iter().find(|figures| figures.version == **version).map_or(0.0, |figures| figures.share);
            format!("{version} {} ({:.1} %)", tally.of(version), share * 100.0)
        })
        .collect();
    let first = shares.first().and_then(|(version, _)| figures.iter().find(|figures| figures.version == **version));
    let judged = first.map_or_else(String::new, |figures| {
        let (low, high) = figures.interval;
        let accepted = figures.accepted.map(|(low, high)| format!("; accepted {low}..{high}")).unwrap_or_default();
        format!(
            "\n95 % interval {:.1}–{:.1} %, p = {:.2}{accepted}; catches a shift of {:.0} points",
            low * 100.0,
            high * 100.0,
            figures.p,
            figures.detectable * 100.0
        )
    });
    format!("{asked}: {}{judged}", listed.join(", "))
}

fn failed(spec: &Traffic, tally: &Tally, figures: &[Figures], cause: &Cause) -> Failure {
    let reason = if matches!(cause, Cause::Share) { Reason::SplitOff } else { Reason::StrayAnswer };
    let headline = format!("{} requests{}: {}", spec.requests, header_text(spec), counts(tally));
    let mut failure = Failure::new(reason, headline);
    for figures in figures {
        failure = failure.observed(format!(
            "{}: {} of {} ({:.1} %), wanted {:.0} %, p = {:.2e}",
            figures.version,
            figures.hits,
            figures.size,
            figures.share * 100.0,
            figures.wanted * 100.0,
            figures.p
        ));
    }
    failure
}

async fn inconclusive(spec: &Traffic, tally: &Tally, cause: &Cause, world: &World<'_>) -> Failure {
    let headline = format!("{} requests{}: {}", spec.requests, header_text(spec), counts(tally));
    // When nothing at all was answered there is a cause to be found, and a more telling reason than "no verdict".
    if tally.answered() == 0
        && let Some(mut failure) = explain_errors(tally.errors.keys().next(), world).await
    {
        failure.headline = headline;
        return failure;
    }
    Failure::new(Reason::SampleInconclusive, headline).observed(format!("{cause:?}"))
}
