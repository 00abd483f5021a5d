//! Exact statistics for traffic splits: binomial tests and Clopper-Pearson intervals.
