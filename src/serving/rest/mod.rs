//! The REST interface: TensorFlow Serving's URLs, bodies, texts and headers, over HTTP/1.1.
//!
//! A request goes through `route` (which call is it?), one of `predict`, `classify`, `status` and `metadata`
//! (what does its body say?), a call into `service/`, and back into JSON. All of that is `Api::answer`, a function of
//! method, target and body; `server` does the HTTP around it.

mod api;
mod body;
mod classify;
mod error_page;
mod gate;
mod metadata;
mod predict;
mod protobuf_json;
mod response;
mod route;
pub(super) mod server;
mod socket;
mod status;

pub use api::{Answer, Api, Context, Speaker};
pub use gate::{Gate, MemoryShare};
