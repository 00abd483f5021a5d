//! The embedded API server from outside: recorded exchanges of a real kube-apiserver replayed against it, and (by hand)
//! a server alone for real kubectls.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests, and what holds is worth printing")]

mod api_server {
    mod bad_input;
    pub(crate) mod golden;
    pub(crate) mod harness;
    mod serve;
}
