//! Command line, start-up, configuration files and log lines of the built binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod model_server;

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use model_server::http::{Connection, request};
use model_server::models;
use model_server::process::{PATIENCE, Server};

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn config(home: &Path, models: &[(&str, &str)]) -> String {
    let model = |(name, more): &(&str, &str)| {
        let base = home.join(name).display().to_string();
        format!("  config {{ name: '{name}' base_path: '{base}' model_platform: 'tensorflow' {more} }}\n")
    };
    format!("model_config_list {{\n{}}}\n", models.iter().map(model).collect::<String>())
}

/// Asks until the answer is the expected one.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn version_usage_and_words_that_no_flag_takes() {
    let (code, out) = Server::start(&arguments(&["--version"])).end();
    assert_eq!(code, Some(0));
    assert!(out.starts_with("TensorFlow ModelServer: 2.5.1") && out.contains("\nTensorFlow Library: 2.5.1"), "{out}");

    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let base = format!("-model_base_path={}", home.path().display());
    let words = ["--port=-1", "-rest_api_port=-2", "--enable_batching", "--no_such_flag=1", "word", &base];
    let mut server = Server::start(&arguments(&words));
    assert_eq!(request(server.rest(), "GET", "/v1/models/default", b"").status, 200, "the default name, and it serves");
    server.child.kill().unwrap();
    let (_, out) = server.end();
    assert!(out.starts_with("unknown argument: --no_such_flag=1\nusage: "), "{out}");

    for bad in ["--port=x", "--enable_batching=maybe", "--load_retry_interval_micros=1.5"] {
        let (code, out) = Server::start(&arguments(&[bad, &base])).end();
        assert_eq!(code, Some(255), "{bad}");
        assert!(out.starts_with("usage: ") && out.contains("--rest_api_timeout_in_ms=30000"), "{out}");
    }
}

#[test]
fn the_start_of_one_model_is_told_line_by_line() {
    let home = tempfile::tempdir().unwrap();
    let shown = home.path().display().to_string();
    models::half_plus_two(&home.path().join("1"));
    let base = format!("--model_base_path={shown}");
    let server = Server::start(&arguments(&["--port=-1", "--rest_api_port=-2", "--model_name=m", &base]));
    let (grpc, rest) = (server.grpc().port(), server.rest().port());
    server.wait_for("Entering the event loop");
    let id = "{name: m version: 1}";
    let expected = [
        format!("I tensorflow_serving/model_servers/server.cc:89] Building single TensorFlow model file config:  model_name: m model_base_path: {shown}"),
        "I tensorflow_serving/model_servers/server_core.cc:465] Adding/updating models.".into(),
        "I tensorflow_serving/model_servers/server_core.cc:591]  (Re-)adding model: m".into(),
        format!("I tensorflow_serving/core/basic_manager.cc:740] Successfully reserved resources to load servable {id}"),
        format!("I tensorflow_serving/core/loader_harness.cc:66] Approving load for servable version {id}"),
        format!("I tensorflow_serving/core/loader_harness.cc:74] Loading servable version {id}"),
        format!("I external/org_tensorflow/tensorflow/cc/saved_model/reader.cc:38] Reading SavedModel from: {shown}/1"),
        "I external/org_tensorflow/tensorflow/cc/saved_model/reader.cc:90] Reading meta graph with tags { serve }".into(),
        "I external/org_tensorflow/tensorflow/cc/saved_model/loader.cc:206] Restoring SavedModel bundle.".into(),
        "I external/org_tensorflow/tensorflow/cc/saved_model/loader.cc:277] SavedModel load for tags { serve }; Status: success: OK. Took N microseconds.".into(),
        format!("I tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc:59] No warmup data file found at {shown}/1/assets.extra/tf_serving_warmup_requests"),
        format!("I tensorflow_serving/core/loader_harness.cc:87] Successfully loaded servable version {id}"),
        "I tensorflow_serving/model_servers/server_core.cc:486] Finished adding/updating models".into(),
        "I tensorflow_serving/model_servers/server.cc:367] Profiler service is enabled".into(),
        format!("I tensorflow_serving/model_servers/server.cc:393] Running gRPC ModelServer at 0.0.0.0:{grpc} ..."),
        format!("I tensorflow_serving/model_servers/server.cc:414] Exporting HTTP/REST API at:localhost:{rest} ..."),
        "[evhttp_server.cc : 245] NET_LOG: Entering the event loop ...".into(),
    ];
    let time = regex::Regex::new(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: ").unwrap();
    let took = regex::Regex::new(r"Took \d+ microseconds").unwrap();
    let told: Vec<String> = server
        .log()
        .iter()
        .map(|line| {
            assert!(line.starts_with("[evhttp") || time.is_match(line), "{line}");
            took.replace(&time.replace(line, ""), "Took N microseconds").into_owned()
        })
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn retries_of_a_load_and_its_end_are_told_line_by_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("1")).unwrap();
    let base = format!("--model_base_path={}", home.path().display());
    let words = ["--port=-1", "--model_name=m", "--max_num_load_retries=1", "--load_retry_interval_micros=1", &base];
    let mut server = Server::start(&arguments(&words));
    assert_eq!(server.child.wait().unwrap().code(), Some(255));
    server.wait_for("cannot be loaded");
    let error = format!(
        "Not found: Could not find SavedModel .pb or .pbtxt at supplied export directory path: {}/1",
        home.path().display()
    );
    let id = "{name: m version: 1}";
    let expected = [
        format!("E tensorflow_serving/util/retrier.cc:37] Loading servable: {id} failed: {error}"),
        format!("I tensorflow_serving/util/retrier.cc:33] Retrying of Loading servable: {id} retry: 1"),
        format!("E tensorflow_serving/util/retrier.cc:37] Loading servable: {id} failed: {error}"),
        format!(
            "I tensorflow_serving/util/retrier.cc:46] Retrying of Loading servable: {id} exhausted max_num_retries: 1"
        ),
        format!(
            "I tensorflow_serving/core/loader_harness.cc:155] Encountered an error for servable version {id}: {error}"
        ),
        format!("E tensorflow_serving/core/aspired_versions_manager.cc:388] Servable {id} cannot be loaded: {error}"),
    ];
    let told: Vec<String> = server.log().iter().filter_map(|line| line.get(28..).map(str::to_owned)).collect();
    let told: Vec<&String> = told.iter().filter(|line| expected.contains(line)).collect();
    assert_eq!(told, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_configuration_file_has_several_models_and_is_read_again() {
    let home = tempfile::tempdir().unwrap();
    for directory in ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3", "c/7"] {
        models::half_plus_two(&home.path().join(directory));
    }
    let file = home.path().join("models.config");
    let first = [
        ("a", "model_version_policy { specific { versions: 1 versions: 3 } }"),
        ("b", "model_version_policy: { latest: { num_versions: 2 } }"),
    ];
    std::fs::write(&file, config(home.path(), &first)).unwrap();
    let flag = format!("--model_config_file={}", file.display());
    let poll = "--model_config_file_poll_wait_seconds=1";
    // A name and a path beside a configuration file are not looked at.
    let server = Server::start(&arguments(&[
        "--port=-1",
        "--rest_api_port=-2",
        &flag,
        poll,
        "--model_name=x",
        "--model_base_path=y",
    ]));
    let address = server.rest();
    let versions = |model: &str| {
        let body = request(address, "GET", &format!("/v1/models/{model}"), b"").text();
        let value: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let states = value["model_version_status"].as_array().cloned().unwrap_or_default();
        let shown = |state: &serde_json::Value| format!("{}:{}", state["version"], state["state"]).replace('"', "");
        states.iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    until("a's versions", || versions("a") == "3:AVAILABLE 1:AVAILABLE");
    until("b's versions", || versions("b") == "3:AVAILABLE 2:AVAILABLE");
    assert_eq!(request(address, "GET", "/v1/models/x", b"").status, 404);

    std::fs::write(&file, "model_config_list { config { nam: 'a' } }").unwrap();
    server.wait_for(&format!(
        "model_servers/server.cc:181] Failed to read ModelServerConfig file: Invalid protobuf file: '{}'",
        file.display()
    ));
    assert_eq!(versions("a"), "3:AVAILABLE 1:AVAILABLE");
    let labels = ("a", "model_version_policy { all {} } version_labels { key: 'old' value: 1 }");
    std::fs::write(&file, config(home.path(), &[labels, ("c", "")])).unwrap();
    until("c is new", || versions("c") == "7:AVAILABLE");
    until("b is gone", || versions("b") == "3:END 2:END");
    until("all of a", || versions("a") == "3:AVAILABLE 2:AVAILABLE 1:AVAILABLE");
    let predict = |path: &str| request(address, "POST", path, b"{\"inputs\": 1}").status;
    assert_eq!((predict("/v1/models/a/labels/old:predict"), predict("/v1/models/b:predict")), (200, 404));
    let unavailable = ("a", "model_version_policy { all {} } version_labels { key: 'old' value: 9 }");
    std::fs::write(&file, config(home.path(), &[unavailable, ("c", "")])).unwrap();
    server.wait_for(
        "PollFilesystemAndReloadConfig failed to ReloadConfig: Request to assign label to version 9 of model a, which is \
         not currently available for inference",
    );
    assert_eq!(predict("/v1/models/a/labels/old:predict"), 200, "the label stays where it was");
}

#[test]
fn starts_that_a_configuration_makes_impossible() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("a/1"));
    let file = home.path().join("models.config");
    let flag = format!("--model_config_file={}", file.display());
    let fails = |text: &str, flags: &[&str], reason: &str| {
        std::fs::write(&file, text).unwrap();
        let (code, out) = Server::start(&arguments(&[&["--port=-1", flag.as_str()], flags].concat())).end();
        assert_eq!((code, out), (Some(255), format!("Failed to start server. Error: {reason}\n")));
    };
    let path = file.display();
    fails("nonsense", &[], &format!("Invalid argument: Invalid protobuf file: '{path}'"));
    let one = config(home.path(), &[("a", "")]);
    fails(
        &one,
        &["--batching_parameters_file=/b"],
        "Invalid argument: server_options.batching_parameters_file is set without setting \
         server_options.enable_batching to true.",
    );
    fails(
        &one,
        &["--port=0"],
        "Invalid argument: At least one of server_options.grpc_port or \
         server_options.grpc_socket_path must be set.",
    );
    let twice = config(home.path(), &[("a", ""), ("a", "")]);
    fails(&twice, &[], "Invalid argument: Illegal to list model a multiple times in config list");
    let label = config(home.path(), &[("a", "version_labels { key: 'l' value: 1 }")]);
    fails(
        &label,
        &[],
        "Failed precondition: Request to assign label to version 1 of model a, which is not currently available for \
         inference",
    );
    let missing = Server::start(&arguments(&["--port=-1", "--model_config_file=/nowhere"])).end();
    let reason = "Failed to start server. Error: Not found: /nowhere; No such file or directory\n";
    assert_eq!(missing, (Some(255), reason.to_owned()));
    let relative = Server::start(&arguments(&["--port=-1", "--model_base_path=here"])).end();
    let reason = "Failed to start server. Error: Invalid argument: Expected model default to have an absolute path or URI; \
                  got base_path()=here\n";
    assert_eq!(relative, (Some(255), reason.to_owned()));
}

#[test]
fn ports_that_are_taken_or_given_twice() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let base = format!("--model_base_path={}", home.path().display());
    let taken = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let holder = TcpListener::bind(("0.0.0.0", taken)).unwrap();
    let grpc = Server::start(&arguments(&[&format!("--port={taken}"), &base])).end();
    let reason = "Failed to start server. Error: Invalid argument: Failed to BuildAndStart gRPC server\n";
    assert_eq!(grpc, (Some(255), reason.to_owned()));
    let rest = Server::start(&arguments(&["--port=-1", &format!("--rest_api_port={taken}"), &base]));
    rest.wait_for(&format!("[evhttp_server.cc : 239] NET_LOG: Couldn't bind to port {taken}"));
    rest.wait_for(&format!("server.cc:416] Failed to start HTTP Server at localhost:{taken}"));
    assert!(std::net::TcpStream::connect(rest.grpc()).is_ok(), "it serves gRPC alone");
    drop(holder);
    let both = format!("--rest_api_port={taken}");
    let server = Server::start(&arguments(&[&format!("--port={taken}"), &both, &base]));
    server.wait_for("server_options.http_port cannot be same as grpc_port.");
}

#[test]
fn a_look_once_finds_no_later_version_and_an_empty_configuration_serves_nothing() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("a/1"));
    let base = format!("--model_base_path={}", home.path().join("a").display());
    let once = "--file_system_poll_wait_seconds=0";
    let server = Server::start(&arguments(&["--port=-1", "--rest_api_port=-2", "--model_name=a", &base, once]));
    assert_eq!(request(server.rest(), "GET", "/v1/models/a", b"").status, 200);
    models::half_plus_two(&home.path().join("a/2"));

    let file = home.path().join("models.config");
    std::fs::write(&file, "").unwrap();
    let flag = format!("--model_config_file={}", file.display());
    let empty = Server::start(&arguments(&["--port=-1", "--rest_api_port=-2", &flag]));
    let answer = request(empty.rest(), "POST", "/v1/models/a/labels/l:predict", b"{}");
    assert_eq!((answer.status, answer.text().contains("Model labels does not init yet.l")), (503, true));
    empty.wait_for("server_core.cc:449] Taking no action for empty config.");

    assert_eq!(request(server.rest(), "GET", "/v1/models/a/versions/2", b"").status, 404);
}

#[test]
fn names_of_methods_are_checked_when_asked_for() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let base = format!("--model_base_path={}", home.path().display());
    let check = "--enable_signature_method_name_check";
    let server = Server::start(&arguments(&["--port=-1", "--rest_api_port=-2", "--model_name=m", &base, check]));
    let ask = |verb: &str, body: &str| request(server.rest(), "POST", &format!("/v1/models/m:{verb}"), body.as_bytes());
    assert_eq!(ask("predict", "{\"inputs\": 1}").status, 200);
    let wrong = ask("classify", "{\"signature_name\": \"regress_x_to_y\", \"examples\": [{\"x\": 1.0}]}");
    let text = "Expected classification signature method_name to be tensorflow/serving/classify. Was: \
                tensorflow/serving/regress";
    assert_eq!((wrong.status, wrong.text()), (400, format!("{{\n    \"error\": \"{text}\"\n}}")));
    assert_eq!(ask("regress", "{\"signature_name\": \"regress_x_to_y\", \"examples\": [{\"x\": 1.0}]}").status, 200);
}

#[test]
fn a_request_at_work_is_finished_when_the_server_is_told_to_stop() {
    let home = tempfile::tempdir().unwrap();
    models::half_plus_two(&home.path().join("1"));
    let base = format!("--model_base_path={}", home.path().display());
    let server = Server::start(&arguments(&["--port=-1", "--rest_api_port=-2", "--model_name=m", &base]));
    let address = server.rest();
    let mut connection = Connection::open(address);
    let body = b"{\"inputs\": 1}";
    let length = body.len();
    let head = format!(
        "POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write(head.as_bytes());
    assert_eq!(connection.response(true).status, 100, "the request is being read");
    connection.write(&body[..4]);
    server.terminate();
    until("new connections are refused", || std::net::TcpStream::connect(address).is_err());
    connection.write(&body[4..]);
    assert_eq!(connection.response(false).text(), "{\n    \"outputs\": 2.5\n}");
    assert_eq!(server.end().0, Some(0));
}
