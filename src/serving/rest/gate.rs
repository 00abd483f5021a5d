//! Who may work when: a fair queue for models, and a limit for the memory of bodies.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one unit of the memory limit.
const UNIT: usize = 4096;
/// Bodies up to this size need no share of the limit: their buffers are as small as the connection's own.
const SMALL: usize = 16 << 10;

/// Limits what requests take of the machine. First come, first served, both for running and for memory.
#[derive(Debug, Clone)]
pub struct Gate {
    running: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    units: u32,
}

/// A share of the memory limit; given back when dropped.
#[derive(Debug, Default)]
pub struct MemoryShare(Vec<OwnedSemaphorePermit>);

impl MemoryShare {
    /// Adds another share.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Gate {
    /// Lets `running` requests run a model at the same time and bodies take `memory` bytes together.
    pub fn new(running: usize, memory: usize) -> Self {
        let units = u32::try_from(memory / UNIT).unwrap_or(u32::MAX).max(1);
        Self {
            running: Arc::new(Semaphore::new(running.max(1))),
            memory: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits for a turn to run a model; the permit is given back when dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so this is always `Some`.
        Arc::clone(&self.running).acquire_owned().await.ok()
    }

    /// Waits for room for a body. One that is larger than the whole limit waits until it is alone.
    pub async fn room(&self, bytes: usize) -> MemoryShare {
        if bytes <= SMALL {
            return MemoryShare::default();
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        let permit = Arc::clone(&self.memory).acquire_many_owned(units).await;
        MemoryShare(permit.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_body_waits_for_room_and_too_large_a_one_for_all_of_it() {
        let gate = Gate::new(1, 1 << 20);
        let half = gate.room(600 << 10).await;
        let mut waiting = Box::pin(gate.room(10 << 20));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(gate.room(100).await.0.is_empty());
        drop(half);
        assert!(futures::poll!(&mut waiting).is_ready());
    }
}
