//! Where a model's weights come from: what was asked for, what could be had, and what was taken.
//!
//! [`WeightsChoice`] is what `--weights` says; [`local`] and [`decide`] find out what that means for one entry of the
//! catalogue, downloading through a [`Store`] where that is needed, and says so in an [`Origin`], which is kept beside the model.
//! [`make`] then builds the model or copies it into place.

mod choice;
mod decide;
mod error;
mod find;
mod make;
mod origin;
mod store;
#[cfg(test)]
mod tests;

pub use choice::{ModelDirectory, WeightsChoice};
pub use decide::{Decision, Local, Reachability, decide, local, require_fit};
pub use error::WeightsFailure;
pub use make::make;
pub use origin::Origin;
pub use store::{Artefact, Store};
