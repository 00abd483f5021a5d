//! Drives the built binary as a person would, on the tiny lab, each test in a home of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it meets what it did not expect")]

mod api;
mod bench;
mod crash;
mod drift;
mod faults;
mod foreign;
mod grpc;
mod hints;
mod homes;
mod kubernetes;
mod lifecycle;
mod likeness;
mod models;
mod reset;
mod screen;
mod surface;
mod teardown;
mod walk;
