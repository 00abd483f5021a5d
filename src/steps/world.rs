//! Everything that a step may look at and change.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::asking::Asking;
use super::choices::Choices;
use crate::cluster::{Api, ObjectRef, Provider};
use crate::doctor::{Failure, Reason};
use crate::lab::{Lab, Picture, StepSpec};
use crate::models::weights::Reachability;
use crate::objects::meta;
use crate::state::Home;
use crate::traffic::{Client, Ingress};
use crate::ui::{Environment, Progress};

/// How long one request through the ingress may take.
const REQUEST_PATIENCE: Duration = Duration::from_mins(1);

/// The surroundings of a step.
pub struct World<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its home.
    pub home: &'a Home,
    /// Its cluster.
    pub provider: &'a dyn Provider,
    /// The environment variables.
    pub environment: &'a Environment,
    /// What a person asked for about models and pictures.
    pub choices: &'a Choices,
    /// Where to tell what is awaited.
    pub progress: Progress,
    /// The stage that the step belongs to, by position.
    pub stage: usize,
    /// Whether a later stage has changed the routes since, so that any of the lab's models may answer.
    pub routes_changed_since: bool,
    /// What is kept from step to step.
    pub memory: &'a Memory,
}

/// What steps of one run share because it is costly to make.
#[derive(Default)]
pub struct Memory {
    api: Mutex<Option<Arc<Api>>>,
    askings: Mutex<Vec<(Picture, Arc<Asking>)>>,
    /// What attempts to download have shown.
    pub(super) network: Mutex<Reachability>,
    mended: std::sync::Mutex<BTreeSet<(usize, usize)>>,
}

impl Memory {
    /// Notes that a step, by stage and position, was mended before its turn.
    pub(crate) fn mended(&self, stage: usize, step: usize) {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).insert((stage, step));
    }

    /// Whether it was.
    pub(crate) fn was_mended(&self, stage: usize, step: usize) -> bool {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).contains(&(stage, step))
    }
}

/// The ingress, with what its service showed.
#[derive(Debug, Clone)]
pub struct IngressAddress {
    /// Where to ask.
    pub ingress: Ingress,
    /// The service.
    pub service: Value,
}

impl World<'_> {
    /// A client of the cluster; made once, and anew after [`World::forget_api`].
    pub async fn api(&self) -> Result<Arc<Api>, Failure> {
        let mut known = self.memory.api.lock().await;
        if let Some(api) = known.as_ref() {
            return Ok(Arc::clone(api));
        }
        let api = Arc::new(Api::connect(self.provider.kubeconfig()).await?);
        *known = Some(Arc::clone(&api));
        Ok(api)
    }

    /// The cluster was started anew: its address and keys may have changed.
    pub async fn forget_api(&self) {
        *self.memory.api.lock().await = None;
    }

    /// The models were built anew: what they answer must be computed again.
    pub async fn forget_answers(&self) {
        self.memory.askings.lock().await.clear();
    }

    /// What to ask with a picture, and what each model must answer; computed once a run.
    pub async fn asking(&self, picture: Picture) -> Result<Arc<Asking>, Failure> {
        let mut known = self.memory.askings.lock().await;
        if let Some((_, asking)) = known.iter().find(|(known, _)| *known == picture) {
            return Ok(Arc::clone(asking));
        }
        let asking = Arc::new(Asking::prepare(self.lab, self.home, picture).await?);
        known.push((picture, Arc::clone(&asking)));
        Ok(asking)
    }

    /// The manifest's object, with the models' directory of this cluster's node.
    pub fn object(&self, file: &str) -> Result<Value, Failure> {
        let manifest = self
            .lab
            .manifests
            .get(file)
            .ok_or_else(|| Failure::new(Reason::Internal, format!("no manifest {file}")))?;
        Ok(manifest.object(&self.provider.models_on_node().display().to_string())?)
    }

    /// The route objects that stages up to this one have applied, each once.
    pub fn routes_in_force(&self) -> Vec<ObjectRef> {
        let mut routes: Vec<ObjectRef> = Vec::new();
        for stage in self.lab.spec.stages.iter().take(self.stage + 1) {
            for step in &stage.steps {
                let StepSpec::Apply(apply) = step else { continue };
                let Some(manifest) = self.lab.manifests.get(&apply.manifest).filter(|manifest| manifest.key.is_route())
                else {
                    continue;
                };
                let key = &manifest.key;
                let reference = ObjectRef::new(&manifest.api_version, &key.kind, key.namespace.as_deref(), &key.name);
                if !routes.contains(&reference) {
                    routes.push(reference);
                }
            }
        }
        routes
    }

    /// A client for the ingress.
    pub fn http(&self) -> Result<Client, Failure> {
        Client::new(REQUEST_PATIENCE)
            .map_err(|error| Failure::new(Reason::Internal, "no HTTP client").observed(error.to_string()))
    }

    /// Where requests enter, read from the ingress service as the tutorial reads it.
    pub async fn ingress(&self) -> Result<IngressAddress, Failure> {
        let api = self.api().await?;
        ingress_of(self.provider, &api, self.lab).await
    }
}

/// Where requests enter: the way that the provider knows, else the service's first external address and the port of the
/// lab's name.
pub async fn ingress_of(provider: &dyn Provider, api: &Api, lab: &Lab) -> Result<IngressAddress, Failure> {
    let spec = &lab.spec.ingress;
    let reference = ObjectRef::new("v1", "Service", Some(&spec.namespace), &spec.service);
    let Some(service) = api.get(&reference).await? else {
        return Err(Failure::new(Reason::MeshNotReady, format!("{} does not exist", reference.label())));
    };
    if let Some(ingress) = provider.ingress(api).await? {
        return Ok(IngressAddress { ingress, service });
    }
    let first = meta::list_at(&service, &["status", "loadBalancer", "ingress"]).first().cloned().unwrap_or_default();
    let host = first["ip"].as_str().or_else(|| first["hostname"].as_str());
    let port = meta::list_at(&service, &["spec", "ports"]).iter().find(|port| port["name"] == spec.port.as_str());
    let port = port.and_then(|port| port["port"].as_u64()).and_then(|port| u16::try_from(port).ok());
    match (host, port) {
        (Some(host), Some(port)) => {
            let ingress = Ingress { host: host.to_owned(), port, host_header: None };
            Ok(IngressAddress { ingress, service })
        }
        (None, _) => Err(Failure::new(Reason::TunnelNotRunning, "the ingress gateway has no external address")
            .observed(format!("EXTERNAL-IP of {} is <pending>", reference.label()))),
        (_, None) => {
            Err(Failure::new(Reason::MeshNotReady, format!("{} has no port named `{}`", reference.label(), spec.port)))
        }
    }
}
