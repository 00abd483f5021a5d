//! The kernel's list of listening sockets, asked for over a netlink socket (`sock_diag(7)`).
//!
//! The tables in `/proc/net` say the same, but reading them walks through the slots of every connection that the
//! machine could have, a few milliseconds each time; this walks through the listeners only.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::holders::ListeningSocket;

/// `AF_NETLINK` and its family `NETLINK_SOCK_DIAG`.
const NETLINK: (i32, i32) = (16, 4);
/// Message types of netlink and of its diagnostics.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// Protocol and state, as the kernel numbers them.
const TCP: u8 = 6;
const LISTEN: u32 = 10;
/// A message's header, the request after it, and the answer's fixed part.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const ANSWER: usize = 72;
/// The address families as they stand in requests and answers.
const INET: u8 = 2;
const INET6: u8 = 10;

/// All listening TCP sockets of this machine.
pub(super) fn listening() -> io::Result<Vec<ListeningSocket>> {
    let mut socket = Socket::new(Domain::from(NETLINK.0), Type::DGRAM, Some(Protocol::from(NETLINK.1)))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut found = ask(&mut socket, INET)?;
    found.extend(ask(&mut socket, INET6)?);
    Ok(found)
}

fn ask(socket: &mut Socket, family: u8) -> io::Result<Vec<ListeningSocket>> {
    let mut message = Vec::with_capacity(HEADER + REQUEST);
    message.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(DUMP.to_ne_bytes());
    // Sequence and port numbers: one question at a time needs neither.
    message.extend([0; 8]);
    message.extend([family, TCP, 0, 0]);
    message.extend((1_u32 << LISTEN).to_ne_bytes());
    message.resize(HEADER + REQUEST, 0);
    socket.write_all(&message)?;
    let mut found = vec![];
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while rest.len() >= HEADER {
            let size = u32::from_ne_bytes(bytes(rest, 0)) as usize;
            let body = rest.get(HEADER..size).ok_or(io::ErrorKind::InvalidData)?;
            match u16::from_ne_bytes(bytes(rest, 4)) {
                DONE => return Ok(found),
                ERROR => return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(bytes(body, 0)))),
                _ => found.extend(parse(body)),
            }
            // Messages begin at multiples of four bytes.
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// One answer: family, state and two timer bytes; then port and address in network order, as the socket's identity;
/// at byte 68 the inode.
fn parse(body: &[u8]) -> Option<ListeningSocket> {
    if body.len() < ANSWER {
        return None;
    }
    let port = u16::from_be_bytes(bytes(body, 4));
    let address = if body[0] == INET6 {
        let address = Ipv6Addr::from(bytes::<16>(body, 8));
        // A socket on `::ffff:127.1.2.3` listens on the IPv4 address.
        address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
    } else {
        IpAddr::V4(Ipv4Addr::from(bytes::<4>(body, 8)))
    };
    let inode = u32::from_ne_bytes(bytes(body, 68)).into();
    Some(ListeningSocket { address: SocketAddr::new(address, port), inode })
}

/// `N` bytes from a position; zeros where there are none.
fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    from.get(at..at + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_both_families() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").ok();
        let Ok(found) = listening() else {
            // A kernel without socket diagnostics: the tables in /proc are read instead.
            return;
        };
        let has = |listener: &std::net::TcpListener| {
            let address = listener.local_addr().unwrap();
            found.iter().any(|socket| socket.address == address && socket.inode > 0)
        };
        assert!(has(&four));
        assert!(six.as_ref().is_none_or(has));
    }

    #[test]
    fn short_answers_are_no_sockets() {
        assert!(parse(&[INET; ANSWER - 1]).is_none());
        assert_eq!(bytes::<4>(&[1, 2], 0), [0; 4]);
    }
}
