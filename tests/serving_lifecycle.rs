//! Start, versions and end of the built binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod model_server;

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use model_server::http::{Connection, request};
use model_server::models;
use model_server::process::{PATIENCE, Server};

fn start(base: &Path, more: &[&str]) -> Server {
    let base = format!("--model_base_path={}", base.display());
    let fixed = ["--port=-1", "--rest_api_port=-2", "--model_name=m", &base].map(str::to_owned);
    Server::start(&[fixed.to_vec(), more.iter().map(ToString::to_string).collect()].concat())
}

fn state(server: &Server) -> Vec<(i64, String)> {
    let body = request(server.rest(), "GET", "/v1/models/m", b"").text();
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    let versions = value["model_version_status"].as_array().cloned().unwrap_or_default();
    versions
        .iter()
        .map(|status| {
            let version = status["version"].as_str().unwrap().parse().unwrap();
            (version, status["state"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Looks until the versions have these states.
fn reaches(server: &Server, expected: &[(i64, &str)]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = state(server);
        if now.iter().map(|(version, state)| (*version, state.as_str())).eq(expected.iter().copied()) {
            return;
        }
        assert!(Instant::now() < deadline, "stayed at {now:?}, expected {expected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_waits_for_its_first_version_with_its_ports_closed() {
    let home = tempfile::tempdir().unwrap();
    let base = home.path().join("m");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = start(&base, &[&format!("--rest_api_port={}", free.port())]);
    server.wait_for("Could not find base path");
    std::fs::create_dir(&base).unwrap();
    server.wait_for("No versions of servable m found under base path");
    assert!(TcpStream::connect(free).is_err());
    models::half_plus_two(&base.join("1"));
    reaches(&server, &[(1, "AVAILABLE")]);
    for line in [
        "I tensorflow_serving/core/basic_manager.cc:740] Successfully reserved resources to load servable {name: m version: 1}",
        "I tensorflow_serving/core/loader_harness.cc:87] Successfully loaded servable version {name: m version: 1}",
        "[evhttp_server.cc : 245] NET_LOG: Entering the event loop ...",
    ] {
        server.wait_for(line);
    }
}

#[test]
fn a_version_switch_under_load_loses_no_request() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let server = start(home.path(), &[]);
    let address = server.rest();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address);
                    let mut answered = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let response = connection.request("POST", "/v1/models/m:predict", &[], b"{\"instances\": [1]}");
                        assert_eq!(response.status, 200, "{}", response.text());
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        models::half_plus_two(&home.path().join("2"));
        reaches(&server, &[(2, "AVAILABLE"), (1, "END")]);
        std::fs::remove_dir_all(home.path().join("2")).unwrap();
        reaches(&server, &[(2, "END"), (1, "AVAILABLE")]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
    server.wait_for("Done unloading servable version {name: m version: 2}");
}

#[test]
fn a_damaged_version_keeps_its_error_while_the_old_one_serves() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let server = start(home.path(), &["--max_num_load_retries=1", "--load_retry_interval_micros=1000"]);
    server.rest();
    let broken = home.path().join("partial");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("saved_model.pb"), b"\xFF\xFFgarbage").unwrap();
    std::fs::rename(&broken, home.path().join("7")).unwrap();
    reaches(&server, &[(7, "END"), (1, "AVAILABLE")]);
    let status = request(server.rest(), "GET", "/v1/models/m/versions/7", b"").text();
    assert!(status.contains("\"error_code\": \"DATA_LOSS\""), "{status}");
    assert!(
        status.contains(&format!("Can't parse {}/7/saved_model.pb as binary proto", home.path().display())),
        "{status}"
    );
    assert_eq!(request(server.rest(), "POST", "/v1/models/m:predict", b"{\"inputs\": 1}").status, 200);
}

#[test]
fn starts_that_fail_say_why_and_end_with_255() {
    let (code, out) = Server::start(&[]).end();
    let reason = "Failed to start server. Error: Invalid argument: Both server_options.model_base_path and \
                  server_options.model_config_file are empty!\n";
    assert_eq!((code, out.as_str()), (Some(255), reason));
    let (code, out) = Server::start(&["--port=many".to_owned()]).end();
    assert_eq!(code, Some(255));
    assert!(out.starts_with("usage: "), "{out}");
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("1")).unwrap();
    let (code, out) = start(home.path(), &["--max_num_load_retries=0"]).end();
    let path = home.path().join("1");
    let reason = format!(
        "Failed to start server. Error: Unknown: 1 servable(s) did not become available: {{{{{{name: m version: 1}} due to \
         error: Not found: Could not find SavedModel .pb or .pbtxt at supplied export directory path: {}}}, }}\n",
        path.display()
    );
    assert_eq!((code, out), (Some(255), reason));
}

#[test]
fn sigterm_ends_an_idle_server_and_a_waiting_one() {
    let home = tempfile::tempdir().unwrap();
    let waiting = start(&home.path().join("nothing"), &[]);
    waiting.wait_for("Could not find base path");
    waiting.terminate();
    assert_eq!(waiting.end().0, Some(0));
    models::half_plus_two(&home.path().join("1"));
    let serving = start(home.path(), &[]);
    let mut idle = Connection::open(serving.rest());
    assert_eq!(idle.request("GET", "/v1/models/m", &[], b"").status, 200);
    serving.terminate();
    assert_eq!(serving.end().0, Some(0));
}
