//! Sidecars: in front of an application that answers, one that refuses, and one that does not speak HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::net::TcpListener;

use super::lab::{Proxy, ask, backend, own_address, say};
use crate::gateway::Application;
use crate::gateway::control::Push;

async fn in_front_of(address: SocketAddr) -> Proxy {
    let mut proxy = Proxy::sidecar(Application { application: address.ip(), ports: vec![address.port()] }).await;
    let applied = proxy.push_raw(Push::Sidecar { revision: 1, access_log: true }).await;
    assert_eq!((applied.revision, applied.listening), (1, vec![address.port()]));
    proxy
}

#[tokio::test]
async fn an_application_answers_through_its_sidecar() {
    let address = backend("v1").await;
    let proxy = in_front_of(address).await;
    let headers = [("host", "x"), ("x-envoy-attempt-count", "2"), ("x-forwarded-for", "1.2.3.4")];
    let stream = proxy.connect(address.port()).await.unwrap();
    let reply = ask(stream, Method::POST, "/v1/models/m:predict", &headers, Bytes::from_static(b"abc")).await;
    assert_eq!((reply.status().as_u16(), &reply.headers()["server"]), (200, &"istio-envoy".parse().unwrap()));
    let seen: Value = serde_json::from_slice(reply.body()).unwrap();
    let header = |name: &str| {
        let pairs = seen["headers"].as_array().unwrap();
        pairs.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header("x-envoy-attempt-count").as_deref(), Some("2"));
    assert_eq!(header("x-forwarded-for").as_deref(), Some("1.2.3.4"));
    let metrics =
        ask(proxy.connect(15090).await.unwrap(), Method::GET, "/stats/prometheus", &[("host", "x")], Bytes::new())
            .await;
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(metrics.contains("istio_requests_total{reporter=\"destination\""), "{metrics}");
}

#[tokio::test]
async fn a_refusing_application_is_a_503_once() {
    let address = SocketAddr::new(own_address(), 9);
    let proxy = in_front_of(address).await;
    let reply = ask(proxy.connect(9).await.unwrap(), Method::GET, "/", &[("host", "x")], Bytes::new()).await;
    assert_eq!(reply.status(), 503);
    assert!(
        reply.body().starts_with(
            b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"
        )
    );
}

#[tokio::test]
async fn what_is_not_http_passes_as_bytes() {
    let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut word = [0; 6];
        stream.read_exact(&mut word).await.unwrap();
        word.reverse();
        stream.write_all(&word).await.unwrap();
    });
    let proxy = in_front_of(address).await;
    assert_eq!(say(proxy.connect(address.port()).await.unwrap(), b"\x00hello").await, "olleh\0");
}
