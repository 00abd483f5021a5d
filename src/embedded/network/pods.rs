//! Pod addresses: handed out in order, so that one that was just let go is not used again at once.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use super::AddressBlock;

/// The first number handed out; the two before it belong to the network and its gateway on a real node.
const FIRST: u16 = 2;
/// One past the last number of the range.
const END: u16 = 0x3ffe;

/// The pool of pod addresses of one block.
#[derive(Debug)]
pub struct PodAddresses {
    block: AddressBlock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u16,
    used: HashSet<u16>,
}

impl PodAddresses {
    /// An empty pool.
    pub fn new(block: AddressBlock) -> Self {
        Self { block, state: Mutex::new(State { next: FIRST, used: HashSet::new() }) }
    }

    /// The block whose addresses these are.
    pub fn block(&self) -> AddressBlock {
        self.block
    }

    /// Marks an address that a pod already has; `false` when it lies outside the range or belongs to another pod.
    pub fn reserve(&self, address: Ipv4Addr) -> bool {
        let Some(number) = self.block.pod_number(address) else { return false };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.used.insert(number);
        if fresh && number >= state.next {
            state.next = if number + 1 >= END { FIRST } else { number + 1 };
        }
        fresh
    }

    /// The next free address; `None` when all 16380 are in use.
    pub fn allocate(&self) -> Option<Ipv4Addr> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in FIRST..END {
            let number = state.next;
            state.next = if number + 1 >= END { FIRST } else { number + 1 };
            if state.used.insert(number) {
                return Some(self.block.pod(number));
            }
        }
        None
    }

    /// Takes an address back.
    pub fn release(&self, address: Ipv4Addr) {
        if let Some(number) = self.block.pod_number(address) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).used.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_address_rests_until_the_range_comes_round() {
        let pool = PodAddresses::new(AddressBlock::new(70).unwrap());
        let first = pool.allocate().unwrap();
        assert_eq!(first, Ipv4Addr::new(127, 70, 128, 2));
        pool.release(first);
        let rest: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(rest.len(), usize::from(END - FIRST));
        assert_eq!(rest.last(), Some(&first));
        assert_eq!(rest.iter().collect::<HashSet<_>>().len(), rest.len());
    }

    #[test]
    fn addresses_of_running_pods_are_kept_for_them() {
        let pool = PodAddresses::new(AddressBlock::new(70).unwrap());
        assert!(pool.reserve(Ipv4Addr::new(127, 70, 128, 2)));
        assert!(!pool.reserve(Ipv4Addr::new(127, 70, 128, 2)));
        assert!(!pool.reserve(Ipv4Addr::new(127, 71, 128, 3)));
        assert_eq!(pool.allocate(), Some(Ipv4Addr::new(127, 70, 128, 3)));
    }
}
