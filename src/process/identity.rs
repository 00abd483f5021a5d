//! Which process is meant: its number and the time it started.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// How often the end of a process is looked for that is not our child: no event tells of it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A process, told apart from a later one that was given the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ProcessIdentity {
    /// The process number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine booted (field 22 of `/proc/PID/stat`); 0 where the system
    /// does not tell.
    pub start_time: u64,
}

impl ProcessIdentity {
    /// The identity of the process that has this number now; `None` when there is none, or only its remains.
    pub fn of(pid: u32) -> Option<Self> {
        start_time(pid).map(|start_time| Self { pid, start_time })
    }

    /// The identity of this process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start_time: 0 })
    }

    /// Whether this very process still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal if it still runs. It may end between the look and the signal; then nothing is left to do.
    pub fn signal(self, signal: Signal) {
        let _ = self.living().map(|pid| kill_process(pid, signal));
    }

    /// Sends a signal to the process group that it leads, if it still runs.
    pub fn signal_group(self, signal: Signal) {
        let _ = self.living().map(|pid| kill_process_group(pid, signal));
    }

    /// Waits for its end; whether that came in time.
    pub async fn gone_within(self, limit: Duration) -> bool {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    fn living(self) -> Option<Pid> {
        if !self.is_alive() {
            return None;
        }
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

/// Reads the start time; a zombie counts as gone, for nothing of it runs any more.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold spaces and brackets itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Without `/proc` only the number can be asked for.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: u32) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    rustix::process::test_kill_process(pid).ok().map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_reused_number_is_not_it() {
        let me = ProcessIdentity::current();
        assert!(me.is_alive());
        assert!(me.start_time > 0 || cfg!(not(target_os = "linux")));
        let other = ProcessIdentity { start_time: me.start_time + 1, ..me };
        assert!(!other.is_alive());
    }

    #[test]
    fn the_remains_of_a_process_are_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        // The child is not waited for yet, so from its exit on it is a zombie.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while ProcessIdentity::of(pid).is_some() {
            assert!(std::time::Instant::now() < deadline, "`true` did not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(ProcessIdentity::of(pid), None);
    }
}
