//! Requests through the ingress: who answered, samples, and verdicts about splits.
//!
//! [`Ingress`] is where the gateway listens; [`Client::ask`] sends one request there and never uses a proxy. The
//! [`Oracle`] knows what each version must answer to a picture, because it ran the SavedModels itself, so an answer
//! tells by itself which version gave it. a [`Sampler`] asks many times; [`rules`] is the one table of how many times
//! and at which level; [`judge`] turns a [`Tally`] into a [`Verdict`] with the figures that a person wants to see.
//! The stages in [`crate::steps`] and the commands in [`crate::cli`] call it; it knows no provider.

mod client;
mod oracle;
pub mod rules;
mod sampling;
mod verdict;

pub use client::{Answer, AskError, Client, Ingress, Question};
pub use oracle::{Expectation, Oracle, OracleError, TOLERANCE, Who, parse_predictions, top_classes};
pub use sampling::{Plan, Sampler, Tally};
pub use verdict::{Cause, Figures, Verdict, Wanted, judge};
