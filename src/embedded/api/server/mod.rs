//! The HTTP side of the API server: TLS connections, who asks, what is asked, and in which form it is answered.
//!
//! `path` reads what a request names, `exchange` how it is to be answered; `objects`, `watch`, `discovery`, `openapi`,
//! `logs`, `exec`, `port_forward`, `proxy`, `reviews` and `health` answer. Everything about objects is left to the [`Registry`].

mod body;
mod discovery;
mod exchange;
mod exec;
mod health;
mod logs;
mod objects;
mod path;
mod port_forward;
mod protobuf;
mod proxy;
mod reviews;
mod streams;
mod table;
mod unserved;
mod watch;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::exec::PodAccess;
use super::logs::PodLogs;
use super::openapi::Documents;
use super::registry::Registry;
use super::status::Status;
use body::Body;
use exchange::Exchange;
pub(super) use exchange::gzip;
use path::{ObjectPath, Route};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What the server is made of.
#[derive(Clone)]
pub struct ApiServerOptions {
    /// The objects.
    pub registry: Registry,
    /// Certificate and key, and the protocols offered.
    pub tls: Arc<rustls::ServerConfig>,
    /// The one token that is let in.
    pub token: String,
    /// Where clients reach the server; told in discovery.
    pub address: SocketAddr,
    /// Where pods' logs come from.
    pub logs: Arc<dyn PodLogs>,
    /// The way into running pods.
    pub access: Arc<dyn PodAccess>,
}

/// The API server. Its address is where the caller's listener is bound.
pub struct ApiServer {
    registry: Registry,
    tls: TlsAcceptor,
    token: String,
    address: SocketAddr,
    logs: Arc<dyn PodLogs>,
    access: Arc<dyn PodAccess>,
    documents: Documents,
}

impl ApiServer {
    /// Prepares a server.
    pub fn new(options: ApiServerOptions) -> Arc<Self> {
        let ApiServerOptions { registry, tls, token, address, logs, access } = options;
        let (tls, documents) = (TlsAcceptor::from(tls), Documents::default());
        Arc::new(Self { registry, tls, token, address, logs, access, documents })
    }

    /// Serves connections until `shutdown` is ready; then every connection is cut.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(&self).connection(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the API server could not accept a connection");
                        // Only a lack of descriptors or memory lasts; others go on meanwhile and free some.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // Watch events are small and should not wait for the next one.
        let _ = stream.set_nodelay(true);
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, self.tls.accept(stream)).await else { return };
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
            tracing::debug!(error, "a connection to the API server ended early");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let exchange = Exchange::of(&request);
        match self.route(request, &exchange).await {
            Ok(response) => response,
            Err(status) => exchange.status(&status),
        }
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>, exchange: &Exchange) -> Result<Response<Body>, Status> {
        let route = Route::parse(request.uri().path());
        if let Some(open) = health::answer(&self, exchange, request.method(), request.uri().path()) {
            return Ok(open);
        }
        match self.identify(&request) {
            Identity::Known => {}
            Identity::Anonymous => {
                return Err(forbid_anonymous(&route, exchange, request.method(), request.uri().path()));
            }
            Identity::Wrong => return Err(Status::new(401, "Unauthorized", "Unauthorized")),
        }
        match route {
            Route::Objects(path) => self.objects(request, exchange, path).await,
            Route::Other => {
                let path = request.uri().path().to_owned();
                if request.method() != Method::GET && request.method() != Method::HEAD {
                    return Err(Status::method_not_allowed());
                }
                discovery::answer(&self, exchange, &path)
            }
        }
    }

    async fn objects(
        self: Arc<Self>,
        request: Request<Incoming>,
        exchange: &Exchange,
        path: ObjectPath,
    ) -> Result<Response<Body>, Status> {
        let catalog = self.registry.catalog();
        let Some(resource) = catalog.find(&path.group, &path.version, &path.resource) else {
            if unserved::is_built_in(&path.group, &path.resource) {
                return Err(Status::not_served(&path.group, &path.resource));
            }
            // A group that only custom resources have is not known to the built-in part, which answers bare.
            let builtin = catalog.iter().any(|known| known.group == path.group && !known.custom);
            let version =
                catalog.iter().any(|known| known.group == path.group && known.served(&path.version).is_some());
            if builtin && version || path.group.is_empty() {
                return Err(Status::no_such_resource());
            }
            return Ok(exchange.not_found_page());
        };
        let resource = Arc::clone(resource);
        if resource.namespaced && path.namespace.is_none() && path.name.is_some() {
            return Err(Status::no_such_resource());
        }
        if !resource.namespaced && path.namespace.is_some() {
            return Err(Status::no_such_resource());
        }
        objects::answer(&self, request, exchange, resource, path).await
    }

    fn identify(&self, request: &Request<Incoming>) -> Identity {
        let Some(given) = request.headers().get(header::AUTHORIZATION) else { return Identity::Anonymous };
        let token = given
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token {
            Some((_, token)) if same_secret(token.trim(), &self.token) => Identity::Known,
            Some(_) => Identity::Wrong,
            None => Identity::Anonymous,
        }
    }
}

enum Identity {
    Known,
    Anonymous,
    Wrong,
}

/// Compares in a time that depends on the length only.
fn same_secret(given: &str, secret: &str) -> bool {
    given.len() == secret.len()
        && given.bytes().zip(secret.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn forbid_anonymous(route: &Route, exchange: &Exchange, method: &Method, path: &str) -> Status {
    const WHO: &str = "User \"system:anonymous\" cannot";
    let Route::Objects(object) = route else {
        let verb = method.as_str().to_lowercase();
        let mut status = Status::new(403, "Forbidden", format!("forbidden: {WHO} {verb} path \"{path}\""));
        status.details = Some(Box::new(serde_json::json!({})));
        return status;
    };
    let verb = match (method, &object.name) {
        (&Method::GET | &Method::HEAD, _) if exchange.flag("watch") => "watch",
        (&Method::GET | &Method::HEAD, Some(_)) => "get",
        (&Method::GET | &Method::HEAD, None) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, Some(_)) => "delete",
        _ => "deletecollection",
    };
    let resource = match &object.subresource {
        Some(subresource) => format!("{}/{subresource}", object.resource),
        None => object.resource.clone(),
    };
    let place = match &object.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let full_name = super::catalog::full_name(&object.group, &object.resource);
    let subject = match &object.name {
        Some(name) => format!("{full_name} \"{name}\""),
        None => full_name,
    };
    let message = format!(
        "{subject} is forbidden: {WHO} {verb} resource \"{resource}\" in API group \"{}\" {place}",
        object.group
    );
    let mut details = serde_json::Map::new();
    if let Some(name) = &object.name {
        details.insert("name".to_owned(), name.as_str().into());
    }
    if !object.group.is_empty() {
        details.insert("group".to_owned(), object.group.as_str().into());
    }
    details.insert("kind".to_owned(), object.resource.as_str().into());
    let mut status = Status::new(403, "Forbidden", message);
    status.details = Some(Box::new(details.into()));
    status
}
