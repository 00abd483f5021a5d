//! The REST interface of the built binary, as bytes on a socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod model_server;

use std::io::Write as _;
use std::path::Path;

use model_server::http::{Connection, request};
use model_server::models;
use model_server::process::Server;

fn half_plus_two(home: &Path, more: &[&str]) -> Server {
    models::half_plus_two(&home.join("half/1"));
    let base = format!("--model_base_path={}", home.join("half").display());
    let fixed = ["--port=-1", "--rest_api_port=-2", "--model_name=half", &base].map(str::to_owned);
    Server::start(&[fixed.to_vec(), more.iter().map(ToString::to_string).collect()].concat())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const PREDICT: &str = "/v1/models/half:predict";

#[test]
fn one_connection_serves_many_requests_and_expect_continue() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let mut connection = Connection::open(server.rest());
    for _ in 0..3 {
        let response = connection.request("POST", PREDICT, &[], b"{\"instances\": [1, 2]}");
        assert_eq!((response.status, response.text().as_str()), (200, "{\n    \"predictions\": [2.5, 3.0\n    ]\n}"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.header("date").is_some() && response.header("connection").is_none());
    }
    let body = b"{\"inputs\": 1}";
    let head =
        format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    connection.write(head.as_bytes());
    assert_eq!(connection.response(true).status, 100);
    connection.write(body);
    assert_eq!(connection.response(false).text(), "{\n    \"outputs\": 2.5\n}");
    connection.write(format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes());
    connection.write(b"6\r\n{\"inpu\r\n7\r\nts\": 1}\r\n0\r\n\r\n");
    assert_eq!(connection.response(false).text(), "{\n    \"outputs\": 2.5\n}");
}

#[test]
fn methods_and_targets_that_the_api_never_sees_get_a_page() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    for (method, target, status, reason) in [
        ("GET", "/", 404, "Not Found"),
        ("PATCH", "/v1/models/half", 501, "Not Implemented"),
        ("TRACE", "/v1/models/half", 501, "Not Implemented"),
        ("GET", "/v1/models/a|b", 400, "Bad Request"),
    ] {
        let response = request(server.rest(), method, target, b"");
        assert_eq!((response.status, response.reason.as_str()), (status, reason), "{method} {target}");
        assert_eq!(response.header("content-type"), Some("text/html"));
        assert_eq!(response.header("connection"), Some("close"));
        assert!(response.text().contains(&format!("<TITLE>{status} {reason}</TITLE>")));
    }
    let head = request(server.rest(), "HEAD", "/v1/models/half", b"");
    assert_eq!(head.status, 400);
}

#[test]
fn cors_headers_and_preflight() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &["--rest_api_enable_cors_support"]);
    let mut connection = Connection::open(server.rest());
    let response = connection.request("OPTIONS", PREDICT, &["Origin: https://example.org"], b"");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-methods"), Some("POST, GET"));
    assert_eq!(response.header("access-control-allow-headers"), Some("Content-Type"));
    let response = connection.request("OPTIONS", PREDICT, &["Origin: null"], b"");
    assert_eq!((response.status, response.body.len()), (400, 0));
}

#[test]
fn compressed_bodies_are_inflated_and_bombs_are_not() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let mut connection = Connection::open(server.rest());
    let encoding = ["Content-Encoding: gzip"];
    let response = connection.request("POST", PREDICT, &encoding, &gzip(b"{\"instances\": [1]}"));
    assert_eq!(response.text(), "{\n    \"predictions\": [2.5\n    ]\n}");
    let empty = "{\n    \"error\": \"JSON Parse error: The document is empty\"\n}";
    for body in [gzip(&vec![b' '; (100 << 20) + 1]), b"not gzip".to_vec()] {
        let response = connection.request("POST", PREDICT, &encoding, &body);
        assert_eq!((response.status, response.text().as_str()), (400, empty));
    }
}

#[test]
fn deep_malformed_and_large_bodies_are_answered() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let deep = format!("{{\"instances\": {}", "[".repeat(100_000));
    let response = request(server.rest(), "POST", PREDICT, deep.as_bytes());
    assert!(response.text().contains("JSON Parse error: "), "{}", response.text());
    let nested = format!("{{\"inputs\": {}1{}}}", "[".repeat(300), "]".repeat(300));
    let response = request(server.rest(), "POST", PREDICT, nested.as_bytes());
    assert_eq!(response.text(), "{\n    \"error\": \"tensor parsing error: x\"\n}");
    let large = format!("{{\"instances\": [{}7]}}", "255, ".repeat(900_000));
    let response = request(server.rest(), "POST", PREDICT, large.as_bytes());
    assert_eq!(response.status, 200);
    assert!(response.text().ends_with("129.5, 5.5\n    ]\n}"));
}

#[test]
fn the_prometheus_page_counts_requests() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("monitoring.config");
    std::fs::write(&config, "prometheus_config { enable: true }").unwrap();
    let server = half_plus_two(home.path(), &[&format!("--monitoring_config_file={}", config.display())]);
    request(server.rest(), "POST", PREDICT, b"{\"inputs\": 1}");
    request(server.rest(), "POST", "/v1/models/none:predict", b"{\"inputs\": 1}");
    let page = request(server.rest(), "GET", "/monitoring/prometheus/metrics", b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain")));
    for line in [
        ":tensorflow:serving:request_count{model_name=\"half\",status=\"OK\"} 1",
        ":tensorflow:serving:request_count{model_name=\"none\",status=\"NOT_FOUND\"} 1",
        ":tensorflow:serving:request_latency_count{model_name=\"half\",API=\"predict\",entrypoint=\"REST\"} 1",
    ] {
        assert!(page.text().lines().any(|printed| printed == line), "{line} is not in\n{}", page.text());
    }
    let other = request(server.rest(), "GET", "/monitoring/prometheus/metrics?x", b"");
    assert_eq!(other.status, 400);
}
