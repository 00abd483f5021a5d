//! The short way for the common request: `{"instances": […]}` with nothing but an even array of numbers.
//!
//! A picture is an array of some hundred thousand integers. Here they go straight into 32-bit floats. Whatever is not
//! of this simple form is left to the long way, which reads the whole document and words the errors: this reader only
//! ever says yes, or that it does not know.

use super::document::Node;
use super::scan::Scanner;

/// An array of numbers, evenly nested.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberArray {
    /// The size at each level, outermost first; never empty, no size is 0.
    pub shape: Vec<usize>,
    /// The numbers in document order, each read as a double and rounded to a float.
    pub values: Vec<f32>,
}

/// A predict request of the simple form.
#[derive(Debug, Clone, PartialEq)]
pub struct NumbersRequest {
    /// The value of `signature_name`, when there is one.
    pub signature_name: Option<Vec<u8>>,
    /// Whether the array stood under `instances` (else under `inputs`).
    pub row_format: bool,
    /// The array.
    pub array: NumberArray,
}

/// Deeper arrays go the long way.
const DEEPEST: usize = 8;

/// Reads a request that has exactly one of `instances` and `inputs`, holding an even array of numbers, and at most a
/// `signature_name` beside it. `None` means that the text has another form or is not JSON at all.
pub fn parse_numbers_request(text: &[u8]) -> Option<NumbersRequest> {
    let mut scanner = Scanner::new(text);
    let mut signature_name = None;
    let mut found: Option<(bool, NumberArray)> = None;
    scanner.skip_whitespace();
    expect(&mut scanner, b'{')?;
    let mut name = Vec::new();
    loop {
        scanner.skip_whitespace();
        (scanner.peek() == b'"').then_some(())?;
        name.clear();
        scanner.string(&mut name).ok()?;
        scanner.skip_whitespace();
        expect(&mut scanner, b':')?;
        scanner.skip_whitespace();
        match name.as_slice() {
            b"signature_name" if signature_name.is_none() && scanner.peek() == b'"' => {
                let mut value = Vec::new();
                scanner.string(&mut value).ok()?;
                signature_name = Some(value);
            }
            key @ (b"instances" | b"inputs") if found.is_none() => {
                found = Some((key == b"instances", array(&mut scanner)?));
            }
            _ => return None,
        }
        scanner.skip_whitespace();
        if scanner.consume(b'}') {
            break;
        }
        expect(&mut scanner, b',')?;
    }
    scanner.skip_whitespace();
    (scanner.peek() == 0).then_some(())?;
    let (row_format, array) = found?;
    Some(NumbersRequest { signature_name, row_format, array })
}

fn expect(scanner: &mut Scanner<'_>, byte: u8) -> Option<()> {
    scanner.consume(byte).then_some(())
}

fn array(scanner: &mut Scanner<'_>) -> Option<NumberArray> {
    // The sizes of the levels whose first array is complete; 0 while it is not.
    let mut shape: Vec<usize> = Vec::new();
    let mut counts = [0_usize; DEEPEST];
    let mut depth = 0;
    // Most numbers have two or three digits; a little room too much is better than moving megabytes.
    let mut values: Vec<f32> = Vec::with_capacity((scanner.text.len() - scanner.position.min(scanner.text.len())) / 3);
    let mut rank: Option<usize> = None;
    loop {
        // At the beginning of a value.
        if scanner.consume(b'[') {
            if depth == DEEPEST || rank.is_some_and(|rank| depth >= rank) {
                return None;
            }
            counts[depth] = 0;
            depth += 1;
            if shape.len() < depth {
                shape.push(0);
            }
            skip(scanner);
            continue;
        }
        if depth == 0 || *rank.get_or_insert(depth) != depth {
            return None;
        }
        values.push(number(scanner)?);
        // Behind a value: close what ends here.
        loop {
            counts[depth - 1] += 1;
            skip(scanner);
            if scanner.consume(b',') {
                skip(scanner);
                break;
            }
            expect(scanner, b']')?;
            let (size, count) = (&mut shape[depth - 1], counts[depth - 1]);
            if *size == 0 {
                *size = count;
            } else if *size != count {
                return None;
            }
            depth -= 1;
            if depth == 0 {
                values.shrink_to_fit();
                return Some(NumberArray { shape, values });
            }
        }
    }
}

fn skip(scanner: &mut Scanner<'_>) {
    if scanner.peek() <= b' ' {
        scanner.skip_whitespace();
    }
}

/// Reads one number. Integers of up to nine digits, which are most, do not touch the general reader.
fn number(scanner: &mut Scanner<'_>) -> Option<f32> {
    let rest = &scanner.text[scanner.position..];
    let mut value = 0_u32;
    let mut length = 0;
    while length < 9 {
        let digit = rest.get(length)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u32::from(digit);
        length += 1;
    }
    if length > 0 && (length == 1 || rest[0] != b'0') && matches!(rest.get(length), Some(b',' | b']' | b' ' | b'\n')) {
        scanner.position += length;
        return Some(f64::from(value) as f32);
    }
    match scanner.number().ok()? {
        Node::Unsigned(value) => Some(value as f64 as f32),
        Node::Negative(value) => Some(value as f64 as f32),
        Node::Double(value) => Some(value as f32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::json::parse;

    fn shape_and_values(text: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        parse_numbers_request(text.as_bytes()).map(|request| (request.array.shape, request.array.values))
    }

    #[test]
    fn even_arrays_are_read_at_once() {
        let request =
            parse_numbers_request(b" {\"instances\" : [[1, 2.5], [-3 ,4e2]], \"signature_name\":\"s\"}\n").unwrap();
        assert!(request.row_format);
        assert_eq!(request.signature_name.as_deref(), Some(&b"s"[..]));
        assert_eq!(request.array, NumberArray { shape: vec![2, 2], values: vec![1.0, 2.5, -3.0, 400.0] });
        assert_eq!(shape_and_values("{\"inputs\":[NaN]}").unwrap().0, [1]);
    }

    #[test]
    fn everything_else_is_left_to_the_long_way() {
        let cases = [
            "{\"instances\":[[1],[2,3]]}",
            "{\"instances\":[1,[2]]}",
            "{\"instances\":[[1],2]}",
            "{\"instances\":[]}",
            "{\"instances\":[[]]}",
            "{\"instances\":1}",
            "{\"instances\":[\"a\"]}",
            "{\"instances\":[01]}",
            "{\"instances\":[1],\"inputs\":[1]}",
            "{\"instances\":[1],\"instances\":[1]}",
            "{\"instances\":[1],\"other\":1}",
            "{\"instances\":[1]} x",
            "{\"instances\":[1",
            "{\"signature_name\":5,\"instances\":[1]}",
            "{\"instances\":[[[[[[[[[1]]]]]]]]]}",
            "[1]",
            "",
        ];
        for text in cases {
            assert_eq!(shape_and_values(text), None, "{text}");
        }
    }

    #[test]
    fn both_ways_read_the_same_numbers() {
        for number in
            ["0", "-0", "7", "123456789", "1234567890", "16777217", "0.1", "1e400", "3.4028236e38", "-1e-50", "00"]
        {
            let text = format!("{{\"inputs\":[{number}]}}");
            let long = parse(text.as_bytes()).ok().and_then(|document| {
                let root = document.root();
                root.member("inputs").and_then(|array| array.elements().next()).and_then(super::super::Value::double)
            });
            let short = shape_and_values(&text).map(|(_, values)| values[0]);
            assert_eq!(short.map(f32::to_bits), long.map(|value| (value as f32).to_bits()), "{number}");
        }
    }
}
