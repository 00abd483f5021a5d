//! JSON as the model server speaks it.
//!
//! TensorFlow Serving reads and writes JSON with RapidJSON 1.1.0, and what its clients see depends on that: the texts
//! and offsets of parse errors, `NaN` and `Infinity` as values, a byte order mark that is skipped, the first of
//! duplicate keys that wins, integers that stay integers, and a pretty printer with four blanks. This room does the
//! same from its own code. [`parse`] never recurses, so no nesting overflows the stack; [`Document`] is a flat tape,
//! so a document is dropped at once; `numbers` reads the common case, one array of numbers, without a document.
//!
//! Called by `rest/`; knows nothing of models.

mod decimal;
mod document;
mod numbers;
mod parse;
mod scan;
mod shortest;
mod write;

pub use decimal::{six_digits, write_double, write_float};
pub use document::{Document, Kind, Value, Values};
pub use numbers::{NumberArray, NumbersRequest, parse_numbers_request};
pub use parse::{MAX_DEPTH, parse};
pub use scan::{ParseError, ParseErrorKind};
pub use write::{PrettyWriter, pretty};
