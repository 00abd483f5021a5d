//! One prediction through the ingress, compared with what the SavedModels say.

use serde_json::{Value, json};

use super::model::{Record, entry_of, weights_of};
use super::{Seen, World, picture, routes, settle};
use crate::doctor::{Failure, Reason};
use crate::lab::Predict;
use crate::models::labels::Labels;
use crate::models::published::{Comparison, compare};
use crate::objects::meta;
use crate::traffic::{Answer, AskError, Who, parse_predictions, top_classes};
use crate::ui::{byte_size, duration};

/// Classes of the list that is shown, as many as the tutorial prints.
const TOP: usize = 10;

pub(super) async fn judge(spec: &Predict, world: &World<'_>) -> Result<Seen, Failure> {
    let asking = world.asking(world.lab.spec.request.picture).await?;
    let ingress = world.ingress().await?.ingress;
    let client = world.http()?;
    // A gateway that was started again may be ready before it has its routes.
    let _ = routes::judge(world).await?;
    world.progress.awaiting(format!("waiting for a prediction of the {} picture", asking.size_text()), None);
    let mut question = asking.question.clone();
    for (name, value) in &spec.headers {
        question = question.with_header(name, value);
    }
    let answer = match settle::ask(&client, &ingress, &question).await {
        Ok(answer) => answer,
        Err(error) => return Err(unreachable(&error)),
    };
    if answer.status != 200 {
        return Err(refused(&answer, world).await);
    }
    let probabilities = parse_predictions(&answer.body)
        .map_err(|error| Failure::new(Reason::PredictionFailed, "the answer is no prediction").observed(error))?;
    let top = top_classes(&probabilities, TOP);
    let (name, difference) = match asking.oracle.who(&probabilities) {
        Who::Version { name, difference } => (name, difference),
        Who::Nobody { closest, difference } => {
            return Err(Failure::new(Reason::PredictionWrong, "the answer is not what the SavedModels compute")
                .observed(format!("top-10 of the answer {top:?}"))
                .observed(format!(
                    "nearest is {} with a difference of {difference:.1e}",
                    closest.as_deref().unwrap_or("none")
                )));
        }
    };
    if name != spec.answered_by && !world.routes_changed_since {
        return Err(Failure::new(Reason::AnsweredByOther, format!("the prediction was answered by {name}"))
            .observed(format!("{} should answer while the routes are this stage's", spec.answered_by)));
    }
    let took = duration(answer.elapsed);
    let sent = byte_size(asking.question.body.len() as u64);
    let size = asking.size_text();
    let published = published(world, &name, &top)?;
    let with = spec.headers.iter().fold(String::new(), |text, (name, value)| text + &format!(" with {name}: {value}"));
    let text = format!(
        "POST {size} picture, {sent}{with}, 200 in {took}, answered by {name}\ntop-10 [{}], as the SavedModel says{}",
        listing(&top),
        published.words
    );
    let facts = json!({
        "url": format!("{}{}", ingress.url(), asking.question.path), "status": 200, "seconds": answer.elapsed.as_secs_f64(),
        "bytes_sent": asking.question.body.len(), "classes": probabilities.len(), "top": top, "answered_by": name,
        "weights": weights_of(world.home, &name),
        "largest_difference": difference, "headers": spec.headers, "published": published.comparison,
        "labels": Labels::for_outputs(probabilities.len()).map(|labels| {
            top.iter().map(|class| labels.of(*class).map(|label| label.names)).collect::<Vec<_>>()
        }),
        "probabilities": top.iter().map(|class| probabilities[*class]).collect::<Vec<_>>(),
    });
    Ok(Seen::new(text, facts))
}

/// What an answer has to do with what is published.
struct Compared {
    /// For the stage's line.
    words: String,
    comparison: Option<Comparison>,
}

/// Compares an answer with the published list, which holds for pretrained weights.
fn published(world: &World<'_>, model: &str, top: &[usize]) -> Result<Compared, Failure> {
    let entry = entry_of(model, world.lab)?;
    let Some(published) = &entry.published else { return Ok(Compared { words: String::new(), comparison: None }) };
    if !Record::read(world.home, model)?.origin.is_pretrained() {
        let words = "\n(the tutorial's published list holds for pretrained weights)".to_owned();
        return Ok(Compared { words, comparison: None });
    }
    let comparison = compare(published, picture::about(world.home, &world.lab.catalogue, entry)?, top);
    let words = match &comparison {
        Comparison::Exact => "\nand exactly as the tutorial prints".to_owned(),
        Comparison::InCommon { classes } => {
            format!("\n{classes} of 10 classes as the tutorial prints for its own copy of the picture")
        }
        Comparison::NotPublished => "\n(nothing is published about this picture)".to_owned(),
        Comparison::Missed { wanted, in_common, classes } => {
            let must = in_common.map_or("in this order".to_owned(), |count| format!("at least {count} of them"));
            let headline = format!("{model} does not answer as the tutorial prints");
            return Err(Failure::new(Reason::PublishedListMissed, headline)
                .observed(format!("top-10 of the answer [{}]", listing(top)))
                .observed(format!("published            [{}], {must}; {classes} in common", listing(wanted))));
        }
    };
    Ok(Compared { words, comparison: Some(comparison) })
}

/// Class numbers as the tutorial's Python prints them.
fn listing(classes: &[usize]) -> String {
    classes.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

/// A request that met no HTTP server.
pub(super) fn unreachable(error: &AskError) -> Failure {
    let reason = match error {
        AskError::Refused { .. } | AskError::Unreachable { .. } => Reason::IngressUnreachable,
        AskError::TimedOut { .. } | AskError::Broken { .. } => Reason::PredictionFailed,
    };
    Failure::new(reason, "the ingress gave no answer").observed(error.to_string())
}

/// An answer that is no prediction, told apart by how the gateway refuses.
async fn refused(answer: &Answer, world: &World<'_>) -> Failure {
    let body = answer.excerpt(200);
    let observed = if body.is_empty() {
        format!("{} with an empty body", answer.status)
    } else {
        format!("{} `{body}`", answer.status)
    };
    let mut failure = match explain_errors(Some(&observed), world).await {
        Some(failure) => failure,
        None => Failure::new(Reason::PredictionFailed, ""),
    };
    failure.headline = format!("the prediction was answered with {observed}");
    failure
}

/// The reason behind what the gateway answered, with the objects that explain it.
pub(super) async fn explain_errors(observed: Option<&String>, world: &World<'_>) -> Option<Failure> {
    let observed = observed?;
    let reason = match observed.as_str() {
        "404 with an empty body" => Reason::RouteMissing,
        "503 with an empty body" => Reason::RouteClusterMissing,
        text if text.contains("no healthy upstream") => Reason::NoHealthyUpstream,
        text if text.contains("refused") => Reason::IngressUnreachable,
        _ => return None,
    };
    let mut failure = Failure::new(reason, observed.clone()).observed(observed.clone());
    if reason == Reason::RouteClusterMissing {
        failure.observed.extend(subsets_in_objects(world).await.unwrap_or_default());
    }
    Some(failure)
}

/// Which subsets the VirtualServices in force name, and which the DestinationRules define.
async fn subsets_in_objects(world: &World<'_>) -> Option<Vec<String>> {
    let api = world.api().await.ok()?;
    let mut lines = Vec::new();
    for reference in world.routes_in_force() {
        let object = api.get(&reference).await.ok()?;
        lines.push(match (reference.gvk.kind.as_str(), object) {
            (_, None) => format!("{} does not exist", reference.label()),
            ("VirtualService", Some(object)) => {
                let mut named = Vec::new();
                collect(&object["spec"], "subset", &mut named);
                if named.is_empty() {
                    continue;
                }
                format!("{} routes to {}", reference.label(), listed("subset", &named))
            }
            ("DestinationRule", Some(object)) => {
                let subsets = meta::list_at(&object, &["spec", "subsets"]);
                let named: Vec<String> =
                    subsets.iter().filter_map(|subset| subset["name"].as_str()).map(str::to_owned).collect();
                format!("{} has {}", reference.label(), listed("subset", &named))
            }
            _ => continue,
        });
    }
    Some(lines)
}

fn listed(noun: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{noun}{plural} {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

/// Every text under `key`, at any depth, each once.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == key && !found.iter().any(|known| known == text) => {
                        found.push(text.to_owned());
                    }
                    _ => collect(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_found_at_any_depth() {
        let spec = json!({"http": [{"route": [{"destination": {"subset": "a"}}, {"destination": {"subset": "b"}}]}, {"route": [{"destination": {"subset": "a"}}]}]});
        let mut found = Vec::new();
        collect(&spec, "subset", &mut found);
        assert_eq!(found, ["a", "b"]);
        assert_eq!(listed("subset", &found), "subsets `a`, `b`");
    }
}
