//! A real pseudo-terminal: the program on one side, a person's keys and eyes on the other.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::bench::Bench;

/// The keys that have no letter.
pub(crate) const ENTER: &str = "\r";
pub(crate) const ESCAPE: &str = "\x1b";
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_Z: &str = "\x1a";

/// How long the screen may take to show what is awaited; a machine with other work takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal.
pub(crate) struct Terminal {
    master: OwnedFd,
    child: Child,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    /// Everything that was written so far.
    pub(crate) written: Vec<u8>,
}

impl Terminal {
    /// Starts the tiny lab's command on a terminal of `rows` × `columns`.
    pub(crate) fn start(bench: &Bench, args: &[&str], size: (u16, u16), variables: &[(&str, &str)]) -> Self {
        Self::run(&bench.tiny_command(args), size, variables)
    }

    /// Starts it below a shell with job control, which runs `then` after the command has ended or was stopped.
    pub(crate) fn start_in_shell(bench: &Bench, args: &[&str], then: &str, size: (u16, u16)) -> Self {
        let inner = bench.tiny_command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("set -m; \"$0\" \"$@\"; {then}")]).arg(inner.get_program()).args(inner.get_args());
        shell.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::run(&shell, size, &[])
    }

    fn run(inner: &Command, (rows, columns): (u16, u16), variables: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, size(rows, columns)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            Stdio::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap())
        };
        // A session of its own whose controlling terminal this is, as a terminal program starts a shell.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8").envs(variables.iter().copied());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let (tell, bytes) = channel();
        let mut reader = File::from(master.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            // The end is an error on Linux: no side is open any more.
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 || tell.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master, child, bytes, parser: vt100::Parser::new(rows, columns, 0), written: Vec::new() }
    }

    /// Types.
    pub(crate) fn type_keys(&mut self, keys: &str) {
        File::from(self.master.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    /// The lines on the screen.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns = self.parser.screen().size().1;
        self.parser.screen().rows(0, columns).collect()
    }

    /// The screen as one text.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits until the words are on the screen.
    pub(crate) fn expect(&mut self, words: &str) {
        self.wait_for(words, |screen| screen.text().contains(words));
    }

    pub(crate) fn wait_for(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        // A page that is drawn only in part is not judged: its last lines are still those of the page before.
        while !self.is_whole() || !holds(self) {
            match self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(error) => panic!("{what}: {error:?}\n{}", self.text()),
            }
        }
    }

    /// Whether the program has ended what it began to draw (DEC private mode 2026).
    fn is_whole(&self) -> bool {
        let last = |end: u8| {
            let mark = [b"\x1b[?2026".as_slice(), &[end]].concat();
            self.written.windows(mark.len()).rposition(|window| window == mark)
        };
        last(b'l') >= last(b'h')
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        self.parser.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
    }

    /// Waits for the end; returns the exit code, and asserts that the terminal is as it was.
    pub(crate) fn ended(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        // The last to close the terminal is the program: what is read ends with it.
        loop {
            match self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end\n{}", self.text()),
            }
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        self.assert_given_back();
        code
    }

    /// Asserts that the terminal is as it was before the program took it.
    pub(crate) fn assert_given_back(&self) {
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "{modes:?}\n{}", self.text());
        let screen = self.parser.screen();
        assert!(!screen.hide_cursor(), "the cursor is there again\n{}", self.text());
        assert!(!screen.alternate_screen(), "the first screen is there again");
    }

    fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.written.extend_from_slice(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What a failed test leaves behind would hold the lab's lock.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
