//! Commands in containers: a handful that this program carries out itself, seen through the container's mounts.
//!
//! There is no shell and no other program, and nothing of the machine outside of the mounts is shown or written.
//! [`ContainerAccess`] is what the API server calls.

mod archive;
mod fetch;
mod list;
mod view;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::ProcessTable;
use crate::download::Checksum;
use crate::embedded::api::{ExecAnswer, ExecEnd, ExecStreams, Output, PodAccess, Registry};
use crate::objects::meta;
use view::Found;
pub(super) use view::View;

/// The commands, as the message about any other names them.
const COMMANDS: &str = "cat, curl, echo, env, false, hostname, ls, printenv, pwd, sha256sum, tar, test, true, whoami";
/// How much of a file is read at a time.
const CHUNK: u64 = 32 << 10;

/// The inside of a running container, as far as its commands see it.
#[derive(Debug)]
pub(super) struct ContainerPlace {
    /// Its variables, the image's first.
    pub(super) environment: Vec<(String, String)>,
    /// Its files.
    pub(super) view: View,
    /// The addresses that are local to it, the nearest first.
    pub(super) local: Vec<IpAddr>,
    /// The pod's name.
    pub(super) hostname: String,
    /// The pod's namespace, in which short names of services are looked up.
    pub(super) namespace: String,
}

/// The way into running containers.
#[derive(Clone)]
pub struct ContainerAccess {
    registry: Registry,
    processes: ProcessTable,
}

impl ContainerAccess {
    pub(super) fn new(registry: Registry, processes: ProcessTable) -> Self {
        Self { registry, processes }
    }
}

impl PodAccess for ContainerAccess {
    fn exec(&self, pod: &Value, container: &str, command: Vec<String>, streams: ExecStreams) -> ExecAnswer {
        let place = self.processes.place(meta::uid(pod), container);
        let registry = self.registry.clone();
        let missing = format!("container not found (\"{container}\")");
        Box::pin(async move {
            let Some(place) = place else { return ExecEnd::Failed(missing) };
            let ExecStreams { stdin, output } = streams;
            let code = Command { registry, place, stdin, console: Console(output) }.run(&command).await;
            ExecEnd::Exit(code)
        })
    }

    fn local_addresses(&self, pod: &Value) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        // The application's own address comes before the sidecar's, which is the pod's.
        for place in self.processes.places(meta::uid(pod)) {
            addresses.extend(place.local.iter().copied());
        }
        addresses.sort_by_key(|address| pod["status"]["podIP"] == address.to_string().as_str());
        addresses.dedup();
        addresses
    }
}

/// Where a command writes.
#[derive(Clone)]
struct Console(mpsc::Sender<Output>);

impl Console {
    async fn out(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Output::Stdout(bytes.into())).await.is_ok()
    }

    async fn err(&self, text: impl Into<String>) {
        let _ = self.0.send(Output::Stderr(Bytes::from(text.into()))).await;
    }
}

struct Command {
    registry: Registry,
    place: Arc<ContainerPlace>,
    stdin: mpsc::Receiver<Bytes>,
    console: Console,
}

impl Command {
    /// Runs the command; returns its exit code.
    async fn run(mut self, words: &[String]) -> u8 {
        let Some((program, arguments)) = words.split_first() else { return 0 };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match program.rsplit('/').next().unwrap_or_default() {
            "true" => 0,
            "false" => 1,
            "pwd" => self.say("/\n").await,
            "whoami" => self.say("root\n").await,
            "hostname" => {
                let name = format!("{}\n", self.place.hostname);
                self.say(&name).await
            }
            "echo" => {
                let (words, end) = match arguments.split_first() {
                    Some((&"-n", rest)) => (rest, ""),
                    _ => (&arguments[..], "\n"),
                };
                let line = format!("{}{end}", words.join(" "));
                self.say(&line).await
            }
            "env" | "printenv" => self.environment(&arguments).await,
            "test" | "[" => self.test(&arguments),
            "ls" => list::run(&self.place.view, &self.console, &arguments).await,
            "cat" => self.cat(&arguments).await,
            "sha256sum" => self.sha256sum(&arguments).await,
            "tar" => archive::run(Arc::clone(&self.place), self.console, self.stdin, &arguments).await,
            "curl" => fetch::run(&self.registry, &self.place, &self.console, &mut self.stdin, &arguments).await,
            _ => {
                let shown = crate::objects::names::quote(program);
                self.console
                    .err(format!(
                        "OCI runtime exec failed: exec failed: unable to start container process: exec: {shown}: executable file not found in $PATH: unknown\n\
                         containers of the embedded cluster have these commands only: {COMMANDS}\n"
                    ))
                    .await;
                126
            }
        }
    }

    async fn say(&self, text: &str) -> u8 {
        self.console.out(text.to_owned()).await;
        0
    }

    async fn environment(&self, names: &[&str]) -> u8 {
        let variables = &self.place.environment;
        if names.is_empty() {
            let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            return self.say(&lines.concat()).await;
        }
        let mut code = 0;
        for name in names {
            match variables.iter().find(|(known, _)| known == name) {
                Some((_, value)) => {
                    self.console.out(format!("{value}\n")).await;
                }
                None => code = 1,
            }
        }
        code
    }

    fn test(&self, arguments: &[&str]) -> u8 {
        let holds = match arguments {
            [kind @ ("-d" | "-e" | "-f"), path, ..] => match (self.place.view.find(path), *kind) {
                (Some(Found::Folder(_)), kind) => kind != "-f",
                (Some(Found::Host(path)), "-d") => path.is_dir(),
                (Some(Found::Host(path)), "-f") => path.is_file(),
                (found, _) => found.is_some(),
            },
            ["-z", text, ..] => text.is_empty(),
            ["-n", text, ..] => !text.is_empty(),
            [one, "=" | "==", other, ..] => one == other,
            [one, "!=", other, ..] => one != other,
            _ => return 2,
        };
        u8::from(!holds)
    }

    async fn cat(&mut self, paths: &[&str]) -> u8 {
        let paths: Vec<&str> = paths.iter().copied().filter(|path| *path == "-" || !path.starts_with('-')).collect();
        let paths = if paths.is_empty() { vec!["-"] } else { paths };
        let mut code = 0;
        for path in paths {
            if path == "-" {
                while let Some(bytes) = self.stdin.recv().await {
                    self.console.out(bytes).await;
                }
                continue;
            }
            if let Err(why) = copy_out(&self.place.view, path, &self.console).await {
                self.console.err(format!("cat: {path}: {why}\n")).await;
                code = 1;
            }
        }
        code
    }

    async fn sha256sum(&mut self, paths: &[&str]) -> u8 {
        let mut code = 0;
        for path in paths.iter().filter(|path| !path.starts_with('-')) {
            let sum = match self.place.view.find(path) {
                Some(Found::Host(host)) if host.is_file() => tokio::task::spawn_blocking(move || {
                    Checksum::Sha256([0; 32]).of_file(&host).map_err(|error| plain(&error))
                })
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
                Some(_) => Err("Is a directory".to_owned()),
                None => Err("No such file or directory".to_owned()),
            };
            match sum {
                Ok(sum) => {
                    self.console.out(format!("{}  {path}\n", sum.hex())).await;
                }
                Err(why) => {
                    self.console.err(format!("sha256sum: {path}: {why}\n")).await;
                    code = 1;
                }
            }
        }
        code
    }
}

/// Writes a file to the console.
async fn copy_out(view: &View, path: &str, console: &Console) -> Result<(), String> {
    use tokio::io::AsyncReadExt;
    let host = match view.find(path) {
        None => return Err("No such file or directory".to_owned()),
        Some(Found::Folder(_)) => return Err("Is a directory".to_owned()),
        Some(Found::Host(host)) if host.is_dir() => return Err("Is a directory".to_owned()),
        Some(Found::Host(host)) => host,
    };
    let mut file = tokio::fs::File::open(host).await.map_err(|error| plain(&error))?;
    loop {
        let mut chunk = Vec::new();
        let read = (&mut file).take(CHUNK).read_to_end(&mut chunk).await.map_err(|error| plain(&error))?;
        if read == 0 || !console.out(chunk).await {
            return Ok(());
        }
    }
}

/// A file's whole content.
fn copy_whole(view: &View, path: &str, limit: usize) -> Result<Vec<u8>, String> {
    let Some(Found::Host(host)) = view.find(path) else { return Err("No such file or directory".to_owned()) };
    let length = std::fs::metadata(&host).map_err(|error| plain(&error))?.len();
    if length > limit as u64 {
        return Err("File too large".to_owned());
    }
    std::fs::read(host).map_err(|error| plain(&error))
}

/// What the system says, as programs show it.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
