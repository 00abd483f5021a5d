//! The engine: plans the stages of a lab, runs probe, apply and verify of each step, and records events.
//!
//! What happens is told as typed [`Event`]s to `runs/NNNN/events.jsonl`; each stage leaves its evidence beside them.

mod event;
mod explain;
mod interrupt;
mod journal;
mod plan;

pub use event::Event;
pub use interrupt::Interrupt;
pub use journal::Journal;
pub use plan::Plan;
