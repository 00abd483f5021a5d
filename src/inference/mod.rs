//! Runs a SavedModel's graph on the CPU.
