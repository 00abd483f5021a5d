//! The processes that belong to one lab, found without asking any of them.
//!
//! A daemon is known by its command line, its children by the socket that their environment names. So those too are
//! found that nobody has a record of: a daemon that is still starting, a child that outlived its daemon.

use std::path::Path;

use super::ProcessIdentity;

/// Tells a child of a cluster where its mesh answers.
const SOCKET_VARIABLE: &str = "CANARY_LAB_MESH_SOCKET";

/// The daemons of a home: `canary-lab daemon --home HOME`.
pub fn daemons_of(home: &Path) -> Vec<ProcessIdentity> {
    find(|folder| is_daemon(&std::fs::read(folder.join("cmdline")).unwrap_or_default(), home))
}

/// The daemons of a home and their children, whose mesh answers in the directory `sockets`. Processes of other users
/// cannot be looked into and are none of ours.
pub fn of_cluster(home: &Path, sockets: &Path) -> Vec<ProcessIdentity> {
    find(|folder| {
        is_daemon(&std::fs::read(folder.join("cmdline")).unwrap_or_default(), home)
            || is_child(&std::fs::read(folder.join("environ")).unwrap_or_default(), sockets)
    })
}

fn find(belongs: impl Fn(&Path) -> bool) -> Vec<ProcessIdentity> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbered = processes.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((pid, entry.path()))
    });
    numbered.filter(|(_, folder)| belongs(folder)).filter_map(|(pid, _)| ProcessIdentity::of(pid)).collect()
}

fn is_daemon(command_line: &[u8], home: &Path) -> bool {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let wanted = home.as_os_str().as_encoded_bytes();
    words.get(1) == Some(&&b"daemon"[..]) && words.windows(2).any(|pair| pair[0] == b"--home" && pair[1] == wanted)
}

fn is_child(environment: &[u8], sockets: &Path) -> bool {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(SOCKET_VARIABLE.as_bytes())?.strip_prefix(b"="));
    value.is_some_and(|value| {
        let socket = Path::new(std::ffi::OsStr::new(std::str::from_utf8(value).unwrap_or_default()));
        socket.parent() == Some(sockets)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_told_by_home() {
        let home = Path::new("/a b");
        assert!(is_daemon(b"canary-lab\0daemon\0--home\0/a b\0", home));
        assert!(is_daemon(b"/x/canary-lab\0daemon\0--block\x0070\0--home\0/a b\0", home));
        assert!(!is_daemon(b"canary-lab\0daemon\0--home\0/a b/c\0", home));
        assert!(!is_daemon(b"canary-lab\0up\0--home\0/a b\0", home));
        assert!(!is_daemon(b"", home));
    }

    #[test]
    fn children_are_told_by_their_mesh() {
        let sockets = Path::new("/a/cluster");
        assert!(is_child(b"A=b\0CANARY_LAB_MESH_SOCKET=/a/cluster/mesh.sock\0", sockets));
        assert!(!is_child(b"CANARY_LAB_MESH_SOCKET=/a/b/cluster/mesh.sock\0", sockets));
        assert!(!is_child(b"A=/a/cluster/mesh.sock\0", sockets));
    }

    #[test]
    fn a_process_is_found() {
        let sockets = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env(SOCKET_VARIABLE, sockets.path().join("mesh.sock"))
            .spawn()
            .unwrap();
        let found = of_cluster(Path::new("/nowhere"), sockets.path());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<_>>(), [child.id()]);
        assert!(of_cluster(Path::new("/nowhere"), sockets.path()).is_empty());
    }
}
