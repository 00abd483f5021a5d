//! How the API server gets into pods: commands in their containers, and connections to their ports.

use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

/// What a command writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To its standard output.
    Stdout(Bytes),
    /// To its standard error.
    Stderr(Bytes),
}

/// The streams of a command. Standard input ends with its channel; a command whose output nobody takes should end.
#[derive(Debug)]
pub struct ExecStreams {
    /// What the client sends.
    pub stdin: mpsc::Receiver<Bytes>,
    /// What the command answers.
    pub output: mpsc::Sender<Output>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEnd {
    /// With this code.
    Exit(u8),
    /// It could not be run at all, for this reason.
    Failed(String),
}

/// A command that runs.
pub type ExecAnswer = Pin<Box<dyn Future<Output = ExecEnd> + Send>>;

/// Whoever runs the containers of pods.
pub trait PodAccess: Send + Sync {
    /// Runs a command in a running container of this pod.
    fn exec(&self, pod: &Value, container: &str, command: Vec<String>, streams: ExecStreams) -> ExecAnswer;

    /// The addresses at which the pod's programs see themselves as local, the nearest first; empty when nothing of the
    /// pod runs.
    fn local_addresses(&self, pod: &Value) -> Vec<IpAddr>;
}
