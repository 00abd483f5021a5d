//! Who listens on a TCP port, with the process named where its files may be seen.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::socket_diag;

/// A listening socket and the process behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortHolder {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process number; `None` when the process belongs to another user.
    pub pid: Option<u32>,
    /// The process's name.
    pub name: Option<String>,
}

impl std::fmt::Display for PortHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, self.pid) {
            (Some(name), Some(pid)) => write!(f, "{name} (pid {pid}) on {}", self.address),
            (None, Some(pid)) => write!(f, "pid {pid} on {}", self.address),
            _ => write!(f, "a process of another user on {}", self.address),
        }
    }
}

/// Whoever listens on this port on all addresses, and so on every 127.x address as well.
pub fn wildcard(port: u16) -> Option<PortHolder> {
    holder(|address| address.port() == port && address.ip().is_unspecified())
}

/// Whoever keeps this address from being bound: its listener, or one on all addresses.
pub fn of(wanted: SocketAddr) -> Option<PortHolder> {
    holder(|address| *address == wanted).or_else(|| wildcard(wanted.port()))
}

/// All addresses on which somebody listens; `None` where the system has no socket table to read.
pub fn listening() -> Option<HashSet<SocketAddr>> {
    cfg!(target_os = "linux").then(|| sockets().into_iter().map(|socket| socket.address).collect())
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    pub(super) address: SocketAddr,
    /// Its number in the kernel's file system of sockets; a process that has it open shows this number.
    pub(super) inode: u64,
}

fn holder(matches: impl Fn(&SocketAddr) -> bool) -> Option<PortHolder> {
    let socket = sockets().into_iter().find(|socket| matches(&socket.address))?;
    let owner = owner_of(socket.inode);
    Some(PortHolder {
        address: socket.address,
        pid: owner.as_ref().map(|(pid, _)| *pid),
        name: owner.map(|(_, name)| name).filter(|name| !name.is_empty()),
    })
}

fn sockets() -> Vec<ListeningSocket> {
    socket_diag::listening().unwrap_or_else(|_| tables())
}

/// The same from the tables in `/proc`, for kernels without socket diagnostics.
fn tables() -> Vec<ListeningSocket> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(parse_line).collect::<Vec<_>>())
        .collect()
}

/// One line of the table: number, local address, remote address, state, queues, timers, retransmits, user, timeout,
/// inode. The state of a listening socket is 0A.
fn parse_line(line: &str) -> Option<ListeningSocket> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    if state != "0A" {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    Some(ListeningSocket {
        address: SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?),
        inode,
    })
}

/// The kernel prints an address as 32-bit words in the machine's own byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(hex)?))),
        32 => {
            let mut bytes = [0_u8; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(hex.get(index * 8..index * 8 + 8)?)?);
            }
            let address = Ipv6Addr::from(bytes);
            // A socket on `::ffff:127.1.2.3` listens on the IPv4 address.
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}

/// Looks for the process that has the socket open; files of other users' processes cannot be read.
fn owner_of(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if has_open(&entry.path().join("fd"), &wanted) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

fn has_open(descriptors: &Path, wanted: &str) -> bool {
    std::fs::read_dir(descriptors).is_ok_and(|entries| {
        entries.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = of(address).unwrap();
        assert_eq!(holder.address, address);
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(listening().unwrap().contains(&address));
        assert!(tables().iter().any(|socket| socket.address == address), "the tables say the same");
        drop(listener);
        assert!(!listening().unwrap().contains(&address));
    }

    #[test]
    fn a_wildcard_listener_holds_every_loopback_address() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = SocketAddr::from(([127, 99, 128, 5], port));
        let holder = of(wanted).unwrap();
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(holder.to_string().contains(&format!("(pid {})", std::process::id())), "{holder}");
        assert!(std::net::TcpListener::bind(wanted).is_err());
    }

    #[test]
    fn lines_of_the_table_are_understood() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1";
        let socket = parse_line(line).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(socket.address, "127.0.0.1:8080".parse().unwrap());
        }
        assert_eq!(socket.inode, 4242);
        assert!(parse_line(&line.replace(" 0A ", " 01 ")).is_none());
        assert_eq!(parse_address(&"0".repeat(32)), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    }
}
