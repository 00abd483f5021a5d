//! The model server: TensorFlow Serving 2.5.1's command line, REST and gRPC, on SavedModels.
//!
//! A client written for `tensorflow/serving:2.5.1` shall not notice the difference. [`run`] is the whole process: it
//! reads flags, loads models (`lifecycle/`), opens the ports (`rest/`, `grpc/`) and ends on SIGTERM. What a request means
//! is in `service/`, JSON with RapidJSON's manners in `json/`. Called by the command `model-server` and, in a pod of
//! the embedded cluster, by the kubelet, which then hands over a sandbox. Facts: TensorFlow Serving's sources, 2.5.1;
//! where we differ, `docs/serving.md` says so.

pub mod grpc;
pub mod json;
pub mod lifecycle;
pub mod metrics;
pub mod proto;
pub mod rest;
mod run;
mod server;
pub mod service;
pub mod status;

pub use run::run;
