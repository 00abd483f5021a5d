//! Checks of this machine and the table of reasons that every failure is explained from.
//!
//! [`Reason`] is the one table: a stable id, the layer (and so the exit code), the likely cause, the commands to go on
//! with. [`Failure`] is a reason together with what was observed; every error that reaches a person has become one.
//! [`checks`] looks at machine, tools, cluster, mesh, models and routes; [`matrix`] knows which versions go together; [`fixes`]
//! are the cures that are safe to apply. [`Situation`] tells cases of a reason apart. `docs/hints.md`, `docs/reasons.md`,
//! `docs/exit-codes.md` and `docs/checks.md` are generated from the tables, and a test keeps them current.

pub mod checks;
mod documentation;
mod failure;
pub mod fixes;
mod layer;
pub mod matrix;
mod reasons;
mod situations;

pub use documentation::{checks_page, exit_codes_page, reasons_page};
pub use failure::{Failure, Next};
pub use layer::Layer;
pub use reasons::Reason;
pub use situations::{Situation, hints_page};
