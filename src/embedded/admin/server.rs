//! The daemon's side of the admin API.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::types::{ClusterStatus, Tunnel, Version};

/// What the daemon answers with.
pub(in crate::embedded) struct AdminState {
    /// Who answers.
    pub(in crate::embedded) version: Version,
    /// What the daemon does and where.
    pub(in crate::embedded) status: Box<dyn Fn() -> ClusterStatus + Send + Sync>,
    /// Starts or ends the tunnel; an error's text says why it could not be remembered.
    pub(in crate::embedded) set_tunnel: Box<dyn Fn(bool) -> std::io::Result<()> + Send + Sync>,
    /// The mesh's own account; what it says is acknowledged can be reached when the answer is there.
    pub(in crate::embedded) mesh: Box<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>,
    /// Cancelled when the daemon is asked to stop.
    pub(in crate::embedded) stopping: CancellationToken,
}

/// Serves until the daemon stops.
pub(in crate::embedded) async fn serve(listener: UnixListener, state: AdminState) {
    let stopping = state.stopping.clone();
    let router = Router::new()
        .route("/version", get(|State(state): State<Arc<AdminState>>| async move { Json(state.version.clone()) }))
        .route("/status", get(|State(state): State<Arc<AdminState>>| async move { Json((state.status)()) }))
        .route("/mesh", get(|State(state): State<Arc<AdminState>>| async move { Json((state.mesh)().await) }))
        .route("/tunnel", put(set_tunnel))
        .route("/stop", post(stop))
        .with_state(Arc::new(state));
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!("the admin API ended: {error}");
    }
}

async fn set_tunnel(
    State(state): State<Arc<AdminState>>,
    Json(tunnel): Json<Tunnel>,
) -> Result<Json<Tunnel>, (StatusCode, String)> {
    match (state.set_tunnel)(tunnel.running) {
        Ok(()) => Ok(Json(tunnel)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn stop(State(state): State<Arc<AdminState>>) -> StatusCode {
    state.stopping.cancel();
    StatusCode::ACCEPTED
}
