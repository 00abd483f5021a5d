//! Pushes under traffic: after the acknowledgement every answer is the new one, and none in between is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::lab::{Fixture, HTTP, Proxy, backend, routes, snapshot_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_routes_change() {
    let mut proxy = Proxy::gateway().await;
    let services = [
        Fixture { name: "one", ports: vec![("http", 80)], pods: vec![("v", backend("one").await)] },
        Fixture { name: "two", ports: vec![("http", 80)], pods: vec![("v", backend("two").await)] },
    ];
    let to = |name: &str| snapshot_of(&services, &routes(json!([{"route": [{"destination": {"host": name}}]}])));
    proxy.push(to("one")).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (stream, stop) = (proxy.connect(HTTP).await.unwrap(), stop.clone());
        clients.spawn(async move {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
            let driver = tokio::spawn(connection);
            let mut answered = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let request = Request::get("/x").header("host", "x").body(Full::default()).unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                sender.ready().await.unwrap();
                answered += 1;
            }
            drop(sender);
            driver.abort();
            answered
        });
    }
    for round in 0..30 {
        let name = if round % 2 == 0 { "two" } else { "one" };
        let applied = proxy.push(to(name)).await;
        assert_eq!(applied.revision, round + 2);
        let stream = proxy.connect(HTTP).await.unwrap();
        let reply = super::lab::ask(stream, http::Method::GET, "/x", &[("host", "x")], Bytes::new()).await;
        assert_eq!(reply.headers()["x-echo"], name, "right after the acknowledgement of round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(answered) = clients.join_next().await {
        assert!(answered.unwrap() > 0);
    }
}
