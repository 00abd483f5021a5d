//! The embedded cluster's controllers: what a real cluster's controller manager and scheduler do for the lab's kinds.
//!
//! Deployments become ReplicaSets, those become pods, pods get the node, Services get endpoints and external
//! addresses, claims get volumes, namespaces come furnished and go emptied, and what lost its owner is collected. Every controller is one
//! task that sleeps until the [`Registry`] shows it a change; it reads what is stored at that moment, never a copy of
//! its own, so it needs no expectations and cannot act twice. The daemon starts them with [`start`].

mod claims;
mod deployment;
mod endpoints;
mod garbage;
mod load_balancer;
mod names;
mod namespaces;
mod node;
mod ownership;
pub(crate) mod pod_facts;
mod queue;
mod replica_set;
mod scheduler;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::{Registry, Status};
use super::network::AddressBlock;

pub(crate) use node::NODE_NAME;

/// What the controllers need to know besides the objects.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// The lab's addresses.
    pub block: AddressBlock,
    /// The cluster's CA certificate in PEM, which every namespace carries in a ConfigMap.
    pub certificate: String,
    /// Whether load balancers give out addresses.
    pub tunnel: watch::Receiver<bool>,
    /// Where the volumes of claims lie.
    pub claims: PathBuf,
}

/// Makes sure that the node exists, then starts all controllers. They end with the set.
pub async fn start(registry: &Registry, options: ControllerOptions) -> Result<JoinSet<()>, Status> {
    node::register(registry, options.block).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(namespaces::run(registry.clone(), options.certificate));
    tasks.spawn(deployment::run(registry.clone()));
    tasks.spawn(replica_set::run(registry.clone()));
    tasks.spawn(scheduler::run(registry.clone()));
    tasks.spawn(endpoints::run(registry.clone()));
    tasks.spawn(load_balancer::run(registry.clone(), options.block, options.tunnel));
    tasks.spawn(claims::run(registry.clone(), options.claims));
    tasks.spawn(garbage::run(registry.clone()));
    Ok(tasks)
}
