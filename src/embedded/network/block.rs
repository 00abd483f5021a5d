//! The loopback addresses of one lab: a block 127.N.0.0/16 and who may have it.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::holders::{self, PortHolder};

/// The first block a lab may claim.
const FIRST: u8 = 64;
/// The last block a lab may claim.
const LAST: u8 = 126;
/// Who holds this port on 127.N.0.1 holds the block. It lies below the range that systems hand out by themselves.
const CLAIM_PORT: u16 = 17764;

/// The address plan of one block; every address of a lab is computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressBlock(u8);

impl AddressBlock {
    /// The block 127.`number`.0.0/16; `None` outside 64 to 126.
    pub fn new(number: u8) -> Option<Self> {
        (FIRST..=LAST).contains(&number).then_some(Self(number))
    }

    /// The second number of every address in it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Where the claim is held and where the ingress gateway answers while the tunnel runs.
    pub fn external(self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The external address of the load balancer service with this number; number 0 is [`Self::external`].
    pub fn external_of(self, number: u8) -> Ipv4Addr {
        if number == 0 { self.external() } else { self.address(1, number) }
    }

    /// The node: API server and node ports.
    pub fn node(self) -> Ipv4Addr {
        self.address(0, 2)
    }

    /// The ClusterIP with this number, 0 to 4095; the Service `kubernetes` has number 1.
    pub fn cluster_ip(self, number: u16) -> Ipv4Addr {
        let number = number & 0x0fff;
        self.address(16 + (number >> 8) as u8, number as u8)
    }

    /// The number of a ClusterIP; `None` for an address outside 127.N.16.0/20.
    pub fn cluster_ip_number(self, address: Ipv4Addr) -> Option<u16> {
        let [a, b, c, d] = address.octets();
        (a == 127 && b == self.0 && (16..32).contains(&c)).then(|| u16::from(c - 16) << 8 | u16::from(d))
    }

    /// The pod address with this number, 0 to 16383.
    pub fn pod(self, number: u16) -> Ipv4Addr {
        let number = number & 0x3fff;
        self.address(128 + (number >> 8) as u8, number as u8)
    }

    /// The number of a pod address; `None` for an address outside 127.N.128.0/18.
    pub fn pod_number(self, address: Ipv4Addr) -> Option<u16> {
        let [a, b, c, d] = address.octets();
        (a == 127 && b == self.0 && (128..192).contains(&c)).then(|| u16::from(c - 128) << 8 | u16::from(d))
    }

    /// Where the application of an injected pod listens, out of sight behind its sidecar.
    pub fn hidden(self, pod: Ipv4Addr) -> Ipv4Addr {
        let [_, _, c, d] = pod.octets();
        self.address(c.saturating_add(64), d)
    }

    /// The same place in this block for an address of another block; other addresses stay as they are.
    pub fn moved(self, address: Ipv4Addr) -> Ipv4Addr {
        match address.octets() {
            [127, b, c, d] if (FIRST..=LAST).contains(&b) => self.address(c, d),
            _ => address,
        }
    }

    fn address(self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, third, fourth)
    }
}

impl std::fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "127.{}.0.0/16", self.0)
    }
}

/// A held block. The block is free again when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct BlockClaim {
    block: AddressBlock,
    _socket: Socket,
}

/// No block could be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The one that was asked for is taken.
    #[error("address block {block} is in use by another lab{}", holder.as_ref().map(|by| format!(" ({by})")).unwrap_or_default())]
    Taken {
        /// The block that was asked for.
        block: AddressBlock,
        /// Who holds it, where that can be seen.
        holder: Option<PortHolder>,
    },
    /// Somebody listens on the claim's port on every address of the machine.
    #[error("port {CLAIM_PORT} is held on all addresses by {0}, so no address block can be claimed")]
    HeldByWildcard(PortHolder),
    /// Every block is taken.
    #[error("all address blocks from 127.{FIRST}.0.0/16 to 127.{LAST}.0.0/16 are in use by other labs")]
    Exhausted,
    /// The system refused for another reason.
    #[error("cannot bind {address}: {source}")]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BlockClaim {
    /// Claims `exactly` one block; or else the `preferred` one when it is free, and any free one otherwise.
    pub fn take(exactly: Option<AddressBlock>, preferred: Option<AddressBlock>) -> Result<Self, ClaimError> {
        if let Some(block) = exactly {
            return Self::try_one(block)?.ok_or_else(|| ClaimError::Taken {
                block,
                holder: holders::of(SocketAddr::from(claim_address(block))),
            });
        }
        let candidates = preferred.into_iter().chain((FIRST..=LAST).map(AddressBlock));
        for block in candidates {
            if let Some(claim) = Self::try_one(block)? {
                return Ok(claim);
            }
        }
        Err(match holders::wildcard(CLAIM_PORT) {
            Some(holder) => ClaimError::HeldByWildcard(holder),
            None => ClaimError::Exhausted,
        })
    }

    /// Which block is held.
    pub fn block(&self) -> AddressBlock {
        self.block
    }

    /// Binds the claim's socket; `None` when somebody else has it.
    fn try_one(block: AddressBlock) -> Result<Option<Self>, ClaimError> {
        let address = SocketAddr::from(claim_address(block));
        // No SO_REUSEADDR: with it, two bound sockets that do not listen would live side by side.
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
            socket.bind(&address.into())?;
            socket.listen(1)?;
            Ok(socket)
        });
        match bound {
            Ok(socket) => Ok(Some(Self { block, _socket: socket })),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
            Err(source) => Err(ClaimError::Bind { address, source }),
        }
    }
}

fn claim_address(block: AddressBlock) -> (Ipv4Addr, u16) {
    (block.external(), CLAIM_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_where_the_plan_says() {
        let block = AddressBlock::new(77).unwrap();
        let cases = [
            (block.external(), [127, 77, 0, 1]),
            (block.external_of(3), [127, 77, 1, 3]),
            (block.node(), [127, 77, 0, 2]),
            (block.cluster_ip(1), [127, 77, 16, 1]),
            (block.cluster_ip(4095), [127, 77, 31, 255]),
            (block.pod(2), [127, 77, 128, 2]),
            (block.pod(16383), [127, 77, 191, 255]),
            (block.hidden(block.pod(16383)), [127, 77, 255, 255]),
            (block.moved(Ipv4Addr::new(127, 64, 16, 9)), [127, 77, 16, 9]),
            (block.moved(Ipv4Addr::LOCALHOST), [127, 0, 0, 1]),
        ];
        for (address, octets) in cases {
            assert_eq!(address, Ipv4Addr::from(octets));
        }
        assert_eq!(block.cluster_ip_number(block.cluster_ip(700)), Some(700));
        assert_eq!(block.pod_number(block.pod(700)), Some(700));
        assert_eq!(block.pod_number(block.cluster_ip(700)), None);
        assert!(AddressBlock::new(63).is_none() && AddressBlock::new(127).is_none());
    }

    #[test]
    fn a_block_belongs_to_one_until_it_is_let_go() {
        // Other labs may run on this machine, so the test asks for any block first.
        let first = BlockClaim::take(None, AddressBlock::new(120)).unwrap();
        let second = BlockClaim::take(None, Some(first.block())).unwrap();
        assert_ne!(first.block(), second.block());
        let refused = BlockClaim::take(Some(first.block()), None).unwrap_err();
        assert!(matches!(refused, ClaimError::Taken { block, .. } if block == first.block()), "{refused}");
        let block = first.block();
        drop(first);
        assert_eq!(BlockClaim::take(None, Some(block)).unwrap().block(), block);
    }
}
