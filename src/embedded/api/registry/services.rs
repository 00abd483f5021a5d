//! ClusterIPs and node ports: what a Service is given when it is stored.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rand::Rng;
use serde_json::{Value, json};

use super::Registry;
use crate::embedded::api::status::Status;
use crate::objects::{FieldError, Gvk, meta, names};

/// First and last node port, as on every default cluster.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// The addresses that Services may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRange {
    /// The network's address.
    pub network: Ipv4Addr,
    /// Its prefix length, at most 30.
    pub prefix: u8,
}

impl ServiceRange {
    fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix.min(30)))
    }

    /// The address of the `kubernetes` Service.
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }

    /// Whether a Service may have this address: not the network's own and not the broadcast one.
    fn contains(self, address: Ipv4Addr) -> bool {
        let offset = address.to_bits().wrapping_sub(self.network.to_bits());
        offset > 0 && offset < self.size() - 1
    }

    /// A free address; at random, so that an address is not soon given again. The first ones are for asking.
    fn free(self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let (network, size) = (self.network.to_bits(), self.size());
        let reserved = (size / 16).min(16);
        let start = rand::rng().random_range(reserved..size - 1);
        (0..size).map(|step| network + (start + step) % size).map(Ipv4Addr::from_bits).find(|address| {
            self.contains(*address) && address.to_bits() - network >= reserved && !taken.contains(address)
        })
    }
}

impl std::fmt::Display for ServiceRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.network, self.prefix)
    }
}

/// Gives a Service its addresses and ports, keeping those of its state before. The caller holds the allocation lock.
pub(super) fn allocate(registry: &Registry, gvk: &Gvk, old: Option<&Value>, service: &mut Value) -> Result<(), Status> {
    let name = meta::name(service).to_owned();
    let (others, _) = registry.list("services", None)?;
    let uid = meta::uid(service).to_owned();
    let others: Vec<&Value> = others.iter().map(|other| &**other).filter(|other| meta::uid(other) != uid).collect();
    let refuse = |error: FieldError| Status::invalid(gvk, &name, &[error]);
    if service["spec"]["type"].is_null() {
        service["spec"]["type"] = "ClusterIP".into();
    }
    let kind = service["spec"]["type"].as_str().unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    settle_address(registry.0.options.services, &others, old, service).map_err(refuse)?;
    if kind == "NodePort" || kind == "LoadBalancer" {
        settle_node_ports(&others, old, service).map_err(refuse)?;
        if service["spec"]["externalTrafficPolicy"].is_null() {
            service["spec"]["externalTrafficPolicy"] = "Cluster".into();
        }
        if kind == "LoadBalancer" && service["spec"]["allocateLoadBalancerNodePorts"].is_null() {
            service["spec"]["allocateLoadBalancerNodePorts"] = true.into();
        }
    } else if let Some(old) = old
        && old["spec"]["type"] != service["spec"]["type"]
    {
        drop_node_ports(old, service);
    }
    Ok(())
}

fn settle_address(
    range: ServiceRange,
    others: &[&Value],
    old: Option<&Value>,
    service: &mut Value,
) -> Result<(), FieldError> {
    let text = |service: &Value| -> String {
        let single = service["spec"]["clusterIP"].as_str();
        let first = service["spec"]["clusterIPs"][0].as_str();
        single.filter(|text| !text.is_empty()).or(first).unwrap_or_default().to_owned()
    };
    let before = old.map(text).unwrap_or_default();
    let mut wanted = text(service);
    if wanted.is_empty() {
        wanted.clone_from(&before);
    }
    if wanted != "None" && (wanted.is_empty() || wanted != before) {
        let taken: BTreeSet<Ipv4Addr> = others.iter().filter_map(|other| text(other).parse().ok()).collect();
        let refuse = |why: &str| {
            let value = format!("[]string{{{}}}", names::quote(&wanted));
            FieldError::invalid("spec.clusterIPs", &value, &format!("failed to allocate IP {wanted}: {why}"))
        };
        wanted = if wanted.is_empty() {
            let free = range.free(&taken);
            free.ok_or_else(|| refuse("range is full"))?.to_string()
        } else if let Ok(address) = wanted.parse::<Ipv4Addr>() {
            if !range.contains(address) {
                let why =
                    format!("the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {range}");
                return Err(refuse(&why));
            }
            if taken.contains(&address) {
                return Err(refuse("provided IP is already allocated"));
            }
            wanted
        } else {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            return Err(FieldError::invalid_text("spec.clusterIPs[0]", &wanted, why));
        };
    }
    let spec = &mut service["spec"];
    spec["clusterIP"] = wanted.as_str().into();
    spec["clusterIPs"] = json!([wanted]);
    if spec["ipFamilies"].is_null() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = "SingleStack".into();
    }
    Ok(())
}

/// Every node port is one Service's, whatever the protocol, except that a Service may use one for several protocols.
fn settle_node_ports(others: &[&Value], old: Option<&Value>, service: &mut Value) -> Result<(), FieldError> {
    fn ports(service: &Value) -> impl Iterator<Item = &Value> {
        meta::list_at(service, &["spec", "ports"]).iter()
    }
    fn node_port(port: &Value) -> Option<u16> {
        port["nodePort"].as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
    }
    let mut taken: BTreeSet<u16> = others.iter().flat_map(|other| ports(other)).filter_map(node_port).collect();
    let before: Vec<Value> = old.into_iter().flat_map(ports).cloned().collect();
    let own: BTreeSet<u16> = before.iter().filter_map(node_port).collect();
    let Some(list) = service["spec"]["ports"].as_array_mut() else { return Ok(()) };
    let asked: Vec<u16> = list.iter().filter_map(node_port).collect();
    for (index, port) in list.iter_mut().enumerate() {
        let field = format!("spec.ports[{index}].nodePort");
        if let Some(number) = node_port(port) {
            if !NODE_PORTS.contains(&number) && !own.contains(&number) {
                let why = format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    NODE_PORTS.start(),
                    NODE_PORTS.end()
                );
                return Err(FieldError::invalid(field, &number.to_string(), &why));
            }
            if taken.contains(&number) {
                return Err(FieldError::invalid(field, &number.to_string(), "provided port is already allocated"));
            }
            continue;
        }
        let same = |known: &&Value| known["port"] == port["port"] && known["protocol"] == port["protocol"];
        let kept = before.iter().find(same).and_then(node_port).filter(|number| !asked.contains(number));
        let number = kept.or_else(|| {
            let span = u32::from(NODE_PORTS.end() - NODE_PORTS.start()) + 1;
            let start = rand::rng().random_range(0..span);
            (0..span)
                .filter_map(|step| u16::try_from((start + step) % span).ok())
                .map(|offset| NODE_PORTS.start() + offset)
                .find(|number| !taken.contains(number) && !asked.contains(number))
        });
        let number = number.ok_or_else(|| FieldError::invalid(field, "0", "range is full"))?;
        taken.insert(number);
        port["nodePort"] = number.into();
    }
    Ok(())
}

/// A Service that is no longer reached through nodes gives its unchanged node ports back.
fn drop_node_ports(old: &Value, service: &mut Value) {
    let before: Vec<Value> = meta::list_at(old, &["spec", "ports"]).to_vec();
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let unchanged = before.iter().any(|known| known["nodePort"] == port["nodePort"]);
        if let Some(port) = port.as_object_mut().filter(|_| unchanged) {
            port.shift_remove("nodePort");
        }
    }
    if let Some(spec) = service["spec"].as_object_mut() {
        spec.shift_remove("externalTrafficPolicy");
        spec.shift_remove("allocateLoadBalancerNodePorts");
    }
}
