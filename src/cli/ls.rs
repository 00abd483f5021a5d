//! `ls`: the labs that run on this machine.

use std::path::PathBuf;

use serde::Serialize;

use super::Output;
use super::context::Context;
use crate::doctor::Failure;
use crate::ui::home_relative;

/// Lists the labs that run on this machine, of every user whose processes are visible
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// A running lab.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Running {
    home: PathBuf,
    pid: u32,
    user: u32,
}

pub(super) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let labs = running();
    if context.output == Output::Json {
        return context.say_json(&labs);
    }
    if labs.is_empty() {
        return context.remark("no lab runs on this machine; `canary-lab up` starts one");
    }
    context.say(&format!("{:>8}  {:>6}  HOME", "PID", "USER"))?;
    let user_home = context.user_home();
    for lab in labs {
        context.say(&format!("{:>8}  {:>6}  {}", lab.pid, lab.user, home_relative(&lab.home, user_home.as_deref())))?;
    }
    Ok(())
}

/// A lab runs where its daemon does; the daemon's command line names the home.
fn running() -> Vec<Running> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut labs: Vec<Running> = processes
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let home = daemon_home(&std::fs::read(entry.path().join("cmdline")).ok()?)?;
            Some(Running { home, pid, user: owner(&entry) })
        })
        .collect();
    labs.sort_by_key(|lab| lab.pid);
    labs
}

#[cfg(unix)]
fn owner(entry: &std::fs::DirEntry) -> u32 {
    use std::os::unix::fs::MetadataExt;
    entry.metadata().map_or(0, |metadata| metadata.uid())
}

#[cfg(not(unix))]
fn owner(_entry: &std::fs::DirEntry) -> u32 {
    0
}

/// The home in `canary-lab daemon --home DIR`.
fn daemon_home(command_line: &[u8]) -> Option<PathBuf> {
    let mut words = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next()?;
    let is_ours = std::path::Path::new(program.as_ref()).file_name()?.to_str()? == "canary-lab";
    let words: Vec<_> = words.collect();
    let is_daemon = words.first().is_some_and(|word| word == "daemon");
    let home = words.iter().position(|word| word == "--home").and_then(|at| words.get(at + 1))?;
    (is_ours && is_daemon).then(|| PathBuf::from(home.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_daemons_are_labs() {
        assert_eq!(daemon_home(b"/x/canary-lab\0daemon\0--home\0/a b\0"), Some(PathBuf::from("/a b")));
        assert_eq!(daemon_home(b"canary-lab\0daemon\0--block\x0070\0--home\0/a\0"), Some(PathBuf::from("/a")));
        assert_eq!(daemon_home(b"canary-lab\0up\0--home\0/a\0"), None);
        assert_eq!(daemon_home(b"grep\0daemon\0--home\0/a\0"), None);
        assert_eq!(daemon_home(b""), None);
    }
}
