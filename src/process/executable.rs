//! Which file this program runs from.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The kernel's own link to this process's program, which holds even when the file was replaced or removed.
const LINK: &str = "/proc/self/exe";

/// The file to start this very program from again: by its path, so that process lists show its name, or by the
/// kernel's link when another file stands at the path by now.
pub fn own_program() -> PathBuf {
    let by_path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(LINK));
    match (std::fs::metadata(&by_path), std::fs::metadata(LINK)) {
        (Ok(found), Ok(running)) if (found.dev(), found.ino()) == (running.dev(), running.ino()) => by_path,
        (_, Ok(_)) => Path::new(LINK).to_owned(),
        // There is no such link on this system.
        (_, Err(_)) => by_path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_test_is_found_by_its_path() {
        let program = own_program();
        assert_eq!(program, std::env::current_exe().unwrap());
        assert!(program.is_file());
    }
}
