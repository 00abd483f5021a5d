//! Who listens, on all addresses or on one.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::Serialize;

/// A TCP socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// `0.0.0.0`, `[::]`, or one IPv4 address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The process that holds it, where this user may see that.
    pub pid: Option<u32>,
    /// The process's name.
    pub program: Option<String>,
}

impl Listener {
    /// Whether it listens on all addresses.
    pub fn is_wildcard(&self) -> bool {
        self.address == "0.0.0.0" || self.address == "[::]"
    }

    /// Whether one of these processes holds it.
    pub fn is_of(&self, pids: &[u32]) -> bool {
        self.pid.is_some_and(|pid| pids.contains(&pid))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.program, self.pid) {
            (Some(program), Some(pid)) => write!(out, "{program} (process {pid})"),
            (None, Some(pid)) => write!(out, "process {pid}"),
            _ => write!(out, "a process of another user"),
        }
    }
}

/// Sockets that listen on 0.0.0.0 or `[::]`, from the kernel's tables; empty where there are none to read.
pub fn wildcard_listeners() -> Vec<Listener> {
    let mut listeners = listeners();
    listeners.retain(Listener::is_wildcard);
    listeners
}

/// Every listening socket of IPv4, and those of IPv6 that listen on all addresses (and so on IPv4's as well).
pub(super) fn listeners() -> Vec<Listener> {
    let read = |table| std::fs::read_to_string(table).unwrap_or_default();
    let mut found: Vec<(String, u16, u64)> = read("/proc/net/tcp").lines().skip(1).filter_map(parse).collect();
    found.extend(read("/proc/net/tcp6").lines().skip(1).filter_map(parse).filter(|(address, _, _)| address == "[::]"));
    if found.is_empty() {
        return Vec::new();
    }
    let owners = socket_owners();
    found
        .into_iter()
        .map(|(address, port, inode)| {
            let pid = owners.get(&inode).copied();
            let program = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            Listener { address, port, pid, program: program.map(|name| name.trim().to_owned()) }
        })
        .collect()
}

/// Address, port and inode of a line that describes a listening socket (state 0A). The kernel writes an address as
/// hexadecimal words in the machine's own order of bytes.
fn parse(line: &str) -> Option<(String, u16, u64)> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?.parse().ok()?;
    (state == "0A").then_some(())?;
    let address = match address.len() {
        8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes()).to_string(),
        _ if address.bytes().all(|digit| digit == b'0') => "[::]".to_owned(),
        _ => "an IPv6 address".to_owned(),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?, inode))
}

/// The process of every socket, by inode, as far as this user may look.
fn socket_owners() -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return owners };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            if let Some(inode) = std::fs::read_link(file.path()).ok().and_then(|target| socket_inode(&target)) {
                owners.insert(inode, pid);
            }
        }
    }
    owners
}

fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lines_are_read() {
        let line = "   0: 00000000:2135 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0";
        assert_eq!(parse(line), Some(("0.0.0.0".into(), 8501, 4711)));
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None, "a connection is no listener");
        let own = line.replace("00000000:2135", "0100007F:2135");
        assert_eq!(parse(&own), Some(("127.0.0.1".into(), 8501, 4711)));
        let wide = line.replace("00000000:2135", "00000000000000000000000000000000:2135");
        assert_eq!(parse(&wide), Some(("[::]".into(), 8501, 4711)));
    }
}
