//! Bodies, protocols and refusals on the wire.

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::lab::{Fixture, HTTP, Proxy, ask, backend, routes, say, snapshot_of};

fn to_echo() -> Value {
    json!([{"route": [{"destination": {"host": "echo", "port": {"number": 80}}}]}])
}

async fn echo(port_name: &'static str) -> Vec<Fixture> {
    vec![Fixture { name: "echo", ports: vec![(port_name, 80)], pods: vec![("v1", backend("v1").await)] }]
}

#[tokio::test]
async fn a_large_body_streams_through_and_is_not_repeated() {
    let mut proxy = Proxy::gateway().await;
    proxy.push(snapshot_of(&echo("http").await, &routes(to_echo()))).await;
    let body = Bytes::from(vec![b'7'; 5 << 20]);
    let headers = [("host", "x"), ("expect", "100-continue")];
    let reply = ask(proxy.connect(HTTP).await.unwrap(), Method::POST, "/x", &headers, body.clone()).await;
    let seen: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(seen["body_len"], body.len());
    // Larger than the replay buffer: the 503 is passed on after one try, while a small one is tried three times.
    for (path, body, tries) in [("/flaky/big/9", body, 1), ("/flaky/small/9", Bytes::from_static(b"7"), 3)] {
        let stream = proxy.connect(HTTP).await.unwrap();
        let reply = ask(stream, Method::POST, path, &[("host", "x")], body).await;
        assert_eq!(reply.status(), 503);
        let count = format!("/count/{}", path.split('/').nth(2).unwrap());
        let stream = proxy.connect(HTTP).await.unwrap();
        let counted = ask(stream, Method::GET, &count, &[("host", "x")], Bytes::new()).await;
        let counted: Value = serde_json::from_slice(counted.body()).unwrap();
        assert_eq!(counted["count"], tries, "{path}");
    }
}

#[tokio::test]
async fn http2_in_clear_text_works_on_both_sides() {
    for (port_name, with_trailers) in [("http", false), ("grpc", true)] {
        let mut proxy = Proxy::gateway().await;
        proxy.push(snapshot_of(&echo(port_name).await, &routes(to_echo()))).await;
        let stream = TokioIo::new(proxy.connect(HTTP).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::post("http://gw.local/package.Service/Method")
            .header("te", "trailers")
            .header("content-type", if with_trailers { "application/grpc" } else { "text/plain" })
            .body(Full::from("abc"))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.headers()["server"], "istio-envoy");
        let seen: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((seen["body_len"].as_u64(), seen["path"].as_str()), (Some(3), Some("/package.Service/Method")));
        drop(sender);
        driver.abort();
    }
}

#[tokio::test]
async fn refusals_have_the_proxys_name_and_close() {
    let mut proxy = Proxy::gateway().await;
    proxy.push(snapshot_of(&echo("http").await, &routes(to_echo()))).await;
    let many = "x-a: 1\r\n".repeat(120);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    let cases = [
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1 426 Upgrade Required"),
        ("hello\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "HTTP/1.1 431 Request Header Fields Too Large"),
        (long, "HTTP/1.1 431 Request Header Fields Too Large"),
    ];
    for (request, status_line) in cases {
        let reply = say(proxy.connect(HTTP).await.unwrap(), request.as_bytes()).await;
        assert!(
            reply.starts_with(&format!("{status_line}\r\n")),
            "{reply:?} to {:?}",
            &request[..40.min(request.len())]
        );
        assert!(reply.contains("server: istio-envoy\r\n") && reply.contains("connection: close\r\n"), "{reply}");
    }
}

#[tokio::test]
async fn requests_on_one_connection_split_one_by_one() {
    let mut proxy = Proxy::gateway().await;
    let pods = vec![("v1", backend("v1").await), ("v2", backend("v2").await)];
    let services = [Fixture { name: "echo", ports: vec![("http", 80)], pods }];
    let subset = |name: &str| json!({"host": "echo", "port": {"number": 80}, "subset": name});
    let mut objects = routes(json!([{"route": [
        {"destination": subset("v1"), "weight": 70}, {"destination": subset("v2"), "weight": 30}]}]));
    objects
        .push(json!({"kind": "DestinationRule", "metadata": {"name": "d", "namespace": "gw"}, "spec": {"host": "echo",
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]}}));
    proxy.push(snapshot_of(&services, &objects)).await;
    let stream = TokioIo::new(proxy.connect(HTTP).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut first = 0;
    for _ in 0..1000 {
        let request = Request::get("/x").header("host", "gw.local").body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        first += u32::from(response.headers()["x-echo"] == "v1");
        response.into_body().collect().await.unwrap();
        sender.ready().await.unwrap();
    }
    // Five standard deviations of a binomial with 1000 tries.
    assert!((628..=772).contains(&first), "{first}");
    drop(sender);
    driver.abort();
}
