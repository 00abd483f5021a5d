//! Starting and ending one child process with all that it starts itself.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::{ProcessIdentity, SANDBOX_VARIABLE, Sandbox};

/// What to start.
#[derive(Debug, Clone)]
pub struct ChildCommand {
    /// The program file.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The place it is told to live in.
    pub sandbox: Sandbox,
}

/// A child could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{}`: {source}", program.display())]
pub struct SpawnError {
    /// The program file.
    pub program: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The number that shells and container runtimes show: the code, or 128 and the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(255),
        }
    }
}

/// A running child. Dropping it kills its process group.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    identity: ProcessIdentity,
    group: Option<Pid>,
    /// Held, never written to: its end is how the child learns that this process is gone.
    lifeline: Option<ChildStdin>,
    output: Option<(ChildStdout, ChildStderr)>,
}

impl Child {
    /// Starts the command in a process group of its own, with both output streams piped to the caller.
    pub fn spawn(command: &ChildCommand) -> Result<Self, SpawnError> {
        let fail = |source| SpawnError { program: command.program.clone(), source };
        let mut process = Command::new(&command.program)
            .arg0("canary-lab")
            .args(&command.args)
            .env_clear()
            .envs(command.env.iter().map(|(name, value)| (name, value)))
            .env(SANDBOX_VARIABLE, command.sandbox.to_variable())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(fail)?;
        let pid = process.id().unwrap_or_default();
        // `wait` closes a standard input that it finds in the handle, so the lifeline is taken out of it.
        let lifeline = process.stdin.take();
        let output = process.stdout.take().zip(process.stderr.take());
        Ok(Self {
            process,
            identity: ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_time: 0 }),
            group: i32::try_from(pid).ok().and_then(Pid::from_raw),
            lifeline,
            output,
        })
    }

    /// Which process it is.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Standard output and standard error, once.
    pub fn take_output(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.output.take()
    }

    /// Closes the child's standard input, as the end of this process would.
    pub fn cut_lifeline(&mut self) {
        self.lifeline = None;
    }

    /// Asks the whole process group to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the whole process group at once (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for the process to end; safe to call again after it did, and to drop while it waits.
    pub async fn wait(&mut self) -> Exit {
        let exit = self.process.wait().await.map_or(Exit::Code(255), Exit::from);
        // Whatever the process left behind in its group goes with it, as a container's other processes do.
        self.kill();
        self.group = None;
        exit
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The only failure is that nobody is left to receive the signal.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::AsyncReadExt;

    use super::*;

    fn shell(script: &str) -> ChildCommand {
        ChildCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("GREETING".into(), "hello".into())],
            sandbox: Sandbox { bind: IpAddr::from([127, 0, 0, 1]), mounts: vec![] },
        }
    }

    async fn output_of(child: &mut Child) -> String {
        let (mut out, _) = child.take_output().unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_child_sees_its_own_environment_only() {
        let mut child = Child::spawn(&shell("echo $GREETING $HOME $CANARY_LAB_SANDBOX; exit 3")).unwrap();
        assert_eq!(output_of(&mut child).await, "hello {\"bind\":\"127.0.0.1\",\"mounts\":[]}\n");
        assert_eq!(child.wait().await, Exit::Code(3));
    }

    #[tokio::test]
    async fn killing_ends_the_whole_tree() {
        let mut child = Child::spawn(&shell("sleep 600 & echo $!; wait")).unwrap();
        let (mut out, _err) = child.take_output().unwrap();
        let mut bytes = [0_u8; 32];
        let read = out.read(&mut bytes).await.unwrap();
        let grandchild: u32 = std::str::from_utf8(&bytes[..read]).unwrap().trim().parse().unwrap();
        let identity = ProcessIdentity::of(grandchild).unwrap();
        child.terminate();
        assert_eq!(child.wait().await, Exit::Signal(15));
        // The pipe ends when the last process that holds it is gone.
        assert_eq!(out.read(&mut bytes).await.unwrap(), 0);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while identity.is_alive() {
            assert!(std::time::Instant::now() < deadline, "the grandchild lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_lifeline_ends_with_its_holder() {
        let mut child = Child::spawn(&shell("cat; echo over")).unwrap();
        let (mut out, _err) = child.take_output().unwrap();
        child.cut_lifeline();
        let mut text = String::new();
        out.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "over\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let mut command = shell("");
        command.program = "/nowhere/at-all".into();
        let error = Child::spawn(&command).unwrap_err();
        assert!(error.to_string().starts_with("cannot start `/nowhere/at-all`"), "{error}");
    }
}
