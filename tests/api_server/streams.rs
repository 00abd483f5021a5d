//! `exec`, `port-forward` and `proxy`, as kubectl and other clients speak them.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use futures::{SinkExt, StreamExt};
use reqwest::Upgraded;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::harness::{Server, TOKEN};

const POD: &str = "/api/v1/namespaces/default/pods/p";

async fn server_with_pod() -> Server {
    let server = Server::start().await;
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "node", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [
            {"name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}}
        ]},
    });
    server.registry.create("pods", Some("default"), pod.clone()).await.unwrap();
    let status = pod["status"].clone();
    let change = |stored: &mut Value| stored["status"] = status.clone();
    server.registry.modify("pods", Some("default"), "p", change).await.unwrap();
    server
}

/// Asks for another protocol and goes on with the bare connection.
async fn upgrade(server: &Server, path: &str, headers: &[(&str, &str)]) -> (String, Upgraded) {
    let mut request = server.http1().get(format!("https://{}{path}", server.address)).bearer_auth(TOKEN);
    request = request.header("connection", "Upgrade");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 101, "{path}");
    let protocol = ["x-stream-protocol-version", "sec-websocket-protocol"]
        .iter()
        .find_map(|name| response.headers().get(*name))
        .map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    (protocol, response.upgrade().await.unwrap())
}

async fn websocket(server: &Server, path: &str, protocol: &str) -> WebSocketStream<Upgraded> {
    let headers = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocol),
    ];
    let (chosen, io) = upgrade(server, path, &headers).await;
    assert_eq!(chosen, protocol.split(',').next().unwrap());
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

/// A client that speaks SPDY without much ado.
struct Spdy {
    io: Upgraded,
    compress: Compress,
}

impl Spdy {
    async fn new(server: &Server, path: &str, protocols: &str) -> (String, Self) {
        let headers = [("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", protocols)];
        let (protocol, io) = upgrade(server, path, &headers).await;
        (protocol, Self { io, compress: Compress::new(Compression::fast(), true) })
    }

    async fn open(&mut self, id: u32, headers: &[(&str, &str)]) {
        let mut plain = u32::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut block = Vec::with_capacity(4096);
        self.compress.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        let mut frame = vec![0x80, 3, 0, 1, 0];
        frame.extend(&u32::try_from(block.len() + 10).unwrap().to_be_bytes()[1..]);
        frame.extend(id.to_be_bytes());
        frame.extend([0; 6]);
        frame.extend(block);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn send(&mut self, id: u32, bytes: &[u8], last: bool) {
        let mut frame = id.to_be_bytes().to_vec();
        frame.push(u8::from(last));
        frame.extend(&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..]);
        frame.extend(bytes);
        self.io.write_all(&frame).await.unwrap();
    }

    /// What comes on each stream until all of these are closed.
    async fn read(&mut self, streams: &[u32]) -> Vec<String> {
        let mut texts = vec![String::new(); streams.len()];
        let mut open = streams.len();
        while open > 0 {
            let mut head = [0; 8];
            self.io.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]);
            let mut payload = vec![0; length as usize];
            self.io.read_exact(&mut payload).await.unwrap();
            if head[0] & 0x80 != 0 {
                continue;
            }
            let id = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let at = streams.iter().position(|stream| *stream == id).unwrap();
            texts[at].push_str(std::str::from_utf8(&payload).unwrap());
            open -= usize::from(head[4] & 1);
        }
        texts
    }
}

#[tokio::test]
async fn commands_run_over_websockets() {
    let server = server_with_pod().await;
    let path = format!("{POD}/exec?command=say&command=3&stdin=true&stdout=true&stderr=true");
    let mut socket = websocket(&server, &path, "v5.channel.k8s.io").await;
    socket.send(Message::binary(b"\x00hello".to_vec())).await.unwrap();
    socket.send(Message::binary(vec![255, 0])).await.unwrap();
    let mut channels: Vec<(u8, Bytes)> = Vec::new();
    let close = loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(message) => channels.push((message[0], message.slice(1..))),
            Message::Close(close) => break close.map(|close| u16::from(close.code)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(close, Some(1000), "newer kubectls take any other end for a failure");
    assert_eq!(channels[0], (1, Bytes::from_static(b"hello")));
    assert_eq!(channels[1], (2, Bytes::from_static(b"say 3")));
    let status: Value = serde_json::from_slice(&channels[2].1).unwrap();
    assert_eq!((channels[2].0, &status["reason"]), (3, &json!("NonZeroExitCode")));
    assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));
    assert_eq!(channels.len(), 3);
}

#[tokio::test]
async fn commands_run_over_spdy() {
    let server = server_with_pod().await;
    let path = format!("{POD}/exec?command=say&command=0&container=c&stdin=true&stdout=true&stderr=true");
    let (protocol, mut spdy) = Spdy::new(&server, &path, "v4.channel.k8s.io, v3.channel.k8s.io").await;
    assert_eq!(protocol, "v4.channel.k8s.io");
    for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        spdy.open(id, &[("streamtype", kind)]).await;
    }
    let long = "x".repeat(100_000);
    spdy.send(3, long.as_bytes(), true).await;
    let texts = spdy.read(&[1, 5, 7]).await;
    assert_eq!(texts, [r#"{"metadata":{},"status":"Success"}"#, long.as_str(), "say 0"]);
}

#[tokio::test]
async fn ports_are_forwarded_both_ways() {
    let server = server_with_pod().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    let (_, mut spdy) = Spdy::new(&server, &format!("{POD}/portforward"), "portforward.k8s.io").await;
    let text = port.to_string();
    spdy.open(1, &[("streamtype", "error"), ("port", &text), ("requestid", "0")]).await;
    spdy.open(3, &[("streamtype", "data"), ("port", &text), ("requestid", "0")]).await;
    spdy.send(3, b"there and back", true).await;
    assert_eq!(spdy.read(&[1, 3]).await, ["", "there and back"]);
    // A port that nobody listens on is told on the connection's error stream, and the next connection works.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
    spdy.open(5, &[("streamtype", "error"), ("port", &unused), ("requestid", "1")]).await;
    spdy.open(7, &[("streamtype", "data"), ("port", &unused), ("requestid", "1")]).await;
    let texts = spdy.read(&[5, 7]).await;
    assert!(texts[0].starts_with(&format!("error forwarding port {unused} to pod p, uid : ")), "{texts:?}");

    let mut socket = websocket(&server, &format!("{POD}/portforward?ports={port}"), "v4.channel.k8s.io").await;
    for channel in [0, 1] {
        let Some(Ok(Message::Binary(first))) = socket.next().await else { panic!("the port's number") };
        assert_eq!(first, [&[channel][..], &port.to_le_bytes()].concat());
    }
    socket.send(Message::binary(b"\x00again".to_vec())).await.unwrap();
    let Some(Ok(Message::Binary(answer))) = socket.next().await else { panic!("an answer") };
    assert_eq!(answer, b"\x00again".as_slice());
}

#[tokio::test]
async fn what_cannot_be_streamed_gets_a_status() {
    let server = server_with_pod().await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = server.http1().get(format!("https://{}{path}", server.address)).bearer_auth(TOKEN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let code = response.status().as_u16();
        (code, response.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned())
    };
    let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    let bad = |text: &str| (400, text.to_owned());
    let exec = format!("{POD}/exec?command=ls&stdout=true");
    assert_eq!(get(&exec, &[]).await, bad("Upgrade request required"));
    assert_eq!(get(&format!("{exec}&container=x"), &spdy).await, bad("container x is not valid for pod p"));
    assert_eq!(
        get(&format!("{POD}/exec?stdout=true"), &spdy).await,
        bad("you must specify at least one command for the container")
    );
    assert_eq!(get(&format!("{POD}x/exec?command=ls&stdout=true"), &spdy).await.0, 404);
    assert_eq!(get(&format!("{POD}/attach?stdout=true"), &spdy).await.0, 501);
    let unknown = [spdy[0], spdy[1], ("x-stream-protocol-version", "v9.channel.k8s.io")];
    assert_eq!(get(&exec, &unknown).await.0, 403);
    let (code, why) = get("/api/v1/namespaces/default/services/kubernetes:nope/proxy/", &[]).await;
    assert_eq!((code, why.as_str()), (503, "no service port \"nope\" found for service \"kubernetes\""));
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (code, why) = get(&format!("{POD}:{unused}/proxy/x"), &[]).await;
    assert_eq!(code, 503);
    assert_eq!(why, format!("error trying to reach service: dial tcp 127.0.0.1:{unused}: connect: connection refused"));
}
