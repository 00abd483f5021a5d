//! Services, their ports and the ready pods behind them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::{GatewayWorkload, MeshObjects};
use crate::routing::names::CLUSTER_DOMAIN;

/// One TCP port of a Service.
#[derive(Debug, Clone)]
pub(crate) struct ServicePort {
    pub(crate) number: u16,
    pub(crate) http2: bool,
    /// Ready addresses with the labels of their pods.
    pub(crate) endpoints: Vec<(SocketAddr, Arc<BTreeMap<String, String>>)>,
}

/// One Service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) ports: Vec<ServicePort>,
    selector: BTreeMap<String, String>,
    /// Port number to the number that the pods bind.
    targets: BTreeMap<u16, u16>,
}

impl Service {
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}.{CLUSTER_DOMAIN}", self.name, self.namespace)
    }
}

/// All Services by full name.
#[derive(Debug, Default)]
pub(crate) struct ServiceIndex {
    by_name: BTreeMap<String, Service>,
}

/// The ports that a gateway pod binds whatever its Service says (design, "Ports").
const FIXED_BIND_PORTS: [(u32, u16); 3] = [(80, 8080), (443, 8443), (15021, 15021)];

impl ServiceIndex {
    pub(crate) fn new(objects: &MeshObjects) -> Self {
        let pods = Pods::new(&objects.pods);
        let endpoints: HashMap<(&str, &str), &Value> =
            objects.endpoints.iter().map(|object| (key(object), object.as_ref())).collect();
        let by_name = objects
            .services
            .iter()
            .map(|object| {
                let service = service(object, endpoints.get(&key(object)).copied(), &pods);
                (service.full_name(), service)
            })
            .collect();
        Self { by_name }
    }

    pub(crate) fn get(&self, full_name: &str) -> Option<&Service> {
        self.by_name.get(full_name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Service> {
        self.by_name.values()
    }

    /// The port that a gateway pod binds for a Gateway server's number.
    pub(crate) fn bind_port(&self, number: u32, workload: &GatewayWorkload) -> Option<u16> {
        if let Some((_, bound)) = FIXED_BIND_PORTS.iter().find(|(from, _)| *from == number) {
            return Some(*bound);
        }
        let number = u16::try_from(number).ok()?;
        let mapped = self
            .all()
            .filter(|service| service.namespace == workload.namespace && selects(&service.selector, &workload.labels))
            .find_map(|service| service.targets.get(&number));
        Some(*mapped.unwrap_or(&number))
    }
}

/// Whether a selector that asks for something finds it in the labels.
fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn key(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

fn string_map(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Labels of pods, by name and by address.
struct Pods<'a> {
    by_name: HashMap<(&'a str, &'a str), Arc<BTreeMap<String, String>>>,
    by_address: HashMap<&'a str, Arc<BTreeMap<String, String>>>,
}

impl<'a> Pods<'a> {
    fn new(pods: &'a [Arc<Value>]) -> Self {
        let mut index = Self { by_name: HashMap::new(), by_address: HashMap::new() };
        for pod in pods {
            let labels = Arc::new(string_map(&pod["metadata"]["labels"]));
            if let Some(address) = pod["status"]["podIP"].as_str() {
                index.by_address.insert(address, labels.clone());
            }
            index.by_name.insert(key(pod), labels);
        }
        index
    }

    fn labels(&self, namespace: &str, address: &Value) -> Arc<BTreeMap<String, String>> {
        let by_name = address["targetRef"]["name"].as_str().and_then(|name| self.by_name.get(&(namespace, name)));
        by_name.or_else(|| self.by_address.get(address["ip"].as_str().unwrap_or_default())).cloned().unwrap_or_default()
    }
}

fn service(object: &Value, endpoints: Option<&Value>, pods: &Pods<'_>) -> Service {
    let (namespace, name) = key(object);
    let ports = object["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_tcp = |port: &&Value| port["protocol"].as_str().is_none_or(|protocol| protocol == "TCP");
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        selector: string_map(&object["spec"]["selector"]),
        targets: ports
            .iter()
            .filter_map(|port| Some((number(&port["port"])?, number(&port["targetPort"]).or(number(&port["port"]))?)))
            .collect(),
        ports: ports
            .iter()
            .filter(is_tcp)
            .filter_map(|port| {
                let port_name = port["name"].as_str().unwrap_or_default();
                Some(ServicePort {
                    number: number(&port["port"])?,
                    http2: speaks_http2(port["appProtocol"].as_str(), port_name),
                    endpoints: endpoints.map(|object| ready(object, port_name, namespace, pods)).unwrap_or_default(),
                })
            })
            .collect(),
    }
}

/// The protocol is the application protocol, else the port name's text before its first dash.
fn speaks_http2(app_protocol: Option<&str>, port_name: &str) -> bool {
    let protocol = app_protocol.unwrap_or_else(|| {
        if port_name.starts_with("grpc-web") { "grpc-web" } else { port_name.split('-').next().unwrap_or_default() }
    });
    matches!(protocol.to_ascii_lowercase().as_str(), "http2" | "grpc" | "grpc-web")
}

fn ready(
    endpoints: &Value,
    port_name: &str,
    namespace: &str,
    pods: &Pods<'_>,
) -> Vec<(SocketAddr, Arc<BTreeMap<String, String>>)> {
    let subsets = endpoints["subsets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for subset in subsets {
        let ports = subset["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(port) = ports.iter().find(|port| port["name"].as_str().unwrap_or_default() == port_name) else {
            continue;
        };
        let Some(number) = port["port"].as_u64().and_then(|number| u16::try_from(number).ok()) else { continue };
        for address in subset["addresses"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let Some(ip) = address["ip"].as_str().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
            found.push((SocketAddr::new(ip, number), pods.labels(namespace, address)));
        }
    }
    found.sort_by_key(|(address, _)| *address);
    found
}
