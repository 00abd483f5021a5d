//! The embedded cluster's network: which loopback addresses a lab has, and the proxy behind its Services.
//!
//! A lab claims one block 127.N.0.0/16 ([`BlockClaim`]) whose plan is fixed ([`AddressBlock`]). Pods get their
//! addresses from a pool ([`PodAddresses`]). Services are served by listeners on their ClusterIPs, node ports and
//! external addresses ([`ServiceProxy`]), computed from Services and Endpoints ([`listener_plan`]). A port that
//! somebody else holds is named with its process ([`holders`]).

mod block;
pub mod holders;
mod ingress_ports;
mod plan;
mod pods;
mod proxy;
mod socket_diag;
mod task;

pub use block::{AddressBlock, BlockClaim, ClaimError};
pub use ingress_ports::IngressPorts;
pub use plan::{ListenerKind, ListenerPlan, PlannedListener, listener_plan};
pub use pods::PodAddresses;
pub use proxy::{ListenerProblem, Reconciled, ServiceProxy};
pub use task::{ClosedListener, ListenerReport, ServiceProxyControl, ServiceProxyHandle, run_service_proxy};
