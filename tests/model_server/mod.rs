//! What the tests of the model server share: small models, the built binary, and HTTP on a bare socket.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

pub mod http;
pub mod models;
pub mod process;
