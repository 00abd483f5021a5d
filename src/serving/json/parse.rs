//! Reading a whole document, without recursion.

use super::document::{Document, Node};
use super::scan::{ParseError, ParseErrorKind, Scanner};

/// How deep arrays and objects may nest. RapidJSON recurses and has no limit but its stack, which it overflows
/// somewhere beyond this depth.
pub const MAX_DEPTH: usize = 10_000;

/// Reads a JSON text as RapidJSON 1.1.0 does with `kParseNanAndInfFlag`.
///
/// An empty text is an error here too; TensorFlow Serving words that case itself, without an offset.
pub fn parse(text: &[u8]) -> Result<Document, ParseError> {
    let mut parser = Parser { scanner: Scanner::new(text), document: Document::default(), open: Vec::new() };
    parser.document()?;
    Ok(parser.document)
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    document: Document,
    /// The containers around the current position: the tape's index, and how many elements or members are complete.
    open: Vec<(u32, u32)>,
}

/// Where the reader stands after a step.
enum Next {
    /// At the beginning of a value.
    Value,
    /// Behind a complete value.
    Done,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), ParseError> {
        self.scanner.skip_whitespace();
        if self.scanner.peek() == 0 {
            return Err(self.scanner.error(ParseErrorKind::DocumentEmpty));
        }
        let mut next = Next::Value;
        loop {
            next = match next {
                Next::Value => self.value()?,
                Next::Done => match self.open.last().copied() {
                    None => break,
                    Some((container, complete)) => self.after_value(container, complete + 1)?,
                },
            };
        }
        self.scanner.skip_whitespace();
        if self.scanner.peek() == 0 { Ok(()) } else { Err(self.scanner.error(ParseErrorKind::DocumentRootNotSingular)) }
    }

    fn value(&mut self) -> Result<Next, ParseError> {
        let node = match self.scanner.peek() {
            b'n' => self.scanner.literal(b"null", Node::Null)?,
            b't' => self.scanner.literal(b"true", Node::True)?,
            b'f' => self.scanner.literal(b"false", Node::False)?,
            b'"' => return self.string().map(|()| Next::Done),
            b'[' => {
                self.enter(Node::Array { length: 0, end: 0 })?;
                return Ok(if self.scanner.consume(b']') { self.leave(0) } else { Next::Value });
            }
            b'{' => {
                self.enter(Node::Object { length: 0, end: 0 })?;
                if self.scanner.consume(b'}') {
                    return Ok(self.leave(0));
                }
                return self.member_name();
            }
            _ => self.scanner.number()?,
        };
        self.document.nodes.push(node);
        Ok(Next::Done)
    }

    fn after_value(&mut self, container: u32, complete: u32) -> Result<Next, ParseError> {
        self.scanner.skip_whitespace();
        if let Some(top) = self.open.last_mut() {
            top.1 = complete;
        }
        let in_array = matches!(self.document.nodes[container as usize], Node::Array { .. });
        if self.scanner.consume(b',') {
            self.scanner.skip_whitespace();
            return if in_array { Ok(Next::Value) } else { self.member_name() };
        }
        if in_array {
            if self.scanner.consume(b']') {
                return Ok(self.leave(complete));
            }
            return Err(self.scanner.error(ParseErrorKind::ArrayMissCommaOrSquareBracket));
        }
        if self.scanner.consume(b'}') {
            return Ok(self.leave(complete));
        }
        Err(self.scanner.error(ParseErrorKind::ObjectMissCommaOrCurlyBracket))
    }

    fn member_name(&mut self) -> Result<Next, ParseError> {
        if self.scanner.peek() != b'"' {
            return Err(self.scanner.error(ParseErrorKind::ObjectMissName));
        }
        self.string()?;
        self.scanner.skip_whitespace();
        if !self.scanner.consume(b':') {
            return Err(self.scanner.error(ParseErrorKind::ObjectMissColon));
        }
        self.scanner.skip_whitespace();
        Ok(Next::Value)
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let start = self.document.strings.len();
        self.scanner.string(&mut self.document.strings)?;
        let length = self.document.strings.len() - start;
        self.document.nodes.push(Node::String { start: start as u32, length: length as u32 });
        Ok(())
    }

    fn enter(&mut self, node: Node) -> Result<(), ParseError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.scanner.error(ParseErrorKind::Termination));
        }
        self.open.push((self.document.nodes.len() as u32, 0));
        self.document.nodes.push(node);
        self.scanner.position += 1;
        self.scanner.skip_whitespace();
        Ok(())
    }

    fn leave(&mut self, complete: u32) -> Next {
        let after = self.document.nodes.len() as u32;
        if let Some((container, _)) = self.open.pop()
            && let Node::Array { length, end } | Node::Object { length, end } =
                &mut self.document.nodes[container as usize]
        {
            *length = complete;
            *end = after;
        }
        Next::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::json::pretty;

    fn error(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_have_rapidjsons_texts_and_offsets() {
        let cases = [
            ("   ", "The document is empty. at offset: 3"),
            ("instances = [1]", "Invalid value. at offset: 0"),
            ("{} x", "The document root must not be followed by other values. at offset: 3"),
            ("{a: 1}", "Missing a name for object member. at offset: 1"),
            ("{\"a\":1,}", "Missing a name for object member. at offset: 7"),
            ("{\"a\" 1}", "Missing a colon after a name of object member. at offset: 5"),
            ("{\"a\":1 \"b\":2}", "Missing a comma or '}' after an object member. at offset: 7"),
            ("[1,2", "Missing a comma or ']' after an array element. at offset: 4"),
            ("[1,]", "Invalid value. at offset: 3"),
            ("[\"\\u00g0\"]", "Incorrect hex digit after \\u escape in string. at offset: 2"),
            ("[\"\\ud800x\"]", "The surrogate pair in string is invalid. at offset: 2"),
            ("[\"\\x\"]", "Invalid escape character in string. at offset: 2"),
            ("[\"a\nb\"]", "Invalid escape character in string. at offset: 3"),
            ("[\"abc", "Missing a closing quotation mark in string. at offset: 5"),
            ("[1e309]", "Number too big to be stored in double. at offset: 1"),
            ("[1.]", "Miss fraction part in number. at offset: 3"),
            ("[1e]", "Miss exponent in number. at offset: 3"),
            ("[01]", "Missing a comma or ']' after an array element. at offset: 2"),
            ("[+1]", "Invalid value. at offset: 1"),
            ("[nul]", "Invalid value. at offset: 4"),
            ("[Infinite]", "Invalid value. at offset: 8"),
            ("[Nan]", "Invalid value. at offset: 3"),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_keep_what_kind_of_token_they_were() {
        let document =
            parse(b"[0, -0, 4294967296, -9223372036854775808, 18446744073709551616, 1.0, 1e2, -0.0]").unwrap();
        let nodes: Vec<Node> = document.root().elements().map(crate::serving::json::Value::node).collect();
        let expected = [
            Node::Unsigned(0),
            Node::Negative(0),
            Node::Unsigned(4_294_967_296),
            Node::Negative(i64::MIN),
            Node::Double(18_446_744_073_709_551_616.0),
            Node::Double(1.0),
            Node::Double(100.0),
            Node::Double(-0.0),
        ];
        assert_eq!(nodes, expected);
        assert!(matches!(nodes[7], Node::Double(zero) if zero.is_sign_negative()));
    }

    #[test]
    fn what_follows_a_number_that_is_none_is_read_on() {
        let document = parse(b"[NaN.5, Infe2, -Infinity.25e1, -Inf]").unwrap();
        let numbers: Vec<_> = document.root().elements().filter_map(crate::serving::json::Value::double).collect();
        assert_eq!(numbers, [0.5, 0.0, -2.5, f64::NEG_INFINITY]);
        assert_eq!(error("[InfE]"), "Miss exponent in number. at offset: 5");
    }

    #[test]
    fn the_first_of_duplicate_keys_wins_and_a_byte_order_mark_is_skipped() {
        let document = parse(b"\xEF\xBB\xBF{\"a\": 1, \"a\": 2}").unwrap();
        assert_eq!(document.root().member("a").and_then(crate::serving::json::Value::int64), Some(1));
        assert_eq!(document.root().member_count(), Some(2));
    }

    #[test]
    fn a_nul_byte_ends_the_document() {
        assert!(parse(b"{}\0nonsense").is_ok());
        assert_eq!(parse(b"[1\0]").unwrap_err().offset, 2);
    }

    #[test]
    fn deep_nesting_is_refused_or_read_but_never_overflows() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        let refused = parse(&nested(100_000)).unwrap_err();
        assert_eq!(refused, ParseError { kind: ParseErrorKind::Termination, offset: MAX_DEPTH });
        assert_eq!(parse(&vec![b'['; 9_000]).unwrap_err().offset, 9_000);
    }

    #[test]
    fn values_print_with_four_blanks() {
        let document = parse(b"{\"a\":[1,2.5,{}],\"b\":[],\"c\":\"x\\u0001/\\u00e9\"}").unwrap();
        let expected = "{\n    \"a\": [\n        1,\n        2.5,\n        {}\n    ],\n    \"b\": [],\n    \"c\": \"x\\u0001/é\"\n}";
        assert_eq!(String::from_utf8(pretty(document.root())).unwrap(), expected);
    }
}
