//! The load balancer: gives Services of type LoadBalancer their external addresses while the tunnel runs, and takes
//! them away when it ends, as `minikube tunnel` does.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::queue::ObjectKey;
use crate::embedded::api::{Registry, Status};
use crate::embedded::network::AddressBlock;
use crate::objects::meta;

/// The Service that gets the block's first address, which the rest of the lab is told about.
const INGRESS: (&str, &str) = ("istio-system", "istio-ingressgateway");

/// Runs for as long as the daemon does.
pub(super) async fn run(registry: Registry, block: AddressBlock, mut tunnel: watch::Receiver<bool>) {
    let mut services = registry.watch("services", None);
    loop {
        let running = *tunnel.borrow_and_update();
        if let Err(status) = balance(&registry, block, running).await {
            tracing::debug!("load balancer: {}", status.message);
            // Somebody else wrote the Service at the same time; its event comes next.
        }
        tokio::select! {
            _ = services.next() => {}
            changed = tunnel.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn balance(registry: &Registry, block: AddressBlock, running: bool) -> Result<(), Status> {
    let (services, _) = registry.list("services", None)?;
    let balanced: Vec<&Value> = services
        .iter()
        .map(|service| &**service)
        .filter(|service| service["spec"]["type"] == "LoadBalancer" && !meta::is_terminating(service))
        .collect();
    let numbers = numbers(&balanced, block);
    for service in &services {
        let key = ObjectKey::of(service);
        let wanted = match numbers.get(&key) {
            Some(number) if running => json!({"ingress": [{"ip": block.external_of(*number).to_string()}]}),
            _ => json!({}),
        };
        if service["status"]["loadBalancer"].get("ingress") != wanted.get("ingress") {
            let changed = registry.modify("services", key.scope(), &key.name, |stored| {
                stored["status"]["loadBalancer"] = wanted.clone();
            });
            changed.await?;
        }
    }
    Ok(())
}

/// Which external address each Service has: the ingress gateway the first, the others the one they have already or
/// the lowest free one.
fn numbers(services: &[&Value], block: AddressBlock) -> BTreeMap<ObjectKey, u8> {
    let is_ingress = |key: &ObjectKey| key.namespace == INGRESS.0 && key.name == INGRESS.1;
    let mut numbers = BTreeMap::new();
    let current = |service: &Value| {
        let ip = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?;
        (1..=u8::MAX).find(|&number| block.external_of(number).to_string() == ip)
    };
    for service in services {
        let key = ObjectKey::of(service);
        if is_ingress(&key) {
            numbers.insert(key, 0);
        } else if let Some(number) = current(service)
            && !numbers.values().any(|&taken| taken == number)
        {
            numbers.insert(key, number);
        }
    }
    for service in services {
        let key = ObjectKey::of(service);
        if !numbers.contains_key(&key)
            && let Some(free) = (1..=u8::MAX).find(|number| !numbers.values().any(|taken| taken == number))
        {
            numbers.insert(key, free);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ingress_gateway_has_the_first_address_and_others_keep_theirs() {
        let block = AddressBlock::new(70).unwrap();
        let service = |namespace: &str, name: &str, ip: Option<&str>| {
            json!({"metadata": {"namespace": namespace, "name": name},
                "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}})
        };
        let services = [
            service("a", "new", None),
            service("a", "old", Some("127.70.1.1")),
            service("istio-system", "istio-ingressgateway", None),
        ];
        let numbers = numbers(&services.iter().collect::<Vec<_>>(), block);
        let shown: Vec<_> = numbers.iter().map(|(key, number)| (key.name.as_str(), *number)).collect();
        assert_eq!(shown, [("new", 2), ("old", 1), ("istio-ingressgateway", 0)]);
    }
}
