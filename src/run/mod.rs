//! The engine: plans the stages of a lab, runs probe, apply and verify of each step, and records events.

mod explain;
