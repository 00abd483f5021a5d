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
    let monitoring = format!("--monitoring_config_file={}", config.display());
    let server = half_plus_two(home.path(), &[&monitoring, "--rest_api_enable_cors_support"]);
    request(server.rest(), "POST", PREDICT, b"{\"inputs\": 1}");
    request(server.rest(), "POST", "/v1/models/none:predict", b"{\"inputs\": 1}");
    let page = request(server.rest(), "GET", "/monitoring/prometheus/metrics", b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain")));
    assert_eq!(page.header("access-control-allow-origin"), None, "the page is not the API's");
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

/// Everything that comes until the server closes the connection.
fn exchange(address: std::net::SocketAddr, sent: &[u8]) -> String {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(model_server::process::PATIENCE)).unwrap();
    stream.write_all(sent).unwrap();
    let mut text = Vec::new();
    // A reset behind the answer is an end as well.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn requests_that_cannot_be_read_get_libevents_page_and_the_connection_ends() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let page = "<HTML><HEAD>\n<TITLE>400 Bad Request</TITLE>\n</HEAD><BODY>\n<H1>Bad Request</H1>\n</BODY></HTML>\n";
    let unknown_length = format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    for sent in [
        "nonsense\r\n\r\n",
        "GET /v1/models/half\r\n\r\n",
        "GET /v1/models/a b HTTP/1.1\r\n\r\n",
        "GET /v1/models/half HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /v1/models/half HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        &unknown_length,
    ] {
        let answer = exchange(server.rest(), sent.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n"), "{sent:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n") && answer.ends_with(page), "{sent:?}: {answer}");
    }
    let expects = format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n");
    assert!(exchange(server.rest(), expects.as_bytes()).starts_with("HTTP/1.1 417 Expectation Failed\r\n"));
}

#[test]
fn old_and_closing_and_pipelining_clients_are_served() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let post = |version: &str, more: &str| {
        format!("POST {PREDICT} HTTP/{version}\r\nHost: x\r\n{more}Content-Length: 13\r\n\r\n{{\"inputs\": 1}}")
    };
    let answer = exchange(server.rest(), post("1.1", "Connection: close\r\n").as_bytes());
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\"outputs\": 2.5\n}"), "{answer}");
    let answer = exchange(server.rest(), post("1.0", "").as_bytes());
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\"outputs\": 2.5\n}"), "{answer}");
    let mut kept = Connection::open(server.rest());
    for _ in 0..2 {
        kept.write(post("1.0", "Connection: Keep-Alive\r\n").as_bytes());
        let response = kept.response(false);
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
    let get = "GET /v1/models/none HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut pipeline = Connection::open(server.rest());
    pipeline.write([post("1.1", ""), get.to_owned(), post("1.1", ""), get.to_owned()].concat().as_bytes());
    let codes: Vec<u16> = (0..4).map(|_| pipeline.response(false).status).collect();
    assert_eq!(codes, [200, 404, 200, 404]);
    let absolute = exchange(
        server.rest(),
        b"GET http://example.org/v1/models/none HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n",
    );
    assert!(
        absolute.starts_with("HTTP/1.1 404 Not Found\r\n") && absolute.contains("versions of model none"),
        "{absolute}"
    );
}

#[test]
fn what_a_body_is_said_to_be_is_not_looked_at_but_its_encoding() {
    let home = tempfile::tempdir().unwrap();
    let server = half_plus_two(home.path(), &[]);
    let mut connection = Connection::open(server.rest());
    let body = b"{\"instances\": [1]}";
    let ok = "{\n    \"predictions\": [2.5\n    ]\n}";
    for kind in ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X-Other: 1"] {
        assert_eq!(connection.request("POST", PREDICT, &[kind], body).text(), ok);
    }
    let answer = connection.request("POST", PREDICT, &["Accept-Encoding: gzip"], body);
    assert_eq!((answer.text().as_str(), answer.header("content-encoding")), (ok, None));
    assert_eq!(connection.request("POST", PREDICT, &["Content-Encoding: x-gzip"], &gzip(body)).text(), ok);
    assert_eq!(connection.request("POST", PREDICT, &["Content-Encoding: identity"], body).text(), ok);
    let empty = "{\n    \"error\": \"JSON Parse error: The document is empty\"\n}";
    let compressed = gzip(body);
    let mut damaged = compressed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [&[compressed.clone(), compressed.clone()].concat(), &[&compressed[..], b"xxxx"].concat(), &damaged] {
        let answer = connection.request("POST", PREDICT, &["Content-Encoding: gzip"], bad);
        assert_eq!((answer.status, answer.text().as_str()), (400, empty));
    }
    server.wait_for("[evhttp_request.cc : 251] NET_LOG: Failed to uncompress the gzipped body");
    let length = compressed.len();
    let head =
        format!("POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.write(&[head.as_bytes(), format!("{length:x}\r\n").as_bytes(), &compressed, b"\r\n0\r\n\r\n"].concat());
    assert_eq!(connection.response(false).text(), ok);
}
