//! What was seen, and what is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::{Api, ApiError};
use crate::doctor::Failure;
use crate::objects::{Gvk, meta};
use crate::routing::{GatewayWorkload, MeshObjects};

/// Lines of a container's log that are looked at.
const LOG_LINES: u32 = 60;
/// Containers whose logs are fetched at most.
const LOGS: usize = 6;

/// The service that requests enter by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngressPlace {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The name of its port for HTTP.
    pub port: String,
}

/// A request, as far as routing looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The Host header; none for the address itself.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// The port that is connected to; none for the ingress service's own.
    pub port: Option<u16>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answered {
        /// Its status.
        status: u16,
        /// The start of its body.
        body: String,
    },
    /// Nothing listens there.
    Refused,
    /// No answer for another reason, in words.
    Silent(String),
}

/// What the lab wants up to a stage.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The manifests that count, each with its file's name.
    pub manifests: Vec<(String, Value)>,
    /// Namespaces with the labels that they carry.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

impl Wanted {
    /// The failure with the command that puts an object of the lab back: by the file of the manifest of that name, else by
    /// the only file of that kind, else by the lab itself.
    pub(super) fn put_back(&self, failure: Failure, kind: &str, name: &str, effect: &str) -> Failure {
        match self.file_of(kind, name) {
            Some(file) => failure.then(format!("kubectl apply -f {file}"), effect),
            None if failure.next.iter().any(|next| next.command == "canary-lab up") => failure,
            None => failure.then("canary-lab up", effect),
        }
    }

    fn file_of(&self, kind: &str, name: &str) -> Option<&str> {
        let mut of_kind = self.manifests.iter().filter(|(_, manifest)| manifest["kind"] == kind);
        let named = of_kind.clone().find(|(_, manifest)| meta::name(manifest) == name);
        let only = of_kind.next().filter(|_| of_kind.next().is_none());
        named.or(only).map(|(file, _)| file.as_str())
    }

    /// The lab's first Deployment: its namespace, its name, and the container that serves.
    pub(super) fn workload(&self) -> Option<(&str, &str, &str)> {
        let (_, manifest) = self.manifests.iter().find(|(_, manifest)| manifest["kind"] == "Deployment")?;
        let containers = meta::list_at(manifest, &["spec", "template", "spec", "containers"]);
        let container = containers.first().and_then(|container| container["name"].as_str())?;
        Some((meta::namespace(manifest).unwrap_or("default"), meta::name(manifest), container))
    }
}

/// What was seen of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Namespaces.
    pub namespaces: Vec<Value>,
    /// ConfigMaps of the namespaces that are looked at.
    pub config_maps: Vec<Value>,
    /// Deployments.
    pub deployments: Vec<Value>,
    /// ReplicaSets.
    pub replica_sets: Vec<Value>,
    /// What routes are made of, of all namespaces; pods, services and endpoints included.
    pub mesh: MeshObjects,
    /// Logs of containers, the last lines, by `namespace/pod/container`.
    pub logs: BTreeMap<String, String>,
    /// Where requests enter.
    pub ingress: IngressPlace,
    /// Whether the ingress should have an address by now.
    pub with_tunnel: bool,
    /// Whether requests should arrive by now: Gateway and VirtualService are wanted.
    pub with_requests: bool,
    /// The request that stands for all, and what came back.
    pub asked: Option<(Asked, Reply)>,
    /// Proxy variables that take requests for the ingress away: names with values.
    pub proxies: Vec<(String, String)>,
    /// Files of the work folder that the server would refuse: name and the server's words.
    pub refused_files: Vec<(String, String)>,
    /// Objects that are there with other values than their manifest's: by file, the object and the fields.
    pub altered: BTreeMap<String, (String, Vec<String>)>,
}

impl Facts {
    /// The ingress service.
    pub fn ingress_service(&self) -> Option<&Value> {
        let place = &self.ingress;
        self.services()
            .find(|service| meta::namespace(service) == Some(&place.namespace) && meta::name(service) == place.service)
    }

    /// Services of all namespaces.
    pub fn services(&self) -> impl Iterator<Item = &Value> {
        self.mesh.services.iter().map(Arc::as_ref)
    }

    /// Pods that are not on their way out.
    pub fn pods(&self) -> impl Iterator<Item = &Value> {
        self.mesh.pods.iter().map(Arc::as_ref).filter(|pod| !meta::is_terminating(pod))
    }

    /// Gateways of all namespaces.
    pub fn gateways(&self) -> impl Iterator<Item = &Value> {
        self.mesh.gateways.iter().map(Arc::as_ref)
    }

    /// VirtualServices of all namespaces.
    pub fn virtual_services(&self) -> impl Iterator<Item = &Value> {
        self.mesh.virtual_services.iter().map(Arc::as_ref)
    }

    /// DestinationRules of all namespaces.
    pub fn destination_rules(&self) -> impl Iterator<Item = &Value> {
        self.mesh.destination_rules.iter().map(Arc::as_ref)
    }

    /// Every object that was seen, of every kind.
    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.namespaces
            .iter()
            .chain(&self.config_maps)
            .chain(&self.deployments)
            .chain(self.services())
            .chain(self.gateways())
            .chain(self.virtual_services())
            .chain(self.destination_rules())
    }

    /// The gateway pods behind the ingress service: their namespace, and the labels of one of them.
    pub fn gateway(&self) -> GatewayWorkload {
        let selector = self.ingress_service().and_then(|service| meta::at(service, &["spec", "selector"]));
        let selector = text_map(selector);
        let pod = self.pods().find(|pod| {
            meta::namespace(pod) == Some(&self.ingress.namespace) && !selector.is_empty() && has_labels(pod, &selector)
        });
        let labels = pod.map_or(selector, |pod| text_map(meta::at(pod, &["metadata", "labels"])));
        GatewayWorkload { namespace: self.ingress.namespace.clone(), labels }
    }

    /// The ingress service's port for HTTP, as clients see it.
    pub fn ingress_port(&self) -> Option<u16> {
        let service = self.ingress_service()?;
        let ports = meta::list_at(service, &["spec", "ports"]);
        let port = ports.iter().find(|port| port["name"] == self.ingress.port.as_str())?;
        port["port"].as_u64().and_then(|port| u16::try_from(port).ok())
    }

    /// The external address of the ingress service.
    pub fn ingress_address(&self) -> Option<&str> {
        let first = self.ingress_service()?.pointer("/status/loadBalancer/ingress/0")?;
        first["ip"].as_str().or_else(|| first["hostname"].as_str())
    }
}

/// A mapping of texts as a value of its own; empty where there is none.
pub(super) fn text_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether the object carries all these labels.
pub(super) fn has_labels(object: &Value, labels: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(key, value)| meta::label(object, key) == Some(value))
}

/// Labels as `kubectl` prints them: `a=b,c=d`.
pub(super) fn shown(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Looks at a cluster: lists what matters of all namespaces, and the logs of the pods in `namespaces`.
pub async fn collect(api: &Api, ingress: IngressPlace, namespaces: &[String]) -> Result<Facts, ApiError> {
    let list = async |group: &str, version: &str, kind: &str| {
        let gvk = Gvk::new(group, version, kind);
        match api.list(&gvk, None, "").await {
            // Lists leave the type of their items out.
            Ok(items) => Ok(items
                .into_iter()
                .map(|mut item| {
                    item["apiVersion"] = gvk.api_version().into();
                    item["kind"] = kind.into();
                    Arc::new(item)
                })
                .collect::<Vec<_>>()),
            // A kind that is not served yet has no objects.
            Err(ApiError::UnknownKind { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    };
    let plain = |items: Vec<Arc<Value>>| items.into_iter().map(Arc::unwrap_or_clone).collect::<Vec<_>>();
    let mut facts = Facts {
        namespaces: plain(list("", "v1", "Namespace").await?),
        config_maps: plain(list("", "v1", "ConfigMap").await?),
        deployments: plain(list("apps", "v1", "Deployment").await?),
        replica_sets: plain(list("apps", "v1", "ReplicaSet").await?),
        mesh: MeshObjects {
            gateways: list("networking.istio.io", "v1alpha3", "Gateway").await?,
            virtual_services: list("networking.istio.io", "v1alpha3", "VirtualService").await?,
            destination_rules: list("networking.istio.io", "v1alpha3", "DestinationRule").await?,
            services: list("", "v1", "Service").await?,
            endpoints: list("", "v1", "Endpoints").await?,
            pods: list("", "v1", "Pod").await?,
            access_log: false,
        },
        ingress,
        with_requests: true,
        ..Facts::default()
    };
    facts.logs = logs(api, &facts, namespaces).await;
    Ok(facts)
}

/// The last lines that the applications' containers wrote; those of an ended container's last life where there is one.
async fn logs(api: &Api, facts: &Facts, namespaces: &[String]) -> BTreeMap<String, String> {
    let mut logs = BTreeMap::new();
    let watched = |pod: &&Value| meta::namespace(pod).is_some_and(|of| namespaces.iter().any(|known| known == of));
    for pod in facts.pods().filter(watched) {
        for status in meta::list_at(pod, &["status", "containerStatuses"]) {
            let (Some(namespace), Some(container)) = (meta::namespace(pod), status["name"].as_str()) else { continue };
            let started = status["state"]["running"].is_object() || status["lastState"]["terminated"].is_object();
            if container == "istio-proxy" || !started || logs.len() >= LOGS {
                continue;
            }
            let previous = !status["state"]["running"].is_object();
            // A log that cannot be had is no log.
            if let Ok(text) = api.log(namespace, meta::name(pod), container, previous, LOG_LINES).await {
                logs.insert(format!("{namespace}/{}/{container}", meta::name(pod)), text);
            }
        }
    }
    logs
}
