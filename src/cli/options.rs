//! What can be asked of a cluster that is not the lab's own, and how it is kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{ClusterChoice, IngressMode, Settings};
use crate::doctor::{Failure, Reason};
use crate::istio::is_installer_option;
use crate::lab::{Adaptation, Lab};
use crate::objects::quantity::Quantity;

/// Options of `up` for real clusters.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Real clusters (kept in the home; docs/minikube.md and docs/any-cluster.md)")]
pub(super) struct ClusterOptions {
    /// The folder of downloaded files that was asked for, which has Istio's archive after `prefetch`.
    #[arg(skip)]
    pub(super) downloads: Option<PathBuf>,

    /// The Kubernetes version that minikube starts
    #[arg(long, value_name = "VERSION")]
    pub(super) kubernetes_version: Option<String>,

    /// The driver that minikube uses, such as docker or none
    #[arg(long, value_name = "DRIVER")]
    pub(super) driver: Option<String>,

    /// How long minikube may take to start, such as 40m
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) start_within: Option<Duration>,

    /// Let minikube start a Kubernetes version that it calls too old
    #[arg(long)]
    pub(super) minikube_force: bool,

    /// A mirror of Istio's releases, or the archive's own URL
    #[arg(long, value_name = "URL")]
    pub(super) istio_url: Option<String>,

    /// A value for istioctl (values.x=y), or for a model of the lab (resnet50.replicas=5, resnet50.resources.requests.cpu=2)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,

    /// How requests enter: load-balancer, node-port, port-forward or auto
    #[arg(long, value_name = "WAY")]
    pub(super) ingress: Option<IngressMode>,

    /// Another namespace for the lab's workloads, so that several labs share a cluster
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,

    /// Serve under this host name only, so that several labs share an ingress gateway
    #[arg(long, value_name = "NAME")]
    pub(super) ingress_host: Option<String>,

    /// Another image of TensorFlow Serving 2.5.1, such as one in a registry of yours
    #[arg(long, value_name = "IMAGE")]
    pub(super) serving_image: Option<String>,

    /// The Secret in the namespace that the image is pulled with
    #[arg(long, value_name = "NAME")]
    pub(super) pull_secret: Option<String>,

    /// Where the models lie on the cluster's nodes, where that is not this machine
    #[arg(long, value_name = "DIR")]
    pub(super) models_on_node: Option<PathBuf>,

    /// Put the models into PersistentVolumeClaims, as where the nodes are other machines
    #[arg(long, conflicts_with = "models_on_node")]
    pub(super) models_claim: bool,
}

impl ClusterOptions {
    /// Takes what was asked for into the settings, after looking whether it fits the cluster and the lab.
    pub(super) fn merge(&self, settings: &mut Settings, choice: &ClusterChoice, lab: &Lab) -> Result<(), Failure> {
        let unfit = |option: &str, wants: &str| {
            Err(Failure::new(Reason::ClusterOptionUnfit, format!("`{option}` is for {wants}")))
        };
        let minikube = *choice == ClusterChoice::Minikube;
        let real = minikube || matches!(choice, ClusterChoice::Context(_));
        for (given, option) in [
            (self.kubernetes_version.is_some(), "--kubernetes-version"),
            (self.driver.is_some(), "--driver"),
            (self.start_within.is_some(), "--start-within"),
            (self.minikube_force, "--minikube-force"),
        ] {
            if given && !minikube {
                return unfit(option, "minikube");
            }
        }
        if self.models_claim && !matches!(choice, ClusterChoice::Context(_)) {
            return unfit("--models-claim", "a context");
        }
        for (given, option) in [
            (self.istio_url.is_some(), "--istio-url"),
            (self.ingress.is_some(), "--ingress"),
            (self.ingress_host.is_some(), "--ingress-host"),
            (self.serving_image.is_some(), "--serving-image"),
            (self.pull_secret.is_some(), "--pull-secret"),
            (self.models_on_node.is_some(), "--models-on-node"),
        ] {
            if given && !real {
                return unfit(option, "minikube or a context");
            }
        }
        let mut istio_set = Vec::new();
        for assignment in &self.set {
            if let Some((model, value)) = model_value(assignment, lab)? {
                match value {
                    ModelValue::Replicas(replicas) => {
                        settings.replicas.insert(model, replicas);
                    }
                    ModelValue::Resource(path, quantity) => {
                        settings.resources.entry(model).or_default().insert(path, quantity);
                    }
                }
            } else if !is_installer_option(assignment) || !assignment.contains('=') {
                let models: Vec<&str> = lab.spec.models.keys().map(String::as_str).collect();
                return Err(Failure::new(
                    Reason::Usage,
                    format!("`--set {assignment}` is neither a value of Istio's nor of a model's"),
                )
                .observed("Istio's begin with values., components., meshConfig., profile, hub, tag or revision")
                .observed(format!("a model's are {}; models: {}", MODEL_VALUES, models.join(", "))));
            } else if real {
                istio_set.push(assignment.clone());
            } else {
                return unfit(&format!("--set {assignment}"), "a cluster that Istio is installed into");
            }
        }
        if !istio_set.is_empty() {
            settings.istio_set = istio_set;
        }
        let keep = |place: &mut Option<String>, given: &Option<String>| {
            if given.is_some() {
                place.clone_from(given);
            }
        };
        if let Some(version) = &self.kubernetes_version {
            settings.kubernetes = Some(format!("v{}", version.trim_start_matches('v')));
        }
        keep(&mut settings.driver, &self.driver);
        if let Some(limit) = self.start_within {
            settings.start_within = Some(limit.as_secs().max(1));
        }
        settings.force |= self.minikube_force;
        if real && self.downloads.is_some() {
            settings.downloads.clone_from(&self.downloads);
        }
        keep(&mut settings.istio_url, &self.istio_url);
        settings.ingress = self.ingress.unwrap_or(settings.ingress);
        keep(&mut settings.namespace, &self.namespace);
        keep(&mut settings.ingress_host, &self.ingress_host);
        keep(&mut settings.serving_image, &self.serving_image);
        keep(&mut settings.pull_secret, &self.pull_secret);
        if self.models_on_node.is_some() {
            settings.models_on_node.clone_from(&self.models_on_node);
            settings.models_claim = false;
        }
        if self.models_claim {
            settings.models_on_node = None;
            settings.models_claim = true;
        }
        match choice {
            ClusterChoice::Context(name) => {
                settings.provider = Some("context".to_owned());
                settings.context = Some(name.clone());
            }
            ClusterChoice::Minikube => settings.provider = Some("minikube".to_owned()),
            ClusterChoice::Embedded | ClusterChoice::Auto => {}
        }
        Ok(())
    }
}

/// `90s`, `40m`, `1h 30m`.
fn time(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| "expected a time such as 90s or 40m".to_owned())?;
    time.try_into().map_err(|_| "expected a time after now".to_owned())
}

/// What can be set of a model.
const MODEL_VALUES: &str = "NAME.replicas and NAME.resources.{requests,limits}.{cpu,memory}";

/// A value of a model.
enum ModelValue {
    Replicas(u32),
    /// A path below `resources`, and a quantity.
    Resource(String, String),
}

/// `resnet50.replicas=20` or `resnet50.resources.requests.cpu=500m`, for a model of the lab.
fn model_value(assignment: &str, lab: &Lab) -> Result<Option<(String, ModelValue)>, Failure> {
    let (key, value) = assignment.split_once('=').unwrap_or((assignment, ""));
    let Some((model, field)) = key.split_once('.') else { return Ok(None) };
    if !lab.spec.models.contains_key(model) {
        return Ok(None);
    }
    let refused = |text: String| Err(Failure::new(Reason::Usage, text).observed(format!("known: {MODEL_VALUES}")));
    let found = match field.strip_prefix("resources.") {
        None if field == "replicas" => match value.parse::<u32>() {
            Ok(replicas) if replicas > 0 => ModelValue::Replicas(replicas),
            _ => return refused(format!("`{value}` is no number of replicas")),
        },
        Some(path @ ("requests.cpu" | "requests.memory" | "limits.cpu" | "limits.memory")) => {
            match value.parse::<Quantity>() {
                // As the API server would write it, so that nothing is found to differ afterwards.
                Ok(quantity) if !quantity.is_negative() => ModelValue::Resource(path.to_owned(), quantity.to_string()),
                _ => return refused(format!("`{value}` is no quantity, such as 500m or 2Gi")),
            }
        }
        _ => return refused(format!("a model has no value `{field}`")),
    };
    Ok(Some((model.to_owned(), found)))
}

/// How the lab differs from its files by the settings of a home.
pub(super) fn adaptation(settings: &Settings) -> Adaptation {
    Adaptation {
        namespace: settings.namespace.clone(),
        host: settings.ingress_host.clone(),
        image: settings.serving_image.clone(),
        pull_secret: settings.pull_secret.clone(),
        replicas: settings.replicas.clone(),
        resources: settings.resources.clone(),
        claims: settings.models_claim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Source;

    fn merged(options: &ClusterOptions, choice: &ClusterChoice) -> Result<Settings, Failure> {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let mut settings = Settings::default();
        options.merge(&mut settings, choice, &lab).map(|()| settings)
    }

    #[test]
    fn each_option_goes_with_its_cluster() {
        let minikube = ClusterOptions { kubernetes_version: Some("1.20.2".into()), ..ClusterOptions::default() };
        assert_eq!(merged(&minikube, &ClusterChoice::Minikube).unwrap().kubernetes.as_deref(), Some("v1.20.2"));
        for choice in [ClusterChoice::Embedded, ClusterChoice::Context("x".into())] {
            assert_eq!(merged(&minikube, &choice).unwrap_err().reason, Reason::ClusterOptionUnfit);
        }
        let claims = ClusterOptions { models_claim: true, ..ClusterOptions::default() };
        assert_eq!(merged(&claims, &ClusterChoice::Minikube).unwrap_err().reason, Reason::ClusterOptionUnfit);
        let settings = merged(&claims, &ClusterChoice::Context("x".into())).unwrap();
        assert!(adaptation(&settings).claims && settings.models_on_node.is_none());
        let ingress = ClusterOptions { ingress: Some(IngressMode::NodePort), ..ClusterOptions::default() };
        assert_eq!(merged(&ingress, &ClusterChoice::Embedded).unwrap_err().reason, Reason::ClusterOptionUnfit);
        assert_eq!(merged(&ingress, &ClusterChoice::Context("x".into())).unwrap().context.as_deref(), Some("x"));
    }

    #[test]
    fn a_time_is_read_as_a_person_writes_it() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(time("-3s").is_err() && time("soon").is_err());
    }

    #[test]
    fn values_go_to_istio_or_to_a_model_and_nowhere_else() {
        let with = |set: &[&str]| ClusterOptions {
            set: set.iter().map(|&text| text.to_owned()).collect(),
            ..ClusterOptions::default()
        };
        let settings =
            merged(&with(&["resnet50.replicas=20", "values.telemetry.enabled=false"]), &ClusterChoice::Minikube)
                .unwrap();
        assert_eq!(settings.replicas["resnet50"], 20);
        assert_eq!(settings.istio_set, ["values.telemetry.enabled=false"]);
        assert_eq!(
            merged(&with(&["resnet101.replicas=2"]), &ClusterChoice::Embedded).unwrap().replicas["resnet101"],
            2
        );
        let set = ["resnet50.resources.requests.cpu=0.5", "resnet50.resources.limits.memory=2Gi"];
        let settings = merged(&with(&set), &ClusterChoice::Context("x".into())).unwrap();
        let resources = [("limits.memory", "2Gi"), ("requests.cpu", "500m")];
        let resources = resources.map(|(path, quantity)| (path.to_owned(), quantity.to_owned()));
        assert_eq!(settings.resources["resnet50"], resources.into());
        for (set, reason) in [
            ("resnet5.replicas=2", Reason::Usage),
            ("resnet50.replicas=many", Reason::Usage),
            ("resnet50.replicas=0", Reason::Usage),
            ("resnet50.cpu=2", Reason::Usage),
            ("resnet50.resources.requests.cpu=-2", Reason::Usage),
            ("resnet50.resources.limits.memory=2 GB", Reason::Usage),
            ("resnet50.resources.limits.disk=2Gi", Reason::Usage),
            ("values.x", Reason::Usage),
            ("values.x=1", Reason::ClusterOptionUnfit),
        ] {
            assert_eq!(merged(&with(&[set]), &ClusterChoice::Embedded).unwrap_err().reason, reason, "{set}");
        }
    }
}
