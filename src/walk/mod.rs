//! The guided walk: one screen a stage, read and done by hand or by the lab, watched and verified.
//!
//! [`Walk`] owns the terminal while it plays. One thread reads keys (`keyboard`); cluster events, the terminal's size,
//! signals and time come beside them as one stream (`inputs`), so that none waits for another. What a page says is put together
//! from values (`view`, `page`, `changes`, `proof`) and tested as lines; `play` moves from input to
//! input, `acts` does what the keys ask for. The stages
//! themselves are run by [`crate::run::Engine`], as `up` and `verify` run them.

mod acts;
mod changes;
mod inputs;
mod keyboard;
mod notice;
mod observer;
mod page;
mod play;
pub(crate) mod proof;
mod seen;
mod terminal;
mod view;

pub use play::{Ended, Walk};
pub use view::Look;
