//! A home, the binary, and what came of running it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The project's directory.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A lab in a temporary home; whatever still runs at the end of the test is taken down.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("canary-lab-test-").tempdir().unwrap() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The command with a clean environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canary-lab"));
        command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path()).env("CANARY_LAB_HOME", self.home());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args))
    }

    /// Runs on the tiny lab.
    pub(crate) fn tiny(&self, args: &[&str]) -> Ended {
        finish(self.tiny_command(args))
    }

    pub(crate) fn tiny_command(&self, args: &[&str]) -> Command {
        let lab = project().join("lab/tiny");
        self.command(&[&["--lab", lab.to_str().unwrap()], args].concat())
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ended = self.tiny(&[&["--output", "json"], args].concat());
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// The daemon's process, from the file that it keeps in the home.
    pub(crate) fn daemon(&self) -> u32 {
        let text = std::fs::read_to_string(self.home().join("cluster/daemon.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// Asks the walk of this home to end, as a session that is closed does.
    pub(crate) fn interrupt_walk(&self) {
        let text = std::fs::read_to_string(self.home().join("lock")).unwrap();
        let pid = serde_json::from_str::<Value>(&text).unwrap()["pid"].as_u64().unwrap();
        kill(pid.try_into().unwrap(), "-TERM");
    }

    /// The daemon's children whose command line has this word.
    pub(crate) fn children(&self, word: &str) -> Vec<u32> {
        let daemon = self.daemon();
        processes()
            .into_iter()
            .filter(|process| process.parent == daemon && process.command.contains(word))
            .map(|process| process.pid)
            .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.home().exists() {
            let _ = self.command(&["down", "--purge"]).status();
        }
    }
}

pub(crate) fn finish(mut command: Command) -> Ended {
    let started = Instant::now();
    let output = command.output().unwrap();
    ended(&output, started.elapsed())
}

pub(crate) fn ended(output: &Output, took: Duration) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took,
    }
}

/// A process of this machine.
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) command: String,
}

/// Every process that can be seen.
pub(crate) fn processes() -> Vec<Process> {
    let read = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some(Process { pid, parent, command: String::from_utf8_lossy(&command).replace('\0', " ") })
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}

/// Ends a process without asking it.
pub(crate) fn kill(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Waits for something that no event tells; at most `limit`.
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Starts a command and lets it run.
pub(crate) fn start(mut command: Command) -> Child {
    command.spawn().unwrap()
}

/// Ends a process without asking it; one that is gone already is as good.
pub(crate) fn kill_quietly(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The daemon of a home and its children.
pub(crate) fn processes_of(home: &Path) -> Vec<u32> {
    let found = canary_lab::process::kin::of_cluster(home, &home.join("cluster"));
    found.into_iter().map(|process| process.pid).collect()
}
