use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming as RequestBody;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::ApiServer;
use super::body::Body;
use super::exchange::Exchange;
use super::streams::{Upgrade, spdy, upgraded, websocket};
use crate::embedded::api::status::Status;
use crate::objects::meta;

const PROTOCOL: &str = "portforward.k8s.io";
/// The protocol above inside of a WebSocket, as newer kubectls have it.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// One channel for data and one for errors a port.
const CHANNELS: [&str; 3] = ["v4.channel.k8s.io", "portforward.k8s.io", ""];
const CHUNK: usize = 32 << 10;

/// Answers `…/pods/NAME/portforward`.
pub(super) fn answer(
    server: &Arc<ApiServer>,
    exchange: &Exchange,
    request: Request<RequestBody>,
    namespace: Option<&str>,
    name: &str,
) -> Result<Response<Body>, Status> {
    let pod = server.registry.get("pods", namespace, name)?;
    let upgrade = Upgrade::asked(request.headers())?;
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let known: &[&'static str] = match upgrade {
        Upgrade::Spdy => &[PROTOCOL],
        Upgrade::WebSocket => &[TUNNELLED, CHANNELS[0], CHANNELS[1], CHANNELS[2]],
    };
    let protocol = upgrade.negotiate(request.headers(), known)?;
    let ports: Vec<u16> = exchange
        .parameters("ports")
        .flat_map(|list| list.split(','))
        .filter(|port| !port.is_empty())
        .map(|port| port.parse().map_err(|_| Status::bad_request(format!("{port:?} is not a port"))))
        .collect::<Result<_, Status>>()?;
    if upgrade == Upgrade::WebSocket && protocol != TUNNELLED && ports.is_empty() {
        return Err(Status::bad_request("query parameter \"ports\" is required"));
    }
    let response = upgrade.response(request.headers(), protocol)?;
    let target = Arc::new(Target { server: Arc::clone(server), pod });
    tokio::spawn(async move {
        let Some(io) = upgraded(request).await else { return };
        match (upgrade, protocol) {
            (Upgrade::Spdy, _) => over_spdy(target, io).await,
            (Upgrade::WebSocket, TUNNELLED) => over_spdy(target, websocket::tunnel(io).await).await,
            (Upgrade::WebSocket, _) => over_channels(target, &ports, websocket::Channels::new(io, false).await).await,
        }
    });
    Ok(response)
}

struct Target {
    server: Arc<ApiServer>,
    pod: Arc<Value>,
}

impl Target {
    /// Connects to a port of the pod, as a program in it would.
    async fn connect(&self, port: u16) -> Result<(OwnedReadHalf, OwnedWriteHalf), String> {
        let mut addresses = self.server.access.local_addresses(&self.pod);
        let own = self.pod["status"]["podIP"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
        addresses.extend(own.filter(|own| !addresses.contains(own)));
        let mut last = "the pod does not run".to_owned();
        for address in addresses {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream.into_split());
                }
                Err(error) => last = format!("connect to {address}:{port}: {error}"),
            }
        }
        let (pod, uid) = (meta::name(&self.pod), meta::uid(&self.pod));
        Err(format!("error forwarding port {port} to pod {pod}, uid : {uid}: {last}"))
    }
}

/// Every connection is a pair of streams with the same request id: errors first, data then.
async fn over_spdy(target: Arc<Target>, io: impl AsyncRead + AsyncWrite + Send + 'static) {
    let mut connection = spdy::Connection::new(io);
    let mut waiting: HashMap<String, spdy::Stream> = HashMap::new();
    while let Some(stream) = connection.next().await {
        let id = stream.header("requestid").to_owned();
        let Some(other) = waiting.remove(&id) else {
            waiting.insert(id, stream);
            continue;
        };
        let (error, data) = if stream.header("streamtype") == "data" { (other, stream) } else { (stream, other) };
        let target = Arc::clone(&target);
        tokio::spawn(async move {
            let port = data.header("port").parse().unwrap_or(0);
            match target.connect(port).await {
                Ok(halves) => forward(data.data, halves, &Back::Stream(data.writer)).await,
                Err(why) => {
                    error.writer.send(why.as_bytes()).await;
                    data.writer.finish().await;
                }
            }
            error.writer.finish().await;
        });
    }
}

/// Two channels a port, each of which begins with the port's number.
async fn over_channels(target: Arc<Target>, ports: &[u16], channels: websocket::Channels) {
    let websocket::Channels { mut incoming, outgoing } = channels;
    let mut inputs: Vec<Option<mpsc::Sender<Bytes>>> = Vec::new();
    for (index, port) in ports.iter().copied().enumerate() {
        let Ok(channel) = u8::try_from(index * 2) else { break };
        for channel in [channel, channel + 1] {
            let _ = outgoing.send((channel, Bytes::copy_from_slice(&port.to_le_bytes()))).await;
        }
        let (input, data) = mpsc::channel(64);
        inputs.push(Some(input));
        let (target, outgoing) = (Arc::clone(&target), outgoing.clone());
        tokio::spawn(async move {
            match target.connect(port).await {
                Ok(halves) => forward(data, halves, &Back::Channel(channel, outgoing)).await,
                Err(why) => {
                    let _ = outgoing.send((channel + 1, Bytes::from(why))).await;
                }
            }
        });
    }
    drop(outgoing);
    while let Some(event) = incoming.recv().await {
        match event {
            websocket::Incoming::Data(channel, bytes) if channel % 2 == 0 => {
                if let Some(Some(input)) = inputs.get(usize::from(channel / 2)) {
                    let _ = input.send(bytes).await;
                }
            }
            websocket::Incoming::End(channel) => {
                if let Some(input) = inputs.get_mut(usize::from(channel / 2)) {
                    *input = None;
                }
            }
            websocket::Incoming::Data(..) => {}
        }
    }
}

/// The way back to the client.
enum Back {
    Stream(spdy::Writer),
    Channel(u8, mpsc::Sender<(u8, Bytes)>),
}

impl Back {
    async fn send(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Stream(writer) => writer.send(bytes).await,
            Self::Channel(channel, outgoing) => outgoing.send((*channel, Bytes::copy_from_slice(bytes))).await.is_ok(),
        }
    }

    /// Tells the client that nothing more comes, where the protocol can.
    async fn finish(&self) {
        if let Self::Stream(writer) = self {
            writer.finish().await;
        }
    }
}

/// Copies both ways until both are done, or the client is gone.
async fn forward(mut data: mpsc::Receiver<Bytes>, (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf), back: &Back) {
    let up = async {
        while let Some(bytes) = data.recv().await {
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    let down = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if !back.send(&buffer[..read]).await {
                return;
            }
        }
        back.finish().await;
    };
    tokio::join!(up, down);
}
