//! A small cluster for tests: echo backends, a gateway, and a mesh that pushes what a test compiles.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::gateway::control::{Applied, Hello, PROTOCOL, Push, read_frame, write_frame};
use crate::gateway::{Application, ProxyOptions, run_gateway, run_sidecar};
use crate::routing::snapshot::Snapshot;
use crate::routing::{GatewayWorkload, MeshObjects, compile};

pub(super) const NAMESPACE: &str = "gw";
/// The port that a gateway binds for a server on port 80.
pub(super) const HTTP: u16 = 8080;

/// An address of 127.0.0.0/8 that no other test of this machine has: its UDP port 15020 is held until the process ends,
/// so that neither a later test here nor another process takes it, however many there are.
pub(super) fn own_address() -> IpAddr {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap();
    // Where the search begins differs by process, to spare it the addresses that others hold.
    let first = u32::from_be_bytes([127, 130, 0, 0]) + std::process::id() % 6400 * 1024;
    (first + u32::try_from(held.len()).unwrap()..)
        .map(Ipv4Addr::from_bits)
        .filter(|address| !matches!(address.octets()[3], 0 | 255))
        .find_map(|address| Some((address, UdpSocket::bind((address, 15020)).ok()?)))
        .map(|(address, socket)| {
            held.push(socket);
            IpAddr::V4(address)
        })
        .unwrap()
}

/// An echo server like the rig's: answers what it saw, and misbehaves on request.
pub(super) async fn backend(version: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counts = counts.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| echo(version, counts.clone(), request));
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

async fn echo(
    version: &'static str,
    counts: Arc<Mutex<HashMap<String, u64>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().as_str().to_owned();
    let parts: Vec<&str> = target.split('/').skip(1).collect();
    let mut status = StatusCode::OK;
    let count = |key: &str| counts.lock().unwrap().get(key).copied().unwrap_or_default();
    match parts.as_slice() {
        ["status", code] => status = code.parse().unwrap(),
        ["delay", seconds] => tokio::time::sleep(Duration::from_secs_f64(seconds.parse().unwrap())).await,
        ["flaky", key, fails] => {
            *counts.lock().unwrap().entry((*key).to_owned()).or_default() += 1;
            if count(key) <= fails.parse().unwrap() {
                status = StatusCode::SERVICE_UNAVAILABLE;
            }
        }
        ["count", key] => {
            return Ok(answer(version, status, &json!({"version": version, "count": count(key)})));
        }
        _ => {}
    }
    let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let headers: Vec<Value> =
        head.headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()])).collect();
    let seen = json!({
        "version": version, "method": head.method.as_str(), "path": target, "headers": headers, "body_len": length
    });
    Ok(answer(version, status, &seen))
}

fn answer(version: &'static str, status: StatusCode, seen: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-echo", version)
        .body(Full::from(seen.to_string()))
        .unwrap()
}

/// A proxy in its own thread, and the mesh's end of its line.
pub(super) struct Proxy {
    pub(super) address: IpAddr,
    mesh: UnixStream,
    revision: u64,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    pub(super) async fn gateway() -> Self {
        Self::start(None).await
    }

    pub(super) async fn sidecar(application: Application) -> Self {
        Self::start(Some(application)).await
    }

    async fn start(application: Option<Application>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("mesh.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let address = own_address();
        let options = ProxyOptions {
            bind: address,
            mesh_socket: socket,
            namespace: "istio-system".into(),
            name: "proxy-1".into(),
            application,
        };
        let (end, ended) = oneshot::channel::<()>();
        let (failed, failure) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let ended = async move { drop(ended.await) };
            let outcome =
                if options.application.is_some() { run_sidecar(options, ended) } else { run_gateway(options, ended) };
            if let Err(error) = outcome {
                // Nobody listens any more when the failure came after the start; the panic tells it then.
                let _ = failed.send(error.to_string());
                panic!("the proxy failed: {error}");
            }
        });
        let (mut mesh, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            Ok(error) = failure => panic!("the proxy did not start: {error}"),
        };
        let hello: Hello = read_frame(&mut mesh).await.unwrap().unwrap();
        assert_eq!(hello.protocol, PROTOCOL);
        Self { address, mesh, revision: 0, end: Some(end), thread: Some(thread), _folder: folder }
    }

    pub(super) async fn push(&mut self, mut snapshot: Snapshot) -> Applied {
        self.revision += 1;
        snapshot.revision = self.revision;
        self.push_raw(Push::Routes(Box::new(snapshot))).await
    }

    pub(super) async fn push_raw(&mut self, push: Push) -> Applied {
        write_frame(&mut self.mesh, &push).await.unwrap();
        read_frame(&mut self.mesh).await.unwrap().unwrap()
    }

    pub(super) async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        TcpStream::connect((self.address, port)).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the proxy failed");
    }
}

/// A Service of the rig with its pods.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) ports: Vec<(&'static str, u16)>,
    pub(super) pods: Vec<(&'static str, SocketAddr)>,
}

/// The mesh's objects: Services with real endpoints, and what the test adds.
pub(super) fn world(services: &[Fixture], objects: &[Value]) -> MeshObjects {
    let mut mesh = MeshObjects { access_log: true, ..MeshObjects::default() };
    for service in services {
        let metadata = json!({"name": service.name, "namespace": NAMESPACE});
        let ports: Vec<Value> = service.ports.iter().map(|(name, port)| json!({"name": name, "port": port})).collect();
        let subsets: Vec<Value> = service
            .pods
            .iter()
            .map(|(version, address)| {
                let ports: Vec<Value> =
                    service.ports.iter().map(|(name, _)| json!({"name": name, "port": address.port()})).collect();
                json!({"addresses": [{"ip": address.ip(), "targetRef": {"name": format!("{}-{version}", service.name)}}], "ports": ports})
            })
            .collect();
        for (version, _) in &service.pods {
            let pod_metadata = json!({"name": format!("{}-{version}", service.name), "namespace": NAMESPACE,
                "labels": {"app": service.name, "version": version}});
            mesh.pods.push(Arc::new(json!({"metadata": pod_metadata})));
        }
        mesh.services.push(Arc::new(json!({"metadata": metadata, "spec": {"ports": ports}})));
        mesh.endpoints.push(Arc::new(json!({"metadata": metadata, "subsets": subsets})));
    }
    for object in objects {
        let list = match object["kind"].as_str() {
            Some("Gateway") => &mut mesh.gateways,
            Some("VirtualService") => &mut mesh.virtual_services,
            Some("DestinationRule") => &mut mesh.destination_rules,
            other => panic!("no list for {other:?}"),
        };
        list.push(Arc::new(object.clone()));
    }
    mesh
}

pub(super) fn snapshot_of(services: &[Fixture], objects: &[Value]) -> Snapshot {
    let labels = [("istio".to_owned(), "ingressgateway".to_owned())].into_iter().collect();
    compile(&world(services, objects), &GatewayWorkload { namespace: "istio-system".into(), labels })
}

/// A Gateway for every host and a VirtualService with these rules.
pub(super) fn routes(http: Value) -> Vec<Value> {
    vec![
        json!({"kind": "Gateway", "metadata": {"name": "g", "namespace": NAMESPACE}, "spec": {
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}}),
        json!({"kind": "VirtualService", "metadata": {"name": "v", "namespace": NAMESPACE},
            "spec": {"hosts": ["*"], "gateways": ["g"], "http": http}}),
    ]
}

/// Sends one request on a connection of its own.
pub(super) async fn ask(
    stream: TcpStream,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response<Bytes> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    drop(sender);
    driver.abort();
    Response::from_parts(head, body)
}

/// Sends bytes as they are and returns everything until the other side closes.
pub(super) async fn say(mut stream: TcpStream, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
