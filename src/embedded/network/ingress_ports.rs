//! The ports of the ingress gateway's Service: the usual ones where they can be bound, others where they cannot.

use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::embedded::api::admission::{Admission, AdmissionRequest, Denial, Operation};

/// The Service whose ports are chosen.
const SERVICE: (&str, &str) = ("istio-system", "istio-ingressgateway");

/// The ports that the ingress gateway's Service shows for its three usual ones.
///
/// An ordinary user may not bind 80 and 443 on most machines, and somebody may listen on them on all addresses. The
/// Service then shows the port chosen, so that the look-ups of a learner stay right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressPorts {
    /// For 80.
    pub http: u16,
    /// For 443.
    pub https: u16,
    /// For 15021.
    pub status: u16,
}

impl IngressPorts {
    /// Chooses ports that can be bound on this address now.
    pub fn choose(address: Ipv4Addr) -> Self {
        let first = |usual: u16, others: std::ops::Range<u16>| {
            [usual].into_iter().chain(others).find(|port| TcpListener::bind((address, *port)).is_ok()).unwrap_or(usual)
        };
        Self { http: first(80, 8080..8180), https: first(443, 8443..8543), status: first(15021, 15121..15221) }
    }

    fn shown(self, usual: u64) -> Option<u16> {
        match usual {
            80 => Some(self.http),
            443 => Some(self.https),
            15021 => Some(self.status),
            _ => None,
        }
    }
}

impl Admission for IngressPorts {
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Denial> {
        let is_ingress = request.resource == "services"
            && request.namespace == Some(SERVICE.0)
            && request.name == SERVICE.1
            && request.operation != Operation::Delete;
        if is_ingress {
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                if let Some(shown) = port["port"].as_u64().and_then(|usual| self.shown(usual)) {
                    port["port"] = json!(shown);
                }
            }
        }
        Ok(())
    }

    fn validate(&self, _request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denial> {
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::network::BlockClaim;
    use crate::objects::Gvk;

    #[test]
    fn only_the_ingress_gateways_service_is_changed() {
        let ports = IngressPorts { http: 8080, https: 8443, status: 15021 };
        let gvk = Gvk { group: String::new(), version: "v1".into(), kind: "Service".into() };
        let changed = |name: &str| {
            let request = AdmissionRequest {
                operation: Operation::Create,
                gvk: &gvk,
                resource: "services",
                namespace: Some("istio-system"),
                name,
                object: None,
                old_object: None,
                namespace_object: None,
                dry_run: false,
            };
            let mut service =
                json!({"spec": {"ports": [{"name": "http2", "port": 80, "targetPort": 8080}, {"port": 9}]}});
            ports.mutate(&request, &mut service).unwrap();
            service["spec"]["ports"][0].clone()
        };
        assert_eq!(changed("istio-ingressgateway"), json!({"name": "http2", "port": 8080, "targetPort": 8080}));
        assert_eq!(changed("other")["port"], 80);
    }

    #[test]
    fn a_port_that_is_taken_is_not_chosen() {
        let claim = BlockClaim::take(None, None).unwrap();
        let address = claim.block().external();
        let first = IngressPorts::choose(address);
        let _held = TcpListener::bind((address, first.status)).unwrap();
        assert_ne!(IngressPorts::choose(address).status, first.status);
    }
}
