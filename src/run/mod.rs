//! The engine: plans the stages of a lab, runs probe, apply and verify of each step, and records events.
//!
//! [`Engine::up`] makes every stage true up to a goal and proves it; [`Engine::verify`] looks and changes nothing. What
//! happens is told as typed [`Event`]s to `runs/NNNN/events.jsonl`; each stage leaves its evidence beside them. The
//! state is saved before and after every change, so that a run that is cut off anywhere goes on from there.
//! [`Engine::reset`] takes back what later stages made and proves what stands then; [`Teardown`] takes everything away;
//! [`Bundle`] packs what explains a failure before any of it goes.

mod alone;
mod bundle;
mod engine;
mod event;
mod explain;
mod foreign;
mod interrupt;
mod journal;
mod plan;
mod reset;
mod teardown;
mod undo;

pub use bundle::{Bundle, Packed};
pub use engine::{Engine, Mode, StageOutcome, StageResult, Summary};
pub use event::Event;
pub use interrupt::Interrupt;
pub use journal::Journal;
pub use plan::Plan;
pub use reset::{ResetSummary, UndoneStage, plan_reset};
pub use teardown::{Report, Teardown};
pub use undo::{StageUndo, undo_plan};
