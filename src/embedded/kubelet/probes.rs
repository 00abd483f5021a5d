//! Probes: when they run, what counts, and what a failure is called.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::process::Sandbox;

/// What a probe decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    /// Whether the container must be started again.
    Liveness,
    /// Whether it takes requests.
    Readiness,
    /// Whether the other two may begin.
    Startup,
}

impl ProbeKind {
    /// All kinds, with their fields in a container.
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Startup, "startupProbe"), (Self::Liveness, "livenessProbe"), (Self::Readiness, "readinessProbe")];

    /// The word that begins a message.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Startup => "Startup",
        }
    }
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    HttpGet { host: Option<String>, port: u16, path: String, headers: Vec<(String, String)> },
    TcpSocket { port: u16 },
    Exec { command: Vec<String> },
}

/// One probe of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// What it decides about.
    pub(crate) kind: ProbeKind,
    action: Action,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u64,
    failures: u64,
}

impl Probe {
    /// Reads the probe of this kind from a container; `None` when it has none.
    pub(crate) fn parse(container: &Value, kind: ProbeKind, field: &str) -> Option<Self> {
        let probe = container.get(field).filter(|probe| probe.is_object())?;
        let number = |field: &str, default: u64| probe[field].as_u64().unwrap_or(default);
        let port = |value: &Value| match value {
            Value::String(name) => container["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|port| port["name"] == **name)
                .and_then(|port| port["containerPort"].as_u64())
                .or_else(|| name.parse().ok()),
            other => other.as_u64(),
        };
        let port = |value: &Value| port(value).and_then(|port| u16::try_from(port).ok());
        let action = if probe["httpGet"].is_object() {
            let get = &probe["httpGet"];
            let headers = get["httpHeaders"].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Action::HttpGet {
                host: get["host"].as_str().filter(|host| !host.is_empty()).map(str::to_owned),
                port: port(&get["port"])?,
                path: get["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("/").to_owned(),
                headers: headers.map(|header| (text(&header["name"]), text(&header["value"]))).collect(),
            }
        } else if probe["tcpSocket"].is_object() {
            Action::TcpSocket { port: port(&probe["tcpSocket"]["port"])? }
        } else {
            let command = probe["exec"]["command"].as_array()?;
            Action::Exec { command: command.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect() }
        };
        Some(Self {
            kind,
            action,
            initial_delay: Duration::from_secs(number("initialDelaySeconds", 0)),
            period: Duration::from_secs(number("periodSeconds", 10).max(1)),
            timeout: Duration::from_secs(number("timeoutSeconds", 1).max(1)),
            successes: number("successThreshold", 1).max(1),
            failures: number("failureThreshold", 3).max(1),
        })
    }

    /// Looks once.
    async fn look(&self, target: &Target) -> Outcome {
        let looking = async {
            match &self.action {
                Action::HttpGet { host, port, path, headers } => {
                    let host = host.clone().unwrap_or_else(|| target.address.to_string());
                    http_get(&host, *port, path, headers).await
                }
                Action::TcpSocket { port } => tcp_connect(&target.address.to_string(), *port).await.map(drop),
                Action::Exec { command } => built_in(command, &target.sandbox),
            }
        };
        match tokio::time::timeout(self.timeout, looking).await {
            Ok(Ok(())) => Outcome::Success,
            Ok(Err(text)) => Outcome::Failure(text),
            Err(_) => Outcome::Failure(self.timeout_text(target)),
        }
    }

    fn timeout_text(&self, target: &Target) -> String {
        match &self.action {
            Action::HttpGet { host, port, path, .. } => {
                let host = host.clone().unwrap_or_else(|| target.address.to_string());
                format!(
                    "Get \"http://{host}:{port}{path}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                )
            }
            Action::TcpSocket { port } => format!("dial tcp {}:{port}: i/o timeout", target.address),
            Action::Exec { .. } => format!("command timed out after {}s", self.timeout.as_secs()),
        }
    }
}

/// Where a probe looks.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
    /// The container's view of the file system.
    pub(crate) sandbox: Sandbox,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure(String),
}

/// What a probe reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeReport {
    /// One look failed; the text is the event's.
    Failed(String),
    /// Enough looks in a row agreed.
    Verdict(bool),
}

/// Runs a probe until the receiver goes away. A verdict is reported when it changes, and again when a container
/// that ought to have been restarted still fails.
pub(crate) async fn run(probe: Probe, target: Target, report: mpsc::Sender<(ProbeKind, ProbeReport)>) {
    let mut tally = Tally::default();
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + probe.initial_delay, probe.period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = report.closed() => return,
        }
        let outcome = probe.look(&target).await;
        if let Outcome::Failure(text) = &outcome {
            let text = format!("{} probe failed: {text}", probe.kind.word());
            if report.send((probe.kind, ProbeReport::Failed(text))).await.is_err() {
                return;
            }
        }
        if let Some(verdict) = tally.count(&probe, &outcome)
            && report.send((probe.kind, ProbeReport::Verdict(verdict))).await.is_err()
        {
            return;
        }
    }
}

/// Looks in a row with the same outcome.
#[derive(Debug, Default)]
struct Tally {
    successes: u64,
    failures: u64,
    verdict: Option<bool>,
}

impl Tally {
    fn count(&mut self, probe: &Probe, outcome: &Outcome) -> Option<bool> {
        let verdict = match outcome {
            Outcome::Success => {
                self.failures = 0;
                self.successes += 1;
                (self.successes >= probe.successes).then_some(true)
            }
            Outcome::Failure(_) => {
                self.successes = 0;
                self.failures += 1;
                (self.failures >= probe.failures).then_some(false)
            }
        }?;
        let fresh = self.verdict.replace(verdict) != Some(verdict);
        fresh.then_some(verdict)
    }
}

async fn tcp_connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {host}:{port}: {why}")
    })
}

/// A GET whose answer is read no further than its first line: only the status counts.
async fn http_get(host: &str, port: u16, path: &str, headers: &[(String, String)]) -> Result<(), String> {
    let wrap = |why: String| format!("Get \"http://{host}:{port}{path}\": {why}");
    let mut stream = tcp_connect(host, port).await.map_err(wrap)?;
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    let named = |name: &str| headers.iter().any(|(one, _)| one.eq_ignore_ascii_case(name));
    if !named("host") {
        request.push_str(&format!("Host: {host}:{port}\r\n"));
    }
    if !named("user-agent") {
        request.push_str("User-Agent: kube-probe/1.24\r\n");
    }
    request.push_str("Accept: */*\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let talk = async {
        stream.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await?;
        std::io::Result::Ok(line)
    };
    let line = talk.await.map_err(|error| wrap(error.to_string()))?;
    if line.is_empty() {
        return Err(wrap("EOF".to_owned()));
    }
    let code = line.split_ascii_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    match code {
        Some(200..400) => Ok(()),
        Some(code) => Err(format!("HTTP probe failed with statuscode: {code}")),
        None => Err(wrap(format!("malformed HTTP response {line:?}"))),
    }
}

/// The commands that a probe may run: looks at the container's files, never a program of the host.
fn built_in(command: &[String], sandbox: &Sandbox) -> Result<(), String> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let path = |path: &str| -> Option<PathBuf> { sandbox.resolve(Path::new(path)) };
    let missing = |tool: &str, name: &str| format!("{tool}: {name}: No such file or directory\n");
    match words.as_slice() {
        ["true"] => Ok(()),
        ["false"] => Err(String::new()),
        [tool @ ("cat" | "ls"), names @ ..] => {
            let bad = names.iter().find(|name| !name.starts_with('-') && !path(name).is_some_and(|path| path.exists()));
            bad.map_or(Ok(()), |name| Err(missing(tool, name)))
        }
        ["test", "-f", name] => path(name).filter(|path| path.is_file()).map(drop).ok_or_else(String::new),
        ["test", "-d", name] => path(name).filter(|path| path.is_dir()).map(drop).ok_or_else(String::new),
        ["test", "-e", name] => path(name).filter(|path| path.exists()).map(drop).ok_or_else(String::new),
        _ => {
            let tool = words.first().unwrap_or(&"");
            Err(format!("exec: \"{tool}\": executable file not found in $PATH: unknown"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn target() -> Target {
        Target { address: Ipv4Addr::LOCALHOST, sandbox: Sandbox { bind: Ipv4Addr::LOCALHOST.into(), mounts: vec![] } }
    }

    fn probe(field: Value) -> Probe {
        let container = json!({"ports": [{"name": "http", "containerPort": 8501}], "readinessProbe": field});
        Probe::parse(&container, ProbeKind::Readiness, "readinessProbe").unwrap()
    }

    #[test]
    fn defaults_and_named_ports_are_filled_in() {
        let probe = probe(json!({"httpGet": {"port": "http"}, "failureThreshold": 30, "periodSeconds": 2}));
        assert_eq!(probe.action, Action::HttpGet { host: None, port: 8501, path: "/".into(), headers: vec![] });
        assert_eq!((probe.period.as_secs(), probe.timeout.as_secs(), probe.failures), (2, 1, 30));
        assert!(Probe::parse(&json!({}), ProbeKind::Liveness, "livenessProbe").is_none());
    }

    #[test]
    fn verdicts_change_only_after_enough_looks() {
        let probe = probe(json!({"tcpSocket": {"port": 1}, "failureThreshold": 2, "successThreshold": 2}));
        let mut tally = Tally::default();
        let fail = || Outcome::Failure(String::new());
        let outcomes = [Outcome::Success, Outcome::Success, Outcome::Success, fail(), fail(), fail(), Outcome::Success];
        let verdicts: Vec<_> = outcomes.iter().map(|outcome| tally.count(&probe, outcome)).collect();
        assert_eq!(verdicts, [None, Some(true), None, None, Some(false), None, None]);
    }

    #[tokio::test]
    async fn failures_are_told_in_the_kubelets_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let look = |field: Value| async move { probe(field).look(&target()).await };
        let answering = tokio::spawn(async move {
            for status in ["200 OK", "503 Service Unavailable"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 1024];
                let read = stream.read(&mut bytes).await.unwrap();
                assert!(bytes[..read].starts_with(b"GET /healthz/ready HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let get = json!({"httpGet": {"path": "/healthz/ready", "port": port}});
        assert_eq!(look(get.clone()).await, Outcome::Success);
        let text = "HTTP probe failed with statuscode: 503".to_owned();
        assert_eq!(look(get.clone()).await, Outcome::Failure(text));
        answering.await.unwrap();
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        let text = format!("Get \"http://127.0.0.1:{port}/healthz/ready\": {refused}");
        assert_eq!(look(get).await, Outcome::Failure(text));
        assert_eq!(look(json!({"tcpSocket": {"port": port}})).await, Outcome::Failure(refused));
    }

    #[tokio::test]
    async fn a_silent_server_runs_into_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outcome = probe(json!({"httpGet": {"path": "/x", "port": port}})).look(&target()).await;
        let Outcome::Failure(text) = outcome else { panic!("a silent server is not ready") };
        assert!(text.contains("context deadline exceeded"), "{text}");
    }

    #[test]
    fn commands_see_the_containers_files_only() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("ready"), "").unwrap();
        let mounts = vec![crate::process::Mount { path: "/tmp".into(), source: home.path().to_owned() }];
        let sandbox = Sandbox { bind: Ipv4Addr::LOCALHOST.into(), mounts };
        let run = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            built_in(&words, &sandbox)
        };
        assert_eq!(run("cat /tmp/ready"), Ok(()));
        assert_eq!(run("test -f /tmp/ready"), Ok(()));
        assert_eq!(run("cat /etc/passwd").unwrap_err(), "cat: /etc/passwd: No such file or directory\n");
        assert!(run("test -d /tmp/ready").is_err());
        assert!(run("sh -c true").unwrap_err().contains("executable file not found"));
    }
}
