//! One run of a container: a child process, a part of the daemon, or nothing at all.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::images::Program;
use super::logs::{LogName, LogStore, Stream};
use crate::process::{Child, ChildCommand, Exit, Sandbox};

/// How long the output of an ended process is waited for; whoever still holds its pipes is not worth more.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// Where istiod's readiness probe looks.
const READINESS_PORT: u16 = 8080;

/// Istio's control plane as a container of the daemon itself.
pub trait ControlPlane: Send + Sync {
    /// Runs in a pod with this address until `stop` is cancelled, or until it fails.
    fn run(&self, address: Ipv4Addr, stop: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What to run, and where.
pub(super) struct RunSpec {
    /// What the image and its arguments come to.
    pub(super) program: Program,
    /// This binary.
    pub(super) binary: PathBuf,
    /// The whole environment.
    pub(super) environment: Vec<(String, String)>,
    /// Address and mounts.
    pub(super) sandbox: Sandbox,
    /// The pod's address.
    pub(super) address: Ipv4Addr,
    /// Where its output goes.
    pub(super) logs: LogStore,
    /// Under which name.
    pub(super) log: LogName,
    /// What stands behind Istio's control plane image.
    pub(super) control_plane: Option<Arc<dyn ControlPlane>>,
}

/// Asks a run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Terminate,
    Kill,
}

/// A run that goes on. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    requests: mpsc::UnboundedSender<Request>,
    /// The process number, where there is a process of its own.
    pub(super) pid: Option<u32>,
}

impl Running {
    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let _ = self.requests.send(Request::Terminate);
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        let _ = self.requests.send(Request::Kill);
    }
}

/// Starts the run; `ended` is called once, after its last output was written.
pub(super) fn start(
    spec: RunSpec,
    ended: impl FnOnce(Exit) + Send + 'static,
) -> Result<Running, crate::process::SpawnError> {
    let (requests, mut asked) = mpsc::unbounded_channel();
    let log = spec.logs.start(&spec.log).inspect_err(|error| {
        tracing::warn!("no log for container {}: {error}", spec.log.container);
    });
    let log = log.ok();
    let finish = {
        let (logs, name) = (spec.logs.clone(), spec.log.clone());
        move |exit| {
            logs.finish(&name);
            ended(exit);
        }
    };
    match spec.program {
        Program::Completes => {
            tokio::spawn(async move { finish(Exit::Code(0)) });
            Ok(Running { requests, pid: None })
        }
        Program::Sleeps { time } => {
            tokio::spawn(async move {
                let over = async {
                    match time {
                        Some(time) => tokio::time::sleep(time).await,
                        None => std::future::pending().await,
                    }
                };
                finish(tokio::select! {
                    () = over => Exit::Code(0),
                    _ = asked.recv() => Exit::Signal(9),
                });
            });
            Ok(Running { requests, pid: None })
        }
        Program::Pilot => {
            let stop = CancellationToken::new();
            let running = spec.control_plane.map(|plane| plane.run(spec.address, stop.clone()));
            if let Some(log) = &log {
                let line = format!("the mesh's control plane runs inside the daemon, on {}", spec.address);
                log.line(Stream::Out, line.as_bytes());
            }
            let readiness = AbortOnDrop(tokio::spawn(answer_readiness(spec.address)));
            tokio::spawn(async move {
                let _readiness = readiness;
                let Some(mut running) = running else { return finish(Exit::Code(1)) };
                let exit = tokio::select! {
                    () = &mut running => Exit::Code(1),
                    _ = asked.recv() => {
                        stop.cancel();
                        running.await;
                        Exit::Code(0)
                    }
                };
                finish(exit);
            });
            Ok(Running { requests, pid: None })
        }
        Program::Process { args } => {
            let command = ChildCommand { program: spec.binary, args, env: spec.environment, sandbox: spec.sandbox };
            let mut child = Child::spawn(&command)?;
            let pid = Some(child.identity().pid);
            let copying = child.take_output().zip(log).map(|((out, err), log)| {
                let (first, second) = (Arc::clone(&log), log);
                tokio::spawn(async move { tokio::join!(first.copy(Stream::Out, out), second.copy(Stream::Err, err)) })
            });
            tokio::spawn(async move {
                let exit = supervise(&mut child, &mut asked).await;
                if let Some(copying) = copying {
                    let _ = tokio::time::timeout(LAST_OUTPUT, copying).await;
                }
                finish(exit);
            });
            Ok(Running { requests, pid })
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers the probe of the control plane's container for as long as that runs.
async fn answer_readiness(address: Ipv4Addr) {
    let listener = match TcpListener::bind((address, READINESS_PORT)).await {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!("the control plane's readiness has no port: {error}"),
    };
    while let Ok((mut stream, _)) = listener.accept().await {
        // One probe at a time, and none that says more than this.
        let mut request = [0_u8; 1024];
        let answer = async {
            let _ = stream.read(&mut request).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await
        };
        let _ = tokio::time::timeout(LAST_OUTPUT, answer).await;
    }
}

async fn supervise(child: &mut Child, asked: &mut mpsc::UnboundedReceiver<Request>) -> Exit {
    loop {
        let request = tokio::select! {
            exit = child.wait() => return exit,
            request = asked.recv() => request,
        };
        match request {
            Some(Request::Terminate) => child.terminate(),
            // Nobody holds the run any more, so nobody waits for a polite end.
            Some(Request::Kill) | None => {
                child.kill();
                return child.wait().await;
            }
        }
    }
}
