//! Which cluster: what was asked for, what the home's lab stands on, or what this machine offers.

use super::context::Context;
use super::options::adaptation;
use super::session::runtime;
use crate::cluster::embedded::Embedded;
use crate::cluster::{ClusterChoice, LabTraits, Provider, RealChoice, ServingImage, Settings, real};
use crate::doctor::checks::{Finding, Subject, Target, pinned_minikube, preflight};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, StepSpec};
use crate::state::{Home, Loaded, StateFile};
use crate::tools::find;

/// A cluster, and why it is this one: said after its name.
pub(super) type Chosen = (Box<dyn Provider>, String);

/// What was asked for, made definite: a home's lab stays where it stands, and a new one takes minikube when it is installed
/// and its checks pass, else the embedded cluster.
pub(super) fn decide(
    asked: &ClusterChoice,
    home: &Home,
    context: &Context,
) -> Result<(ClusterChoice, String), Failure> {
    let standing = standing(home)?;
    match (asked, standing) {
        (ClusterChoice::Auto, Some(standing)) => Ok((standing, String::new())),
        (ClusterChoice::Auto, None) => automatic(home, context),
        (asked, Some(standing)) if *asked != standing => {
            Err(Failure::new(Reason::ClusterChanged, format!("this home's lab stands on {}", name_of(&standing)))
                .observed(format!("asked for {}", name_of(asked))))
        }
        (asked, _) => Ok((asked.clone(), String::new())),
    }
}

fn name_of(choice: &ClusterChoice) -> String {
    match choice {
        ClusterChoice::Auto => "auto".to_owned(),
        ClusterChoice::Embedded => "embedded".to_owned(),
        ClusterChoice::Minikube => "minikube".to_owned(),
        ClusterChoice::Context(name) => format!("context:{name}"),
    }
}

/// The cluster that this home's lab stands on, if there is one.
fn standing(home: &Home) -> Result<Option<ClusterChoice>, Failure> {
    let settings = settings(home)?;
    let known = match StateFile::of(home).load()? {
        Loaded::Present(state) => state.provider,
        Loaded::Absent | Loaded::Unusable(_) => None,
    };
    Ok(match known.or(settings.provider).as_deref() {
        Some("embedded") => Some(ClusterChoice::Embedded),
        Some("minikube") => Some(ClusterChoice::Minikube),
        Some("context") => settings.context.map(ClusterChoice::Context),
        _ => None,
    })
}

fn automatic(home: &Home, context: &Context) -> Result<(ClusterChoice, String), Failure> {
    let advice = "`canary-lab doctor` says how to use it";
    if find("minikube", &context.io.environment).is_none() && !pinned_minikube(home.root()).is_file() {
        return Ok((ClusterChoice::Embedded, format!(" (minikube is not installed; {advice})")));
    }
    let minikube = make(&ClusterChoice::Minikube, home, &context.lab()?, context)?;
    let mut subject = Subject::new(home.root(), &context.io.environment, Target::Minikube);
    subject.trace = context.trace.clone();
    let checks = runtime()?.block_on(async {
        subject.expect(&minikube.plan().await);
        preflight(&subject).await
    });
    let obstacle = checks.iter().find_map(|check| match &check.finding {
        Finding::Failed(failure) => Some(failure.headline.clone()),
        _ => None,
    });
    Ok(match obstacle {
        None => (ClusterChoice::Minikube, " (it is installed and its checks pass)".to_owned()),
        Some(why) => (ClusterChoice::Embedded, format!(" ({why}; {advice})")),
    })
}

/// The settings of a home.
pub(super) fn settings(home: &Home) -> Result<Settings, Failure> {
    Settings::load(home).map_err(|error| {
        Failure::new(Reason::StateUnreadable, "the cluster's settings cannot be read").observed(error.to_string())
    })
}

/// The cluster of a definite choice.
pub(super) fn make(
    choice: &ClusterChoice,
    home: &Home,
    lab: &Lab,
    context: &Context,
) -> Result<Box<dyn Provider>, Failure> {
    let environment = &context.io.environment;
    let program = context.io.executable.clone();
    let choice = match choice {
        ClusterChoice::Embedded | ClusterChoice::Auto => {
            return Ok(Box::new(Embedded::new(home.clone(), program)));
        }
        ClusterChoice::Minikube => {
            let pinned = pinned_minikube(home.root());
            let file = if pinned.is_file() { Some(pinned) } else { find("minikube", environment) };
            RealChoice::Minikube(
                file.ok_or_else(|| Failure::new(Reason::MinikubeMissing, "minikube is not installed"))?,
            )
        }
        ClusterChoice::Context(name) => {
            RealChoice::Context(name.clone(), lab.namespace().unwrap_or("default").to_owned())
        }
    };
    Ok(real(choice, home.clone(), traits(lab), environment.clone(), context.trace.clone(), program, settings(home)?))
}

/// What of the lab a real cluster has to know.
pub(super) fn traits(lab: &Lab) -> LabTraits {
    let steps = || lab.spec.stages.iter().flat_map(|stage| &stage.steps);
    let istio = steps().find_map(|step| match step {
        StepSpec::Mesh(spec) => Some(spec.istio.clone()),
        _ => None,
    });
    let kubernetes = steps().find_map(|step| match step {
        StepSpec::Cluster(spec) => Some(spec.kubernetes.clone()),
        _ => None,
    });
    let ingress = &lab.spec.ingress;
    LabTraits {
        istio: istio.unwrap_or_default(),
        kubernetes: kubernetes.unwrap_or_default(),
        ingress: (ingress.namespace.clone(), ingress.service.clone(), ingress.port.clone()),
        path: lab.spec.request.path.clone(),
        models: lab.spec.models.keys().cloned().collect(),
        serving: serving(lab),
    }
}

/// What the lab's Deployments run, and how it is pulled.
fn serving(lab: &Lab) -> ServingImage {
    let mut pods = lab.manifests.values().filter(|manifest| manifest.key.kind == "Deployment");
    let pod = pods.find_map(|manifest| manifest.object("/").ok()?.pointer("/spec/template/spec").cloned());
    let text = |pointer: &str| pod.as_ref()?.pointer(pointer)?.as_str().map(str::to_owned);
    ServingImage {
        image: text("/containers/0/image").unwrap_or_default(),
        pull_secret: text("/imagePullSecrets/0/name"),
    }
}

/// The lab as this home has it: in the namespace, with the images and replicas that were asked for.
pub(super) fn adapted(mut lab: Lab, home: &Home) -> Result<Lab, Failure> {
    lab.adapt(&adaptation(&settings(home)?))?;
    Ok(lab)
}
