//! What a person sees: lines, live progress, tables and failures on a terminal, in a pipe or in a log.
//!
//! [`Io`] is all that a command may touch of its process: streams, terminal, environment and clock. [`Paint`] decides
//! about colour once, [`Screen`] shows a run as plain lines plus one live line on a terminal, [`show_failure`] prints the
//! block that every failure ends with. Data goes to standard output, everything else to standard error.

mod bars;
mod failure;
mod half_blocks;
mod io;
mod markdown;
mod paint;
mod progress;
mod screen;
mod words;

pub use bars::{Share, Shares, bar};
pub use failure::show_failure;
pub use half_blocks::{Colours, half_blocks};
pub use io::{Environment, Io, Terminal};
pub use markdown::markdown;
pub use paint::{Mark, Paint};
pub use progress::Progress;
pub use screen::{LiveNote, Screen};
pub use words::{age, byte_size, duration, fold, home_relative, plural, thousands, wrap};
