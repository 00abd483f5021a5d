//! Exact statistics for traffic splits.
//!
//! A split is judged by the exact two-sided binomial test, shown with a Clopper-Pearson interval, and published with
//! what the sample could have caught: without that number a PASS says little. Nothing here approximates by a normal
//! distribution, because at 0 % and 100 % that approximation is wrong. Conventions are those of R's `binom.test`
//! and scipy's `binomtest`. Called by [`crate::traffic`] for verdicts and by reports.

mod binomial;

pub use binomial::{Sample, acceptance, clopper_pearson, detectable_deviation, stray_bound, two_sided_p};
