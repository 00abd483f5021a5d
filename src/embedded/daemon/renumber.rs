//! Moving a cluster's objects to another address block, when the one they were made for is taken.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::embedded::api::{Registry, Status};
use crate::embedded::network::AddressBlock;
use crate::objects::meta;

/// Gives every Service and pod its place in this block. Endpoints follow from them.
pub(super) async fn move_to(registry: &Registry, block: AddressBlock) -> Result<(), Status> {
    let moved = |value: &Value| -> Option<Value> {
        let address: Ipv4Addr = value.as_str()?.parse().ok()?;
        Some(json!(block.moved(address).to_string()))
    };
    for service in registry.list("services", None)?.0 {
        let changed = registry.modify("services", meta::namespace(&service), meta::name(&service), |stored| {
            for pointer in ["/spec/clusterIP", "/spec/clusterIPs/0"] {
                if let Some(value) = stored.pointer_mut(pointer)
                    && let Some(address) = moved(value)
                {
                    *value = address;
                }
            }
            if stored["status"]["loadBalancer"].is_object() {
                stored["status"]["loadBalancer"] = json!({});
            }
        });
        changed.await?;
    }
    for pod in registry.list("pods", None)?.0 {
        if !pod["status"]["podIP"].is_string() {
            continue;
        }
        let changed = registry.modify("pods", meta::namespace(&pod), meta::name(&pod), |stored| {
            for pointer in ["/status/podIP", "/status/podIPs/0/ip", "/status/hostIP"] {
                if let Some(value) = stored.pointer_mut(pointer)
                    && let Some(address) = moved(value)
                {
                    *value = address;
                }
            }
        });
        changed.await?;
    }
    Ok(())
}
