//! One request, walked through the rules: which matched, and why the others did not.

use serde::Serialize;
use serde_json::Value;

use super::bindings::{authority, rule_name, with_request};
use super::facts::{Asked, Facts};
use super::ingress::selects;
use crate::objects::meta;
use crate::routing::compile;
use crate::routing::explain::{Explanation, Outcome, explain as by_rules};
use crate::routing::snapshot::Snapshot;

/// The story of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Lines, in the order in which a request meets what they tell; indented lines belong to the one above.
    pub lines: Vec<String>,
    /// What becomes of it, in a word: `forwarded`, `refused`, `404`, `503`, `redirected`, `unknown`.
    pub outcome: String,
    /// Where it is sent to by weight, when it is: the subset or Service, its weight in percent, and how many pods.
    pub destinations: Vec<Destined>,
}

/// A place that requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destined {
    /// The subset, or the Service where there is none.
    pub to: String,
    /// Its weight.
    pub weight: u32,
    /// Ready endpoints; none where the gateway knows no such destination.
    pub endpoints: Option<usize>,
}

/// Walks a request through address, Gateway, VirtualService, rules and destinations as the cluster's objects have them.
pub fn explain(facts: &Facts, asked: &Asked) -> Explained {
    let mut story = Explained::default();
    let place = &facts.ingress;
    let Some(service) = facts.ingress_service() else {
        story.say(format!("There is no Service {}/{}: nothing takes requests.", place.namespace, place.service));
        return story.ending("refused");
    };
    let Some(address) = facts.ingress_address() else {
        story.say(format!("Service {}: EXTERNAL-IP is <pending>, so nobody outside can ask.", meta::key(service)));
        return story.ending("refused");
    };
    let Some(port) = asked.port.or_else(|| facts.ingress_port()) else {
        story.say(format!("Service {} has no port named `{}`.", meta::key(service), place.port));
        return story.ending("refused");
    };
    story.say(format!("{} {} to {address}, port {port}", asked.method, asked.path));
    let workload = facts.gateway();
    let snapshot = compile(&facts.mesh, &workload);
    let told = with_request(facts, asked, |bound, head| by_rules(&snapshot, bound, head));
    let Some(told) = told else {
        story.say(format!("Service {} has no port {port}: the connection is refused.", meta::key(service)));
        return story.ending("refused");
    };
    if told.outcome == Outcome::NoListener {
        story.say(format!("No Gateway opens port {port} for the gateway's pods: the connection is refused."));
        return story.ending("refused");
    }
    for gateway in facts.gateways().filter(|gateway| selects(gateway, &workload)) {
        let servers = meta::list_at(gateway, &["spec", "servers"]).iter();
        if servers.into_iter().any(|server| server["port"]["number"] == port) {
            story.say(format!("Gateway {} opens port {port}", meta::key(gateway)));
        }
    }
    let host = authority(facts, asked);
    if let Some(name) = &told.virtual_host {
        story.say(format!("host {host} is taken by {name}"));
    } else {
        story.say(format!(
            "No VirtualService that is bound to the Gateway has the host {host}: 404 with an empty body."
        ));
        return story.ending("404");
    }
    rules(&mut story, &told);
    outcome(&mut story, facts, &snapshot, &told)
}

fn rules(story: &mut Explained, told: &Explanation) {
    for considered in &told.considered {
        let entry = considered.source.entry.map(|entry| format!(", match {}", entry + 1)).unwrap_or_default();
        let name = format!("{}{entry}", rule_name(&considered.source));
        match &considered.mismatch {
            Some(why) => story.say(format!("no   {name}: {why}")),
            None if considered.source.entry.is_none() => story.say(format!("yes  {name}: it takes every request")),
            None => story.say(format!("yes  {name}: every condition holds")),
        }
    }
}

fn outcome(story: &mut Explained, facts: &Facts, snapshot: &Snapshot, told: &Explanation) -> Explained {
    let mut story = std::mem::take(story);
    match &told.outcome {
        Outcome::NoListener | Outcome::NoVirtualHost => story.ending("404"),
        Outcome::NoRoute => {
            story.say("No rule matches: 404 with an empty body.".to_owned());
            story.ending("404")
        }
        Outcome::RequireHttps => {
            story.say("The Gateway sends everybody to HTTPS: 301.".to_owned());
            story.ending("redirected")
        }
        Outcome::Redirect { location } => {
            story.say(format!("The rule sends the client to {location}."));
            story.ending("redirected")
        }
        Outcome::Forward { clusters } => {
            for (cluster, weight, endpoints) in clusters {
                let to = destination_name(cluster);
                let pods = match endpoints {
                    None => "no such destination: 503 with an empty body".to_owned(),
                    Some(0) => "no ready pod: 503 `no healthy upstream`".to_owned(),
                    Some(_) => pods_behind(facts, snapshot, cluster),
                };
                story.say(format!("  {weight:>3} %  {to}: {pods}"));
                story.destinations.push(Destined { to, weight: *weight, endpoints: *endpoints });
            }
            let served = story.destinations.iter().filter(|to| to.weight > 0);
            let fails = served.clone().count() > 0 && served.into_iter().all(|to| to.endpoints.unwrap_or(0) == 0);
            story.ending(if fails { "503" } else { "forwarded" })
        }
    }
}

/// `resnet50 of image-classifier.tf-serving, port 8501` for Envoy's name of a cluster.
fn destination_name(cluster: &str) -> String {
    let mut parts = cluster.splitn(4, '|').skip(1);
    let (port, subset) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let host = parts.next().unwrap_or_default().trim_end_matches(".svc.cluster.local");
    if subset.is_empty() { format!("{host}, port {port}") } else { format!("{subset} of {host}, port {port}") }
}

fn pods_behind(facts: &Facts, snapshot: &Snapshot, cluster: &str) -> String {
    let addresses: Vec<String> = snapshot
        .clusters
        .get(cluster)
        .map(|cluster| cluster.endpoints.iter().map(|address| address.ip().to_string()).collect())
        .unwrap_or_default();
    let with_address = |pod: &&Value| {
        meta::text_at(pod, &["status", "podIP"]).is_some_and(|ip| addresses.iter().any(|address| address == ip))
    };
    let names: Vec<&str> = facts.pods().filter(with_address).map(meta::name).collect();
    let noun = if addresses.len() == 1 { "pod" } else { "pods" };
    if names.is_empty() { format!("{} {noun}", addresses.len()) } else { format!("{noun} {}", names.join(", ")) }
}

impl Explained {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn ending(&mut self, outcome: &str) -> Self {
        outcome.clone_into(&mut self.outcome);
        std::mem::take(self)
    }
}
