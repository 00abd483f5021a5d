//! Leaving the terminal that a daemon was started from.

use std::fs::{File, OpenOptions};
use std::path::Path;

/// Makes this process the leader of a session of its own, so that no terminal's signals reach it, and moves it out of
/// whatever directory it was started in. A process that a shell runs in the foreground leads a group already and stays
/// where it is: whoever started it there wants to stop it from there.
pub(super) fn leave_terminal() {
    if rustix::process::setsid().is_ok() {
        // The directory of the terminal may be on a disk that is to be unmounted.
        let _ = rustix::process::chdir("/");
    }
}

/// Lets go of the standard output that readiness was told on; the reader sees its end.
pub(super) fn close_stdout() -> std::io::Result<()> {
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Opens a log for appending, readable by its owner only. One that grew large is put aside first.
pub(super) fn open_log(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    const LARGE: u64 = 4 * 1024 * 1024;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if std::fs::metadata(path).is_ok_and(|found| found.len() > LARGE) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
