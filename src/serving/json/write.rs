//! Writing, laid out as RapidJSON's `PrettyWriter` lays it out.

use std::io::Write as _;

use super::decimal::{write_double, write_float, write_shortest};
use super::document::{Node, Value};

/// How long the text of a value in an error may become. TensorFlow Serving 2.5.1 has no limit; what is cut off here
/// is beyond any answer that a client could use, and a nested value could grow with the square of its size.
const LONGEST_VALUE: usize = 64 << 20;

/// Writes JSON with four blanks per level. While [`PrettyWriter::single_line_arrays`] is on, arrays stay on one line.
#[derive(Debug, Default)]
pub struct PrettyWriter {
    target: Vec<u8>,
    /// Per open container: whether it is an array, and how many values (names included) it has.
    levels: Vec<(bool, usize)>,
    single_line: bool,
}

impl PrettyWriter {
    /// A writer that has room for about that many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { target: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Whether arrays from here on are written on one line.
    pub fn single_line_arrays(&mut self, on: bool) {
        self.single_line = on;
    }

    /// The text.
    pub fn finish(self) -> Vec<u8> {
        self.target
    }

    fn newline(&mut self) {
        self.target.push(b'\n');
        self.target.resize(self.target.len() + 4 * self.levels.len(), b' ');
    }

    fn prefix(&mut self) {
        let Some((in_array, count)) = self.levels.last_mut() else { return };
        let (in_array, before) = (*in_array, std::mem::replace(count, *count + 1));
        if in_array {
            if before > 0 {
                self.target.push(b',');
                if self.single_line {
                    self.target.push(b' ');
                }
            }
            if !self.single_line {
                self.newline();
            }
        } else if before % 2 == 1 {
            self.target.extend_from_slice(b": ");
        } else {
            if before > 0 {
                self.target.push(b',');
            }
            self.newline();
        }
    }

    /// Opens an object.
    pub fn start_object(&mut self) {
        self.prefix();
        self.levels.push((false, 0));
        self.target.push(b'{');
    }

    /// Closes the innermost container, an object.
    pub fn end_object(&mut self) {
        if self.levels.pop().is_some_and(|(_, count)| count > 0) {
            self.newline();
        }
        self.target.push(b'}');
    }

    /// Opens an array.
    pub fn start_array(&mut self) {
        self.prefix();
        self.levels.push((true, 0));
        self.target.push(b'[');
    }

    /// Closes the innermost container, an array.
    pub fn end_array(&mut self) {
        if self.levels.pop().is_some_and(|(_, count)| count > 0) && !self.single_line {
            self.newline();
        }
        self.target.push(b']');
    }

    /// A string, or a member's name. Bytes that are not UTF-8 pass as they are.
    pub fn string(&mut self, text: &[u8]) {
        self.prefix();
        write_string(text, &mut self.target);
    }

    /// An integer.
    pub fn integer(&mut self, value: impl std::fmt::Display) {
        self.prefix();
        let _ = write!(self.target, "{value}");
    }

    /// A 32-bit float, as [`write_float`] prints it.
    pub fn float(&mut self, value: f32) {
        self.prefix();
        write_float(value, &mut self.target);
    }

    /// A double, as [`write_double`] prints it.
    pub fn double(&mut self, value: f64) {
        self.prefix();
        write_double(value, &mut self.target);
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.prefix();
        self.target.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn null(&mut self) {
        self.prefix();
        self.target.extend_from_slice(b"null");
    }
}

fn write_string(text: &[u8], target: &mut Vec<u8>) {
    target.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1F | b'"' | b'\\')) {
        target.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => target.extend_from_slice(b"\\\""),
            b'\\' => target.extend_from_slice(b"\\\\"),
            0x08 => target.extend_from_slice(b"\\b"),
            0x0C => target.extend_from_slice(b"\\f"),
            b'\n' => target.extend_from_slice(b"\\n"),
            b'\r' => target.extend_from_slice(b"\\r"),
            b'\t' => target.extend_from_slice(b"\\t"),
            control => {
                let _ = write!(target, "\\u{control:04X}");
            }
        }
        rest = &rest[at + 1..];
    }
    target.extend_from_slice(rest);
    target.push(b'"');
}

/// The text of a value as error messages show it.
///
/// A number on its own is printed as results are; inside arrays and objects RapidJSON prints it, which gives up at
/// `NaN` and the infinities, so the text breaks off there.
pub fn pretty(value: Value<'_>) -> Vec<u8> {
    if let Node::Double(number) = value.node() {
        let mut text = Vec::new();
        if (-3.402_823_4e38..=3.402_823_4e38).contains(&number) {
            write_float(number as f32, &mut text);
        } else {
            write_double(number, &mut text);
        }
        return text;
    }
    let document = value.document();
    let mut writer = PrettyWriter::default();
    let mut open: Vec<(usize, bool)> = Vec::new();
    let end = value.end();
    for index in value.index()..end {
        while let Some(&(_, array)) = open.last().filter(|(container_end, _)| *container_end == index) {
            open.pop();
            if array { writer.end_array() } else { writer.end_object() }
        }
        if writer.target.len() > LONGEST_VALUE {
            return writer.finish();
        }
        match document.nodes[index] {
            Node::Null => writer.null(),
            Node::False => writer.boolean(false),
            Node::True => writer.boolean(true),
            Node::Unsigned(number) => writer.integer(number),
            Node::Negative(number) => writer.integer(number),
            Node::Double(number) => {
                writer.prefix();
                if !number.is_finite() {
                    return writer.finish();
                }
                write_shortest(number, &mut writer.target);
            }
            Node::String { start, length } => {
                let start = start as usize;
                writer.string(&document.strings[start..start + length as usize]);
            }
            Node::Array { end, .. } => {
                writer.start_array();
                open.push((end as usize, true));
            }
            Node::Object { end, .. } => {
                writer.start_object();
                open.push((end as usize, false));
            }
        }
    }
    while let Some((_, array)) = open.pop() {
        if array { writer.end_array() } else { writer.end_object() }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::json::parse;

    fn printed(text: &str) -> String {
        String::from_utf8(pretty(parse(text.as_bytes()).unwrap().root())).unwrap()
    }

    #[test]
    fn doubles_inside_a_value_are_printed_by_the_shortest_rule() {
        let text = printed("[0.1, 1e30, 1.5e-7, 100000000000000000000.0, 0.000001, 1e21, -2.0]");
        let expected = ["0.1", "1e30", "1.5e-7", "100000000000000000000.0", "0.000001", "1e21", "-2.0"];
        let lines: Vec<&str> = text.lines().skip(1).map(|line| line.trim().trim_end_matches(',')).collect();
        assert_eq!(lines[..7], expected);
    }

    #[test]
    fn a_number_alone_is_printed_like_a_result_and_nan_inside_breaks_off() {
        assert_eq!(printed("9000000.0"), "9e+06");
        assert_eq!(printed("1e300"), "1e+300");
        assert_eq!(printed("NaN"), "NaN");
        assert_eq!(printed("[1, NaN, 2]"), "[\n    1,\n    ");
    }

    #[test]
    fn single_line_arrays_close_without_a_line_break() {
        let mut writer = PrettyWriter::default();
        writer.start_array();
        writer.single_line_arrays(true);
        writer.start_array();
        writer.integer(1);
        writer.integer(2);
        writer.end_array();
        writer.single_line_arrays(false);
        writer.end_array();
        assert_eq!(String::from_utf8(writer.finish()).unwrap(), "[[1, 2]\n]");
    }
}
