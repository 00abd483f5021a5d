//! One run of another program.

use std::ffi::{OsStr, OsString};
use std::io::{BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use thiserror::Error;

use super::trace::Trace;
use crate::ui::Environment;

/// How often it is looked whether the program has ended or is to be ended: no event tells both.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// How long output may still come from processes that a program has left behind.
const AFTERMATH: Duration = Duration::from_millis(300);
/// Output beyond this is not kept; lines still reach whoever follows.
const KEPT: usize = 8 << 20;

/// Which of a program's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A program that is there, and the environment that it is run in.
#[derive(Debug, Clone)]
pub struct Tool {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    trace: Trace,
}

/// What to run it with.
#[derive(Debug, Clone)]
pub struct Call {
    args: Vec<OsString>,
    patience: Duration,
    input: Input,
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Input {
    Nothing,
    File(PathBuf),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no result.
#[derive(Debug, Clone, Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("cannot start `{program}`: {detail}")]
    NotStarted {
        /// The program.
        program: String,
        /// The system's words.
        detail: String,
    },
    /// It did not end in time and was ended.
    #[error("`{command}` did not end within {} s and was stopped", limit.as_secs())]
    Hung {
        /// The command line.
        command: String,
        /// How long was waited.
        limit: Duration,
        /// The last lines that it wrote.
        last: Vec<String>,
    },
    /// Whoever wanted it has gone.
    #[error("`{command}` was stopped")]
    Cancelled {
        /// The command line.
        command: String,
    },
}

impl Ran {
    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// `exit 14` or `ended by a signal`.
    pub fn how(&self) -> String {
        self.code.map_or("ended by a signal".to_owned(), |code| format!("exit {code}"))
    }

    /// The last lines of both streams that say something, standard error's last.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let telling = |text: &str| -> Vec<String> {
            text.lines()
                .map(str::trim_end)
                .filter(|line| line.chars().any(char::is_alphanumeric))
                .map(str::to_owned)
                .collect()
        };
        let mut lines = telling(&self.out);
        lines.extend(telling(&self.err));
        lines.split_off(lines.len().saturating_sub(count))
    }
}

impl Call {
    /// These arguments, at most this long.
    pub fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, patience: Duration) -> Self {
        let args = args.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Self { args, patience, input: Input::Nothing, folder: None }
    }

    /// With a file as standard input.
    #[must_use]
    pub fn with_input(mut self, file: PathBuf) -> Self {
        self.input = Input::File(file);
        self
    }

    /// In this folder.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }
}

/// The program of this name on the environment's PATH.
pub fn find(name: &str, environment: &Environment) -> Option<PathBuf> {
    which::which_in(name, environment.get("PATH"), "/").ok()
}

impl Tool {
    /// A program at a path, with the variables of an environment.
    pub fn new(program: impl Into<PathBuf>, environment: &Environment, trace: Trace) -> Self {
        let environment = environment.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { program: program.into(), environment, trace }
    }

    /// The same with one variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Its file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The variables that it is run with.
    pub fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// Where its runs are shown.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The command line, as it could be typed.
    pub fn words(&self, call: &Call) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        std::iter::once(name).chain(call.args.iter().map(OsString::as_os_str)).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end, without blocking the runtime. Dropping the future ends the whole process group.
    pub async fn run(&self, call: Call) -> Result<Ran, ToolError> {
        self.follow(call, |_, _| {}).await
    }

    /// The same, and every line is handed on as soon as it is written.
    pub async fn follow(&self, call: Call, line: impl FnMut(Stream, &str) + Send + 'static) -> Result<Ran, ToolError> {
        let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
        let (tool, flag, words) = (self.clone(), Arc::clone(&cancelled.0), self.words(&call));
        let ran = tokio::task::spawn_blocking(move || tool.run_blocking(&call, &flag, line)).await;
        ran.unwrap_or(Err(ToolError::Cancelled { command: words }))
    }

    /// Runs it on this process's own terminal, in the foreground group, so that it can ask for a password; true when it
    /// ended with 0.
    pub fn run_on_terminal(&self, call: &Call) -> Result<bool, ToolError> {
        self.trace.command(&self.words(call));
        let ran = duct::cmd(&self.program, &call.args).full_env(self.environment.clone()).unchecked().run();
        ran.map(|output| output.status.success()).map_err(|error| self.not_started(&error))
    }

    fn not_started(&self, error: &std::io::Error) -> ToolError {
        ToolError::NotStarted { program: self.program.display().to_string(), detail: error.to_string() }
    }

    fn run_blocking(
        &self,
        call: &Call,
        cancelled: &AtomicBool,
        mut line: impl FnMut(Stream, &str),
    ) -> Result<Ran, ToolError> {
        let words = self.words(call);
        self.trace.command(&words);
        let started = Instant::now();
        let failed = |error: std::io::Error| self.not_started(&error);
        let (out, out_end) = std::io::pipe().map_err(failed)?;
        let (err, err_end) = std::io::pipe().map_err(failed)?;
        let mut expression = duct::cmd(&self.program, &call.args)
            .full_env(self.environment.clone())
            .stdout_file(out_end)
            .stderr_file(err_end)
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        expression = match &call.input {
            Input::Nothing => expression.stdin_null(),
            Input::File(file) => expression.stdin_path(file),
        };
        if let Some(folder) = &call.folder {
            expression = expression.dir(folder);
        }
        let handle = expression.start().map_err(failed)?;
        // The expression holds the writing ends of the pipes; with it gone their end is the program's.
        drop(expression);
        let lines = lines_of(out, err);
        let mut seen = Seen::default();
        let mut ended: Option<(Option<i32>, Instant)> = None;
        let mut asked_to_end: Option<Instant> = None;
        let mut why = None;
        loop {
            let open = match lines.recv_timeout(LOOK_EVERY) {
                Ok((stream, text)) => {
                    self.trace.output(if stream == Stream::Out { "|" } else { "!" }, &text);
                    line(stream, &text);
                    seen.keep(stream, &text);
                    true
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if ended.is_none() {
                if !open {
                    // Both streams are closed: nothing wakes this loop any more.
                    std::thread::sleep(LOOK_EVERY);
                }
                if let Ok(Some(output)) = handle.try_wait() {
                    ended = Some((output.status.code(), Instant::now()));
                }
            }
            if let Some((code, at)) = ended {
                if open && at.elapsed() < AFTERMATH {
                    continue;
                }
                let took = started.elapsed();
                if let Some(error) = why {
                    return Err(error);
                }
                let ran = Ran { code, out: seen.out, err: seen.err, took };
                self.trace.ended(&ran.how(), took);
                return Ok(ran);
            }
            match asked_to_end {
                None if cancelled.load(Ordering::Relaxed) => {
                    why = Some(ToolError::Cancelled { command: words.clone() });
                }
                None if started.elapsed() > call.patience => {
                    let last = seen.last(5);
                    why = Some(ToolError::Hung { command: words.clone(), limit: call.patience, last });
                }
                Some(at) if at.elapsed() > GRACE => signal_group(&handle.pids(), Signal::KILL),
                _ => continue,
            }
            if asked_to_end.is_none() {
                self.trace.ended("stopped", started.elapsed());
                signal_group(&handle.pids(), Signal::TERM);
                asked_to_end = Some(Instant::now());
            }
        }
    }
}

/// What was written, bounded.
#[derive(Default)]
struct Seen {
    out: String,
    err: String,
}

impl Seen {
    fn keep(&mut self, stream: Stream, line: &str) {
        let text = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        if text.len() + line.len() < KEPT {
            text.push_str(line);
            text.push('\n');
        }
    }

    fn last(&self, count: usize) -> Vec<String> {
        Ran { code: None, out: self.out.clone(), err: self.err.clone(), took: Duration::ZERO }.last_lines(count)
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lines of both streams as they come; the channel closes when both streams are at their end.
fn lines_of(out: PipeReader, err: PipeReader) -> Receiver<(Stream, String)> {
    let (sender, receiver) = channel();
    for (stream, pipe) in [(Stream::Out, out), (Stream::Err, err)] {
        let sender = sender.clone();
        std::thread::spawn(move || read_lines(stream, pipe, &sender));
    }
    receiver
}

/// A carriage return ends a line as well: that is how progress is redrawn.
fn read_lines(stream: Stream, pipe: PipeReader, sender: &Sender<(Stream, String)>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        let count = match pipe.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &chunk[..count] {
            if matches!(byte, b'\n' | b'\r') {
                if *byte == b'\n' || !line.is_empty() {
                    let _ = sender.send((stream, String::from_utf8_lossy(&line).into_owned()));
                }
                line.clear();
            } else if line.len() < KEPT {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        let _ = sender.send((stream, String::from_utf8_lossy(&line).into_owned()));
    }
}

fn signal_group(pids: &[u32], signal: Signal) {
    for pid in pids {
        if let Some(group) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            // The only failure is that nobody is left to receive it.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

fn shown(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-=:@%+,~".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::process::ProcessIdentity;
    use crate::tools::SharedWriter;

    fn shell() -> Tool {
        let environment = Environment([("PATH".into(), "/usr/bin:/bin".into())].into());
        Tool::new("/bin/sh", &environment, Trace::default())
    }

    fn script(text: &str, patience: Duration) -> Call {
        Call::new(["-c", text], patience)
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn streams_code_and_lines_are_told_apart() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let follow = move |stream, line: &str| keep.lock().unwrap().push((stream, line.to_owned()));
        let ran = shell().follow(script("echo a; printf 'b\\rc' >&2; exit 7", LONG), follow).await.unwrap();
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(7), "a\n", "b\nc\n"));
        let lines = seen.lock().unwrap();
        assert!(lines.contains(&(Stream::Out, "a".into())) && lines.contains(&(Stream::Err, "c".into())), "{lines:?}");
    }

    #[tokio::test]
    async fn what_hangs_is_ended_with_all_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let text = format!("trap '' TERM; sleep 600 & echo $! > {}; echo waiting; wait; wait", file.display());
        let error = shell().run(script(&text, Duration::from_millis(300))).await.unwrap_err();
        let ToolError::Hung { last, .. } = &error else { panic!("{error}") };
        assert_eq!(last, &["waiting"]);
        let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + LONG;
        while ProcessIdentity::of(pid).is_some() {
            assert!(Instant::now() < deadline, "the grandchild lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_daemon_left_behind_does_not_hold_the_result() {
        let started = Instant::now();
        let ran = shell().run(script("sleep 20 & echo done", LONG)).await.unwrap();
        assert_eq!(ran.out, "done\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_trace_shows_command_output_and_end() {
        #[derive(Clone)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept(Arc::default());
        let trace = Trace::to(SharedWriter::new(Box::new(kept.clone())));
        let tool = Tool::new("/bin/sh", &Environment::default(), trace);
        assert!(tool.run(script("echo 'it is'", LONG)).await.unwrap().succeeded());
        tool.trace().read("one line");
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("+ sh -c 'echo '\\''it is'\\'''\n  | it is\n  = exit 0 after 0."), "{text}");
        assert!(text.ends_with("  > read: one line\n"), "{text}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let tool = Tool::new("/nowhere/minikube", &Environment::default(), Trace::default());
        let error = tool.run(script("", LONG)).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot start `/nowhere/minikube`"), "{error}");
    }
}
