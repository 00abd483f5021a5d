//! HTTP/1.1 around the API.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, request};
use hyper::body::{Body as _, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::{Answer, Api, Speaker};
use super::body::{Held, Received, Unread, inflate, inflated_size, is_gzip, receive};
use super::error_page::phrase;
use super::gate::{Gate, MemoryShare};
use super::socket::Impatient;
use crate::serving::lifecycle::Log;

/// Bodies above this size are worked on where blocking does no harm, whatever the model.
const SMALL_BODY: usize = 32 << 10;

/// Serves the REST interface on one listener.
pub(in crate::serving) struct RestServer {
    pub(in crate::serving) api: Api,
    pub(in crate::serving) gate: Gate,
    /// Whether responses carry CORS headers.
    pub(in crate::serving) cors: bool,
}

impl RestServer {
    /// Accepts connections until `stop` is cancelled, then finishes the requests at work.
    pub(in crate::serving) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, or a connection that died early: the next try must not spin.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // Only a matter of speed; a socket that refuses works all the same.
            let _ = stream.set_nodelay(true);
            connections.spawn(Self::connection(Arc::clone(&server), Impatient::new(stream), stop.clone()));
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connection(server: Arc<Self>, stream: Impatient, stop: CancellationToken) {
        let service = service_fn(|request| Self::handle(Arc::clone(&server), request));
        let connection = http1::Builder::new()
            .title_case_headers(true)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let broken = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // A client that breaks off is not worth a line.
        drop(broken);
    }

    async fn handle(server: Arc<Self>, request: Request<Incoming>) -> Result<Response<Held>, Infallible> {
        let (parts, body) = request.into_parts();
        if let Some(code) = refused_by_library(&parts, body.size_hint().exact()) {
            return Ok(server.respond(Answer::page(code), MemoryShare::default()));
        }
        let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned());
        let planned = server.api.plan(parts.method.as_str(), &target);
        let mut received = match receive(body, &server.gate).await {
            Ok(received) => received,
            Err(unread) => return Ok(server.refusal(unread)),
        };
        let gzip = is_gzip(&parts.headers);
        if gzip && let Some(size) = inflated_size(&received.bytes) {
            // What was compressed is a small part of what it becomes.
            let share = std::mem::take(&mut received.share);
            drop(share);
            received.share = server.gate.room(size).await;
        }
        let origin = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
        let quick = planned.quick && received.bytes.len() <= SMALL_BODY && !gzip;
        let work = {
            let server = Arc::clone(&server);
            move |received: Received| {
                let inflated = gzip.then(|| {
                    inflate(&received.bytes).unwrap_or_else(|| {
                        Log.net("evhttp_request.cc : 251", "Failed to uncompress the gzipped body");
                        Vec::new()
                    })
                });
                let body = inflated.as_deref().unwrap_or(&received.bytes);
                let answer = server.api.answer(&planned, &target, origin.as_deref(), body);
                (answer, received.share)
            }
        };
        if quick {
            let (answer, share) = work(received);
            return Ok(server.respond(answer, share));
        }
        let turn = server.gate.turn().await;
        let worked = tokio::task::spawn_blocking(move || {
            let done = work(received);
            drop(turn);
            done
        });
        let (answer, share) = worked.await.unwrap_or_else(|_| (Answer::page(500), MemoryShare::default()));
        Ok(server.respond(answer, share))
    }

    fn refusal(&self, unread: Unread) -> Response<Held> {
        let code = match unread {
            Unread::TooLarge => 413,
            Unread::Broken => 400,
        };
        self.respond(Answer::page(code), MemoryShare::default())
    }

    fn respond(&self, answer: Answer, share: MemoryShare) -> Response<Held> {
        let length = answer.body.len();
        let mut response = Response::new(Held::new(answer.body, share));
        *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if response.status().canonical_reason() != Some(phrase(answer.code)) {
            response.extensions_mut().insert(ReasonPhrase::from_static(phrase(answer.code).as_bytes()));
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        if answer.speaker == Speaker::Library {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if answer.speaker == Speaker::Api && self.cors {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        response
    }
}

/// The status of libevent's page for a request whose body it does not even read: one of unknown length on a connection
/// that is said to go on, and an expectation that it does not know.
fn refused_by_library(parts: &request::Parts, length: Option<u64>) -> Option<u16> {
    if parts.method != Method::POST && parts.method != Method::PUT {
        return None;
    }
    let header = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
    let chunked = header(header::TRANSFER_ENCODING).is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
    let goes_on = header(header::CONNECTION).is_some_and(|value| !value.eq_ignore_ascii_case(b"close"));
    if !chunked && goes_on && header(header::CONTENT_LENGTH).is_none() {
        return Some(400);
    }
    let expects = header(header::EXPECT).is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue"));
    let has_body = chunked || length.is_some_and(|length| length > 0);
    (expects && has_body && parts.version >= Version::HTTP_11).then_some(417)
}
