//! The data plane: the ingress gateway's and the sidecar's proxy process.
//!
//! A proxy stands where Envoy stands in Istio 1.12: [`run_gateway`] routes by the snapshots that the mesh pushes, [`run_sidecar`]
//! owns a pod's address and hands everything to the application behind it. Bodies stream both ways; a push is obeyed by every
//! thread before it is acknowledged ([`control`]). Requests are carried by worker threads that share nothing, so nothing on a
//! request's way waits for another one. The kubelet starts proxies and tells them their place ([`ProxyOptions`]).

mod balance;
mod connection;
pub mod control;
mod cors;
mod flags;
mod forward;
mod headers;
mod listeners;
mod local_reply;
mod metrics;
mod options;
mod proxy;
mod record;
mod refusals;
mod request_body;
mod response_body;
mod retry;
mod status_server;
mod upstream;
mod worker;

#[cfg(test)]
mod tests;

pub use options::{Application, OptionsError, ProxyOptions, SIDECAR_VARIABLE};
pub use proxy::{ProxyError, run_gateway, run_sidecar};
