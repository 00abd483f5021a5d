//! Facts for [`crate::hints`], gathered for a stage of the lab.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::World;
use crate::cluster::{Api, ApiError, Comparison, ObjectRef};
use crate::doctor::{Failure, Reason, Situation};
use crate::hints::{self, Asked, Facts, IngressPlace, Reply, Wanted};
use crate::lab::{Lab, StepSpec};
use crate::objects::schemas::unknown_fields;
use crate::objects::{Gvk, meta};
use crate::traffic::{AskError, Client, Ingress, Question};
use crate::ui::Environment;

/// How long a request that only shows the way may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long looking for a cause may take before a failure is told without one.
const PATIENCE: Duration = Duration::from_secs(10);
/// A body that every model server answers to at once, with 400: it was reached.
const PROBE: &[u8] = b"{}";

/// Everything that stands in the way of the world's stage, the most fundamental first.
pub async fn hints(world: &World<'_>) -> Result<Vec<Failure>, Failure> {
    let (facts, wanted) = look(world, &prediction(world.lab)).await?;
    Ok(hints::judge(&facts, &wanted))
}

/// The lab's prediction, as routing sees it.
pub fn prediction(lab: &Lab) -> Asked {
    let path = lab.spec.request.path.clone();
    Asked { method: "POST".to_owned(), host: None, path, port: None, headers: Vec::new() }
}

/// What is seen at the world's stage, with the request that is asked, and what is wanted there.
pub async fn look(world: &World<'_>, asked: &Asked) -> Result<(Facts, Wanted), Failure> {
    let api = world.api().await?;
    let wanted = wanted(world)?;
    let mut facts = facts(&api, world.lab, world.environment, asked, &namespaces(&wanted)).await?;
    facts.with_tunnel = world.lab.spec.stages[..=world.stage]
        .iter()
        .any(|stage| stage.steps.iter().any(|step| matches!(step, StepSpec::Tunnel)));
    facts.with_requests = wanted.manifests.iter().any(|(_, manifest)| manifest["kind"] == "VirtualService");
    facts.refused_files = refused_files(world, &api).await;
    facts.altered = altered(&api, &wanted).await?;
    Ok((facts, wanted))
}

/// Looks for the cause of a failure; what was found becomes its situation, cause and next commands.
pub async fn with_cause(failure: Failure, world: &World<'_>) -> Failure {
    if !may_have_a_cause(failure.reason) || failure.situation.is_some() {
        return failure;
    }
    let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, hints(world)).await else { return failure };
    match found.into_iter().find(|found| is_precise(found, &failure)) {
        Some(cause) => merged(failure, cause),
        None => failure,
    }
}

/// Failures that come about in several ways.
fn may_have_a_cause(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RouteMissing
            | Reason::RouteClusterMissing
            | Reason::NoHealthyUpstream
            | Reason::IngressUnreachable
            | Reason::PredictionFailed
            | Reason::AnsweredByOther
            | Reason::StrayAnswer
            | Reason::SplitOff
            | Reason::SampleInconclusive
            | Reason::RolloutTimeout
            | Reason::SidecarMissing
            | Reason::ContainerConfig
            | Reason::CrashLoop
            | Reason::ImageUnknown
            | Reason::ObjectMissing
            | Reason::ApplyRefused
            | Reason::TunnelNotRunning
    )
}

/// Whether a finding says more than the failure does.
fn is_precise(found: &Failure, failure: &Failure) -> bool {
    match found.situation {
        None | Some(Situation::NotApplied | Situation::Altered) => false,
        // An object that is missing is explained only by where it is instead.
        Some(situation) if failure.reason == Reason::ObjectMissing => matches!(
            situation,
            Situation::WrongNamespace
                | Situation::NamespaceMissing
                | Situation::NamespaceTerminating
                | Situation::WeightsRefused
                | Situation::ManifestRefused
        ),
        Some(_) => true,
    }
}

/// The failure as it was told, with the cause that was found.
fn merged(failure: Failure, cause: Failure) -> Failure {
    let mut merged = failure;
    let mut observed = vec![cause.headline];
    observed.extend(cause.observed);
    for line in std::mem::take(&mut merged.observed) {
        if !observed.contains(&line) {
            observed.push(line);
        }
    }
    merged.observed = observed;
    merged.reason = cause.reason;
    merged.cause = cause.cause;
    merged.situation = cause.situation;
    merged.next = Vec::new();
    let mut merged = merged.then("canary-lab up", "puts the lab's own objects back");
    merged.next.extend(cause.next.into_iter().filter(|next| next.command != "canary-lab up"));
    merged
}

/// The manifests and namespaces that count at the world's stage: of two manifests of one object, the later.
fn wanted(world: &World<'_>) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    for step in world.lab.spec.stages[..=world.stage].iter().flat_map(|stage| &stage.steps) {
        match step {
            StepSpec::Apply(apply) => {
                let object = world.object(&apply.manifest)?;
                let reference = ObjectRef::of(&object);
                wanted.manifests.retain(|(_, other)| ObjectRef::of(other) != reference);
                wanted.manifests.push((apply.manifest.clone(), object));
            }
            StepSpec::Namespace(spec) => {
                wanted.namespaces.insert(spec.name.clone(), spec.labels.clone());
            }
            _ => {}
        }
    }
    Ok(wanted)
}

fn namespaces(wanted: &Wanted) -> Vec<String> {
    let of_objects = wanted.manifests.iter().filter_map(|(_, object)| meta::namespace(object).map(str::to_owned));
    let mut namespaces: Vec<String> = wanted.namespaces.keys().cloned().chain(of_objects).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

/// What is seen of the cluster, and what it answers to `asked`.
pub async fn facts(
    api: &Api,
    lab: &Lab,
    environment: &Environment,
    asked: &Asked,
    namespaces: &[String],
) -> Result<Facts, Failure> {
    let spec = &lab.spec.ingress;
    let place =
        IngressPlace { namespace: spec.namespace.clone(), service: spec.service.clone(), port: spec.port.clone() };
    let mut facts = hints::collect(api, place, namespaces).await?;
    let address = facts.ingress_address().map(str::to_owned);
    let port = asked.port.or_else(|| facts.ingress_port());
    if let (Some(host), Some(port)) = (address, port) {
        facts.proxies = proxies(environment, &host);
        let ingress = Ingress { host, port, host_header: asked.host.clone() };
        let question =
            Question { path: asked.path.clone(), body: Bytes::from_static(PROBE), headers: asked.headers.clone() };
        facts.asked = Some((asked.clone(), reply(&ingress, &question).await?));
    }
    Ok(facts)
}

async fn reply(ingress: &Ingress, question: &Question) -> Result<Reply, Failure> {
    let client = Client::new(REQUEST_PATIENCE)
        .map_err(|error| Failure::new(Reason::Internal, "no HTTP client").observed(error.to_string()))?;
    Ok(match client.ask(ingress, question).await {
        Ok(answer) => Reply::Answered { status: answer.status, body: answer.excerpt(400) },
        Err(AskError::Refused { .. }) => Reply::Refused,
        Err(error) => Reply::Silent(error.to_string()),
    })
}

/// Proxy variables that would take requests for the address away.
fn proxies(environment: &Environment, address: &str) -> Vec<(String, String)> {
    let spared = ["NO_PROXY", "no_proxy"]
        .iter()
        .filter_map(|name| environment.text(name))
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|entry| entry == "*" || entry == address || is_range_of(entry, address));
    if spared {
        return Vec::new();
    }
    ["http_proxy", "all_proxy", "ALL_PROXY"]
        .iter()
        .filter_map(|name| environment.text(name).map(|value| ((*name).to_owned(), value.to_owned())))
        .collect()
}

/// Whether an entry such as `127.0.0.0/8` covers the address; only whole bytes are compared.
fn is_range_of(entry: &str, address: &str) -> bool {
    let Some((network, bits)) = entry.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<usize>() else { return false };
    let bytes = |text: &str| text.parse::<std::net::Ipv4Addr>().map(|address| address.octets());
    match (bytes(network), bytes(address)) {
        (Ok(network), Ok(address)) => network[..(bits / 8).min(4)] == address[..(bits / 8).min(4)],
        _ => false,
    }
}

/// Files of the work folder that somebody changed and that the server would refuse now.
async fn refused_files(world: &World<'_>, api: &Api) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    for step in &world.lab.spec.stages[world.stage].steps {
        let StepSpec::Apply(apply) = step else { continue };
        let Ok(text) = std::fs::read_to_string(world.home.work().join(&apply.manifest)) else { continue };
        let own = world.lab.manifests.get(&apply.manifest);
        if own.is_some_and(|own| own.text(&world.provider.models_on_node().display().to_string()) == text) {
            continue;
        }
        let object: Value = match serde_yaml::from_str(&text) {
            Ok(object) => object,
            Err(error) => {
                refused.push((apply.manifest.clone(), format!("the file is no YAML: {error}")));
                continue;
            }
        };
        let unknown = Gvk::of(&object).map(|gvk| unknown_fields(&gvk, &object)).unwrap_or_default();
        if let Some(field) = unknown.first() {
            refused.push((apply.manifest.clone(), format!("unknown field `{field}`")));
            continue;
        }
        match api.preview(&object).await {
            // What is not found is the namespace, which is told by itself.
            Err(ApiError::Refused { code, message, .. }) if code != 404 => {
                refused.push((apply.manifest.clone(), message));
            }
            Err(error @ ApiError::UnknownKind { .. }) => refused.push((apply.manifest.clone(), error.to_string())),
            _ => {}
        }
    }
    refused
}

/// Objects that are there with other values than the manifest's: the file, the object, the fields.
async fn altered(api: &Api, wanted: &Wanted) -> Result<BTreeMap<String, (String, Vec<String>)>, Failure> {
    let mut altered = BTreeMap::new();
    for (file, manifest) in &wanted.manifests {
        if let Comparison::Different { fields, .. } = api.compare(manifest).await? {
            let label = ObjectRef::of(manifest).map(|reference| reference.label()).unwrap_or_default();
            altered.insert(file.clone(), (label, fields));
        }
    }
    Ok(altered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_counts_unless_the_address_is_excepted() {
        let environment = |pairs: &[(&str, &str)]| {
            Environment(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
        };
        let proxy = ("http_proxy", "http://proxy:3128");
        assert_eq!(proxies(&environment(&[proxy]), "127.64.0.1").len(), 1);
        for exception in ["127.64.0.1", "localhost, 127.64.0.1", "127.0.0.0/8", "*"] {
            assert!(proxies(&environment(&[proxy, ("NO_PROXY", exception)]), "127.64.0.1").is_empty(), "{exception}");
        }
        assert_eq!(proxies(&environment(&[proxy, ("no_proxy", "localhost,10.0.0.0/8")]), "127.64.0.1").len(), 1);
        assert!(proxies(&environment(&[]), "127.64.0.1").is_empty());
    }

    #[test]
    fn a_cause_keeps_the_headline_and_brings_its_own_next() {
        let failure = Failure::new(Reason::SampleInconclusive, "120 requests: 120 × 503").observed("503");
        let cause = Situation::SubsetMisspelt.seen("routes to `resnet-50`").then("kubectl apply -f x.yaml", "y");
        let merged = merged(failure, cause);
        assert_eq!(merged.headline, "120 requests: 120 × 503");
        assert_eq!(merged.reason, Reason::RouteClusterMissing);
        assert_eq!(merged.observed, ["routes to `resnet-50`", "503"]);
        assert_eq!(merged.next[0].command, "canary-lab up");
        assert_eq!(merged.next[1].command, "kubectl apply -f x.yaml");
    }
}
