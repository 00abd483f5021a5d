//! Checks of this machine and the table of reasons that every failure is explained from.
//!
//! [`Reason`] is the one table: a stable id, the layer (and so the exit code), the likely cause, the commands to go on
//! with. [`Failure`] is a reason together with what was observed; every error that reaches a person has become one.
//! [`checks`] looks at the machine before a lab is built on it.
//! [`Situation`] tells cases of a reason apart. `docs/hints.md`, `docs/reasons.md` and `docs/exit-codes.md` are generated from the table, and a test keeps them current.

pub mod checks;
mod documentation;
mod failure;
mod reasons;
mod situations;

pub use documentation::{exit_codes_page, reasons_page};
pub use failure::{Failure, Next};
pub use reasons::{Layer, Reason};
pub use situations::{Situation, hints_page};
