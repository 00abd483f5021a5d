//! Health and metrics of a proxy: `/healthz/ready` on 15021, `/stats/prometheus` on 15020 and 15090.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// Merged metrics.
pub(super) const AGENT_PORT: u16 = 15020;
/// Health.
pub(super) const HEALTH_PORT: u16 = 15021;
/// The proxy's metrics.
pub(super) const METRICS_PORT: u16 = 15090;

/// What the status ports tell.
pub(super) struct Status {
    pub(super) ready: AtomicBool,
    pub(super) metrics: Metrics,
}

/// Opens the status ports.
///
/// # Errors
/// A port that cannot be bound, with its number.
pub(super) async fn serve(bind: IpAddr, status: Arc<Status>) -> Result<(), (u16, io::Error)> {
    for port in [AGENT_PORT, HEALTH_PORT, METRICS_PORT] {
        let listener = TcpListener::bind(SocketAddr::new(bind, port)).await.map_err(|error| (port, error))?;
        let status = status.clone();
        tokio::task::spawn_local(async move {
            loop {
                // A failed accept concerns one client; the next one asks again.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let status = status.clone();
                tokio::task::spawn_local(async move {
                    let service = service_fn(move |request| {
                        let reply = answer(&request, port, &status);
                        async move { Ok::<_, Infallible>(reply) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
    }
    Ok(())
}

fn answer(request: &Request<Incoming>, port: u16, status: &Status) -> Response<Full<Bytes>> {
    let (code, text) = match (request.uri().path(), port) {
        ("/healthz/ready", HEALTH_PORT | AGENT_PORT) if status.ready.load(Ordering::Relaxed) => {
            (StatusCode::OK, String::new())
        }
        ("/healthz/ready", HEALTH_PORT | AGENT_PORT) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        ("/stats/prometheus", METRICS_PORT | AGENT_PORT) | ("/metrics", AGENT_PORT) => {
            (StatusCode::OK, status.metrics.render())
        }
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = code;
    response.headers_mut().insert(SERVER, HeaderValue::from_static("envoy"));
    if code == StatusCode::OK && port != HEALTH_PORT {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    }
    response
}
