//! What `kubectl exec` and `kubectl port-forward` speak after the upgrade: SPDY/3.1, which every kubectl knows, and
//! WebSocket, which newer ones and other clients prefer.

pub(super) mod spdy;
pub(super) mod websocket;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::body::{self, Body};
use crate::embedded::api::status::Status;

/// The connection after the upgrade.
pub(super) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// What a client wants to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    Spdy,
    WebSocket,
}

const SPDY_VERSIONS: &str = "x-stream-protocol-version";

impl Upgrade {
    /// What the request asks for.
    ///
    /// # Errors
    /// 400 when it asks for nothing, or for something else.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Self, Status> {
        let all = |name: header::HeaderName| -> String {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.collect::<Vec<_>>().join(",").to_lowercase()
        };
        let required = || Status::bad_request("Upgrade request required");
        if !all(header::CONNECTION).contains("upgrade") {
            return Err(required());
        }
        match all(header::UPGRADE).as_str() {
            "spdy/3.1" => Ok(Self::Spdy),
            "websocket" => Ok(Self::WebSocket),
            _ => Err(required()),
        }
    }

    /// Picks one of the protocols that both sides know, in our order.
    ///
    /// # Errors
    /// 403 with SPDY and 400 with WebSocket, as kube-apiserver has it, when there is none.
    pub(super) fn negotiate(self, headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Status> {
        let name = match self {
            Self::Spdy => SPDY_VERSIONS,
            Self::WebSocket => "sec-websocket-protocol",
        };
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let offered: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        // A client that offers nothing means the first protocol that there was.
        if offered.is_empty()
            && let Some(oldest) = known.last()
        {
            return Ok(oldest);
        }
        known.iter().find(|known| offered.contains(*known)).copied().ok_or_else(|| match self {
            Self::Spdy => Status::new(
                403,
                "Forbidden",
                format!("unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {known:?}"),
            ),
            Self::WebSocket => Status::bad_request(format!("unable to negotiate a subprotocol: client supports {offered:?}, server accepts {known:?}")),
        })
    }

    /// The answer that switches protocols.
    ///
    /// # Errors
    /// 400 for a WebSocket without a key.
    pub(super) fn response(self, headers: &HeaderMap, protocol: &'static str) -> Result<Response<Body>, Status> {
        let mut response = Response::new(body::full(Vec::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        match self {
            Self::Spdy => {
                answer.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
                answer.insert(SPDY_VERSIONS, HeaderValue::from_static(protocol));
            }
            Self::WebSocket => {
                let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
                let key = key.ok_or_else(|| Status::bad_request("the WebSocket's key is missing"))?;
                let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
                answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                answer.extend(HeaderValue::from_str(&accept).map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
                if headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
                    answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
                }
            }
        }
        Ok(response)
    }
}

/// Waits for the connection behind the answer that switches protocols.
pub(super) async fn upgraded(request: Request<Incoming>) -> Option<Upgraded> {
    match hyper::upgrade::on(request).await {
        Ok(upgraded) => Some(TokioIo::new(upgraded)),
        Err(error) => {
            tracing::debug!(%error, "a client did not go on after the upgrade");
            None
        }
    }
}
