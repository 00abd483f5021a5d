//! What a home remembers: the versioned state file, its lock, the inventory of objects and the history of runs.
//!
//! The state is a hint and a history, never the truth: every step looks at the world again. It is written whole and
//! atomically ([`StateFile::save`]), by the one process that holds the [`Lock`]. A file that this version did not write
//! is never overwritten: damaged or foreign ones are kept aside under a new name, newer ones are refused.

mod home;
mod inventory;
mod lock;
mod record;
mod store;

pub(crate) use home::entries;
pub use home::{HOME_VARIABLE, Home, HomeError};
pub use inventory::{Creator, Item};
pub use lock::{Holder, Lock, LockError};
pub use record::{Place, StageRecord, StageStanding, State};
pub(crate) use store::write_atomically;
pub use store::{Aside, AsideReason, Loaded, StateError, StateFile};
