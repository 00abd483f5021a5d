//! The embedded API server from outside: recorded exchanges of a real kube-apiserver replayed against it, and what clients
//! can do wrong.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests, and what holds is worth printing")]

mod api_server {
    mod apply;
    mod bad_input;
    pub(crate) mod golden;
    pub(crate) mod harness;
    pub(crate) mod session;
    mod streams;
}
