//! A process that keeps another one running: the tunnel or the port-forward of a real cluster.
//!
//! The keeper is this program in the background, in a session of its own. It starts the command in a process group of the
//! command's own, writes what it says to a log, starts it again with a growing pause when it ends, and ends the whole group
//! when it is asked to end itself. Who it is stands in a file of the home.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::process::ProcessIdentity;
use crate::state::{Home, write_atomically};

/// The pause before the first restart; each later one is twice as long, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// A command that ran this long was fine, and its next end starts the pauses anew.
const SETTLED: Duration = Duration::from_secs(30);
/// How long the command may take to clean up behind itself; `minikube tunnel` takes routes away.
const GRACE: Duration = Duration::from_secs(5);
/// A log larger than this is begun anew.
const LARGE_LOG: u64 = 4 << 20;

/// What a keeper writes down of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The keeper.
    pub keeper: ProcessIdentity,
    /// What it keeps.
    pub command: Vec<String>,
    /// The command's process, when it runs.
    pub child: Option<ProcessIdentity>,
    /// How often it was started again.
    pub restarts: u32,
}

/// The keeper of a home.
#[derive(Debug, Clone)]
pub struct Keeper {
    record: PathBuf,
    log: PathBuf,
}

impl Keeper {
    /// The keeper of this home, running or not.
    pub fn of(home: &Home) -> Self {
        Self { record: home.cluster().join("tunnel.json"), log: home.cluster().join("tunnel.log") }
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log that say something.
    pub fn last_words(&self, count: usize) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// The running keeper's record.
    pub fn running(&self) -> Option<Record> {
        let record: Record = serde_json::from_slice(&std::fs::read(&self.record).ok()?).ok()?;
        record.keeper.is_alive().then_some(record)
    }

    /// The processes that it is made of.
    pub fn processes(&self) -> Vec<u32> {
        let Some(record) = self.running() else { return Vec::new() };
        let child = record.child.filter(|child| child.is_alive()).map(|child| child.pid);
        std::iter::once(record.keeper.pid).chain(child).collect()
    }

    /// Starts a keeper for this command, after ending one that keeps another.
    pub async fn start(
        &self,
        program: &Path,
        home: &Home,
        command: &[String],
        environment: &[(OsString, OsString)],
    ) -> io::Result<()> {
        if let Some(record) = self.running() {
            if record.command == command {
                return Ok(());
            }
            self.stop().await?;
        }
        std::fs::create_dir_all(home.cluster())?;
        let log = self.open_log()?;
        let mut keeper = tokio::process::Command::new(program)
            .arg("keep")
            .arg("--home")
            .arg(home.root())
            .arg("--")
            .args(command)
            .env_clear()
            .envs(environment.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        // The keeper closes its output when its record is written: from then on it can be found and ended.
        let mut output = keeper.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        tokio::io::AsyncReadExt::read_to_end(&mut output, &mut Vec::new()).await?;
        self.running().map(|_| ()).ok_or_else(|| io::Error::other("it ended at once"))
    }

    /// Asks it to end, with what it keeps, and waits until both are gone; what could not be ended is named.
    pub async fn stop(&self) -> io::Result<Vec<String>> {
        let Some(record) = self.running() else {
            let _ = std::fs::remove_file(&self.record);
            return Ok(Vec::new());
        };
        let mut left = Vec::new();
        record.keeper.signal(Signal::TERM);
        if !record.keeper.gone_within(GRACE * 2).await {
            record.keeper.signal(Signal::KILL);
            if !record.keeper.gone_within(GRACE).await {
                left.push(format!("process {}", record.keeper.pid));
            }
        }
        // A keeper that was killed leaves its child.
        if let Some(child) = record.child.filter(|child| child.is_alive()) {
            child.signal_group(Signal::TERM);
            if !child.gone_within(GRACE).await {
                child.signal_group(Signal::KILL);
                if !child.gone_within(GRACE).await {
                    left.push(format!("process {}", child.pid));
                }
            }
        }
        let _ = std::fs::remove_file(&self.record);
        Ok(left)
    }

    fn open_log(&self) -> io::Result<File> {
        if std::fs::metadata(&self.log).is_ok_and(|found| found.len() > LARGE_LOG) {
            std::fs::rename(&self.log, self.log.with_extension("log.1"))?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)
    }

    /// The keeper's own life, in its process.
    pub async fn keep(&self, command: &[String]) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let _ = rustix::process::setsid();
        let mut ends =
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
        let mut record =
            Record { keeper: ProcessIdentity::current(), command: command.to_vec(), child: None, restarts: 0 };
        let [terminate, interrupt, hangup] = &mut ends;
        let mut told = false;
        let mut pause = PAUSE;
        loop {
            let started = Instant::now();
            let mut child = self.spawn(command)?;
            record.child = child.id().and_then(ProcessIdentity::of);
            self.write(&record)?;
            if !std::mem::replace(&mut told, true) {
                let null = OpenOptions::new().write(true).open("/dev/null")?;
                rustix::stdio::dup2_stdout(&null)?;
            }
            let ended = tokio::select! {
                status = child.wait() => status?,
                _ = terminate.recv() => return self.end(record.child).await,
                _ = interrupt.recv() => return self.end(record.child).await,
                _ = hangup.recv() => return self.end(record.child).await,
            };
            // Whatever the command left behind in its group goes before it is started again.
            if let Some(group) = record.child.and_then(|child| Pid::from_raw(i32::try_from(child.pid).ok()?)) {
                let _ = kill_process_group(group, Signal::TERM);
            }
            if started.elapsed() > SETTLED {
                pause = PAUSE;
            }
            self.say(&format!(
                "`{}` ended with {ended}; starting it again in {:.1}s",
                command.join(" "),
                pause.as_secs_f64()
            ));
            record.child = None;
            record.restarts += 1;
            self.write(&record)?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn spawn(&self, command: &[String]) -> io::Result<tokio::process::Child> {
        let (program, args) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let log = self.open_log()?;
        tokio::process::Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Ends the child as Ctrl-C would, so that it cleans up behind itself.
    async fn end(&self, child: Option<ProcessIdentity>) -> io::Result<()> {
        if let Some(child) = child {
            for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
                child.signal_group(signal);
                if child.gone_within(GRACE).await {
                    break;
                }
            }
        }
        Ok(())
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        write_atomically(&self.record, &serde_json::to_vec(record)?)
    }

    fn say(&self, text: &str) {
        // A log that cannot be written is no reason to stop keeping.
        let _ =
            self.open_log().and_then(|mut log| io::Write::write_all(&mut log, format!("[keeper] {text}\n").as_bytes()));
    }
}
