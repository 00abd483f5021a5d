//! The client's side of the admin API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::types::{ClusterStatus, Tunnel, Version};

/// How long an answer may take; the daemon answers out of memory.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the daemon did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens on the socket.
    #[error("no daemon answers on {}: {source}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The exchange broke off or took too long.
    #[error("the daemon on {} did not answer {request}: {reason}", socket.display())]
    Interrupted {
        /// The socket.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// What went wrong.
        reason: String,
    },
    /// The daemon refused.
    #[error("the daemon answered {request} with {code}: {text}")]
    Refused {
        /// Method and path.
        request: String,
        /// The HTTP status.
        code: u16,
        /// What it said.
        text: String,
    },
}

/// Talks to the daemon on one socket; every request opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client for the daemon that listens on this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who answers.
    pub async fn version(&self) -> Result<Version, AdminError> {
        self.ask(Method::GET, "/version", None::<&()>).await
    }

    /// What the daemon does and where.
    pub async fn status(&self) -> Result<ClusterStatus, AdminError> {
        self.ask(Method::GET, "/status", None::<&()>).await
    }

    /// Starts or ends the tunnel: Services of type LoadBalancer get or lose their addresses in the next moment.
    pub async fn set_tunnel(&self, running: bool) -> Result<Tunnel, AdminError> {
        self.ask(Method::PUT, "/tunnel", Some(&Tunnel { running })).await
    }

    /// The mesh's own account: its revision and what every proxy has acknowledged.
    pub async fn mesh<T: DeserializeOwned>(&self) -> Result<T, AdminError> {
        self.ask(Method::GET, "/mesh", None::<&()>).await
    }

    /// Asks the daemon to stop. It answers at once and ends when its children have; see
    /// [`crate::process::ProcessIdentity::is_alive`].
    pub async fn stop(&self) -> Result<(), AdminError> {
        self.ask::<serde::de::IgnoredAny>(Method::POST, "/stop", None::<&()>).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, AdminError> {
        let request = format!("{method} {path}");
        let interrupted =
            |reason: String| AdminError::Interrupted { socket: self.socket.clone(), request: request.clone(), reason };
        let exchange = async {
            let stream = UnixStream::connect(&self.socket)
                .await
                .map_err(|source| AdminError::Unreachable { socket: self.socket.clone(), source })?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| interrupted(error.to_string()))?;
            // The connection ends with the sender; its errors reach the request.
            tokio::spawn(connection);
            let bytes = body.map(serde_json::to_vec).transpose().map_err(|error| interrupted(error.to_string()))?;
            let message = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "canary-lab")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(bytes.unwrap_or_default())))
                .map_err(|error| interrupted(error.to_string()))?;
            let answer = sender.send_request(message).await.map_err(|error| interrupted(error.to_string()))?;
            let code = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|error| interrupted(error.to_string()))?.to_bytes();
            if !(200..300).contains(&code) {
                let text = String::from_utf8_lossy(&body).into_owned();
                return Err(AdminError::Refused { request: request.clone(), code, text });
            }
            let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
            serde_json::from_slice(&body).map_err(|error| interrupted(format!("not understood: {error}")))
        };
        let limited = tokio::time::timeout(TIMEOUT, exchange).await;
        limited.unwrap_or_else(|_| Err(interrupted(format!("no answer within {} s", TIMEOUT.as_secs()))))
    }
}
