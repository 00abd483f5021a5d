use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming as RequestBody;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::Body;
use super::exchange::Exchange;
use super::streams::{Upgrade, Upgraded, spdy, upgraded, websocket};
use super::{ApiServer, logs};
use crate::embedded::api::exec::{ExecEnd, ExecStreams, Output};
use crate::embedded::api::status::Status;
use crate::objects::meta;

/// The protocols over SPDY, the newest first; all carry the same streams but for how the end is told.
const SPDY_PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const WEB_PROTOCOLS: [&str; 6] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "base64.channel.k8s.io",
    "channel.k8s.io",
    "",
];
/// How long a client may take to open its streams.
const OPENING: Duration = Duration::from_secs(30);
const WAITING: usize = 32;

/// What a client wants to run, and which streams it takes part in.
struct Wanted {
    container: String,
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

/// Answers `…/pods/NAME/exec`.
pub(super) fn answer(
    server: &Arc<ApiServer>,
    exchange: &Exchange,
    request: Request<RequestBody>,
    namespace: Option<&str>,
    name: &str,
) -> Result<Response<Body>, Status> {
    let pod = server.registry.get("pods", namespace, name)?;
    let upgrade = Upgrade::asked(request.headers())?;
    let container = logs::container(exchange, &pod, name)?;
    check_running(&pod, name, &container)?;
    let tty = exchange.flag("tty");
    let wanted = Wanted {
        container,
        command: exchange.parameters("command").map(str::to_owned).collect(),
        stdin: exchange.flag("stdin"),
        stdout: exchange.flag("stdout"),
        stderr: exchange.flag("stderr") && !tty,
        tty,
    };
    if wanted.command.iter().all(String::is_empty) {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let known: &[&'static str] = if upgrade == Upgrade::Spdy { &SPDY_PROTOCOLS } else { &WEB_PROTOCOLS };
    let protocol = upgrade.negotiate(request.headers(), known)?;
    let response = upgrade.response(request.headers(), protocol)?;
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let Some(io) = upgraded(request).await else { return };
        match upgrade {
            Upgrade::Spdy => over_spdy(&server, &pod, wanted, io, protocol).await,
            Upgrade::WebSocket => over_websocket(&server, &pod, wanted, io, protocol).await,
        }
    });
    Ok(response)
}

fn check_running(pod: &Value, name: &str, container: &str) -> Result<(), Status> {
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    if let Some(phase @ ("Succeeded" | "Failed")) = pod["status"]["phase"].as_str() {
        return Err(Status::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let statuses = meta::list_at(pod, &["status", "containerStatuses"]);
    if statuses.iter().any(|status| status["name"] == container && status["state"]["running"].is_object()) {
        return Ok(());
    }
    Err(Status::plain(500, format!("unable to upgrade connection: container not found (\"{container}\")")))
}

/// Runs the command; every output goes through `deliver`, which says whether somebody still listens.
async fn run<F: Future<Output = bool>>(
    server: &ApiServer,
    pod: &Value,
    wanted: Wanted,
    stdin: mpsc::Receiver<Bytes>,
    mut deliver: impl FnMut(Output) -> F,
) -> ExecEnd {
    let (output, mut written) = mpsc::channel(WAITING);
    let streams = ExecStreams { stdin, output };
    let mut running = server.access.exec(pod, &wanted.container, wanted.command, streams);
    let mut end = None;
    loop {
        tokio::select! {
            // What was written before the end is delivered before the end is.
            biased;
            output = written.recv() => match (output, end.take()) {
                (Some(output), known) => {
                    end = known;
                    if !deliver(output).await {
                        return ExecEnd::Exit(141);
                    }
                }
                (None, Some(end)) => return end,
                (None, None) => return running.await,
            },
            ended = &mut running, if end.is_none() => end = Some(ended),
        }
    }
}

async fn over_spdy(server: &ApiServer, pod: &Value, wanted: Wanted, io: Upgraded, protocol: &str) {
    let mut connection = spdy::Connection::new(io);
    let expected = 1
        + usize::from(wanted.stdin)
        + usize::from(wanted.stdout)
        + usize::from(wanted.stderr)
        + usize::from(wanted.tty && !matches!(protocol, "channel.k8s.io" | "v2.channel.k8s.io"));
    let (mut error, mut stdin, mut stdout, mut stderr) = (None, None, None, None);
    let mut others = Vec::new();
    let opening = async {
        for _ in 0..expected {
            let Some(stream) = connection.next().await else { return false };
            match stream.header("streamtype") {
                "error" => error = Some(stream),
                "stdin" => stdin = Some(stream),
                "stdout" => stdout = Some(stream),
                "stderr" => stderr = Some(stream),
                _ => others.push(stream),
            }
        }
        true
    };
    if !matches!(tokio::time::timeout(OPENING, opening).await, Ok(true)) {
        return;
    }
    let (out, err) = (stdout.as_ref().map(|stream| stream.writer.clone()), stderr.as_ref().map(|s| s.writer.clone()));
    let tty = wanted.tty;
    let input = match stdin {
        Some(stream) => stream.data,
        None => mpsc::channel(1).1,
    };
    let deliver = |output: Output| {
        let (writer, bytes) = match output {
            Output::Stderr(bytes) if !tty => (err.clone(), bytes),
            Output::Stdout(bytes) | Output::Stderr(bytes) => (out.clone(), bytes),
        };
        async move {
            match writer {
                Some(writer) => writer.send(&bytes).await,
                None => true,
            }
        }
    };
    let end = run(server, pod, wanted, input, deliver).await;
    if let Some(error) = error {
        let told = if protocol == "v4.channel.k8s.io" { status_of(&end).to_string() } else { text_of(&end) };
        error.writer.send(told.as_bytes()).await;
        error.writer.finish().await;
    }
    for writer in [out, err].into_iter().flatten() {
        writer.finish().await;
    }
}

async fn over_websocket(server: &ApiServer, pod: &Value, wanted: Wanted, io: Upgraded, protocol: &str) {
    let base64 = protocol.contains("base64");
    let websocket::Channels { mut incoming, outgoing } = websocket::Channels::new(io, base64).await;
    let (stdin, input) = mpsc::channel(WAITING);
    let takes_input = wanted.stdin;
    let feeding = tokio::spawn(async move {
        let mut stdin = takes_input.then_some(stdin);
        while let Some(event) = incoming.recv().await {
            match (event, &stdin) {
                (websocket::Incoming::Data(0, bytes), Some(input)) => {
                    let _ = input.send(bytes).await;
                }
                (websocket::Incoming::End(0), _) => stdin = None,
                // Sizes of a terminal change nothing here.
                _ => {}
            }
        }
    });
    let tty = wanted.tty;
    let answers = outgoing.clone();
    let deliver = |output: Output| {
        let (channel, bytes) = match output {
            Output::Stderr(bytes) if !tty => (2, bytes),
            Output::Stdout(bytes) | Output::Stderr(bytes) => (1, bytes),
        };
        let answers = answers.clone();
        async move { answers.send((channel, bytes)).await.is_ok() }
    };
    let end = run(server, pod, wanted, input, deliver).await;
    let told = if protocol.starts_with("v4") || protocol.starts_with("v5") {
        status_of(&end).to_string()
    } else {
        text_of(&end)
    };
    let _ = outgoing.send((3, Bytes::from(told))).await;
    feeding.abort();
}

/// The end of a command as a Status, in the words of the kubelet.
fn status_of(end: &ExecEnd) -> Value {
    match end {
        ExecEnd::Exit(0) => json!({"metadata": {}, "status": "Success"}),
        ExecEnd::Exit(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: error executing command: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        ExecEnd::Failed(why) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": format!("Internal error occurred: {why}"),
            "details": {"causes": [{"message": why}]},
        }),
    }
}

/// The end of a command as older protocols tell it: nothing when it went well.
fn text_of(end: &ExecEnd) -> String {
    match end {
        ExecEnd::Exit(0) => String::new(),
        ExecEnd::Exit(code) => format!("error executing remote command: command terminated with exit code {code}"),
        ExecEnd::Failed(why) => format!("error executing remote command: {why}"),
    }
}
