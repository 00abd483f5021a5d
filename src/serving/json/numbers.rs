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
        let size = shape[depth - 1];
        if size > 0 && depth > 1 {
            let [.., arrays, count] = &mut counts[..depth] else { return None };
            plain_numbers(scanner, &mut values, size, arrays, count);
        }
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

/// Goes on behind a value through innermost arrays of `size` values, as long as the text is what pictures are written as:
/// whole numbers of up to seven digits or of up to five and `.0`, with nothing or one blank behind a comma. Stops behind
/// the last value that is so; `count` says how many values its array has before it, `arrays` how many arrays are complete.
fn plain_numbers(scanner: &mut Scanner<'_>, values: &mut Vec<f32>, size: usize, arrays: &mut usize, count: &mut usize) {
    let mut rest = &scanner.text[scanner.position..];
    // The longest that can come: four bytes between two values, and eight of the second.
    while let Some(ahead) = rest.first_chunk::<12>() {
        let last = *count + 1 == size;
        let (number, next) = match ahead {
            [b',', b' ', number @ .., _, _] if !last => (number, 2),
            [b',', number @ .., _, _, _] if !last => (number, 1),
            [b']', b',', b' ', b'[', number @ ..] if last => (number, 4),
            [b']', b',', b'[', number @ .., _] if last => (number, 3),
            _ => break,
        };
        let (digits, whole) = leading_digits(*number);
        if digits == 0 || digits == 8 || (digits > 1 && number[0] == b'0') {
            break;
        }
        let behind = u64::from_le_bytes(*number) >> (8 * digits);
        let length = match behind.to_le_bytes() {
            [b',' | b']', ..] => digits,
            [b'.', b'0', b',' | b']', ..] => digits + 2,
            _ => break,
        };
        // Seven digits are exact in a float.
        values.push(whole as f32);
        rest = &rest[next + length..];
        *count += 1;
        if last {
            *arrays += 1;
            *count = 0;
        }
    }
    scanner.position = scanner.text.len() - rest.len();
}

/// Powers of ten by which a decimal's digits are divided.
const POWERS: [f64; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// Reads one number. Those with up to seven digits on either side of the point, which are most, do not touch the general
/// reader; the result has the same bits.
fn number(scanner: &mut Scanner<'_>) -> Option<f32> {
    let rest = &scanner.text[scanner.position..];
    let minus = rest.first() == Some(&b'-');
    if let Some((digits, behind_point, length)) = short_decimal(&rest[usize::from(minus)..]) {
        scanner.position += usize::from(minus) + length;
        let value = digits as f64 / POWERS[behind_point];
        return Some(match (minus, behind_point) {
            (false, _) => value as f32,
            // An integer has no negative zero.
            (true, 0) => (0.0 - value) as f32,
            (true, _) => -value as f32,
        });
    }
    match scanner.number().ok()? {
        Node::Unsigned(value) => Some(value as f64 as f32),
        Node::Negative(value) => Some(value as f64 as f32),
        Node::Double(value) => Some(value as f32),
        _ => None,
    }
}

/// The digits of a number at the beginning of the text as an integer, how many of them stand behind the point, and the
/// length of it all. `None` for whatever is longer or of another form, or stands at the very end.
fn short_decimal(text: &[u8]) -> Option<(u64, usize, usize)> {
    let (count, whole) = leading_digits(*text.first_chunk()?);
    if count == 0 || count == 8 || (count > 1 && text[0] == b'0') {
        return None;
    }
    let (digits, behind_point, length) = if text[count] == b'.' {
        let (behind, fraction) = leading_digits(*text[count + 1..].first_chunk()?);
        if behind == 0 || behind == 8 {
            return None;
        }
        (whole * POWERS[behind] as u64 + fraction, behind, count + 1 + behind)
    } else {
        (whole, 0, count)
    };
    matches!(text.get(length)?, b',' | b']' | b' ' | b'\n').then_some((digits, behind_point, length))
}

/// How many of the bytes are digits before the first that is none, and the number that these are.
///
/// All eight bytes are looked at at once, as lanes of one word: numbers have one to three digits as pictures have
/// it, and a loop over them would be guessed wrong at every other one.
fn leading_digits(bytes: [u8; 8]) -> (usize, u64) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let values = u64::from_le_bytes(bytes) ^ (0x30 * EACH);
    // A lane above 9 gets its high bit; what it carries over only reaches lanes behind it.
    let others = (values.wrapping_add(0x76 * EACH) | values) & (0x80 * EACH);
    let count = others.trailing_zeros() / 8;
    // The digits go to the end of the word, zeros in front of them.
    let digits = values.checked_shl(64 - 8 * count).unwrap_or(0);
    // Neighbours become numbers of two, four and eight digits.
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    (count as usize, fours.wrapping_mul(10_000 << 32 | 1) >> 32)
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

    fn assert_read_alike(number: &str) {
        // Behind other numbers, where eight bytes can be read at once, and at the end of the text, where they cannot.
        for text in [format!("{{\"inputs\":[{number},12345678]}}    "), format!("{{\"inputs\":[{number}]}}")] {
            let long = parse(text.as_bytes()).ok().and_then(|document| {
                let root = document.root();
                root.member("inputs").and_then(|array| array.elements().next()).and_then(super::super::Value::double)
            });
            let short = shape_and_values(&text).map(|(_, values)| values[0]);
            assert_eq!(short.map(f32::to_bits), long.map(|value| (value as f32).to_bits()), "{text}");
        }
    }

    #[test]
    fn both_ways_read_the_same_numbers() {
        for number in [
            "0",
            "-0",
            "7",
            "123456789",
            "1234567890",
            "16777217",
            "0.1",
            "1e400",
            "3.4028236e38",
            "-1e-50",
            "00",
            "-0.0",
            "255.0",
            "1234567.7654321",
            "9999999.9999999",
            "12345678.5",
            "0.12345678",
            "1.",
            ".5",
            "-",
            "-.5",
            "1.5e3",
            "1e2",
            "01.5",
            "1.5.",
            "-12.25",
            "-7",
            "1-",
            "0.0000001",
            "1234567",
            "12345678",
            "/",
            ":",
            "1/",
            "1:",
            "1\u{e9}",
        ] {
            assert_read_alike(number);
        }
        for whole in [0_u32, 1, 9, 10, 99, 100, 255, 1234567] {
            for fraction in ["", ".0", ".5", ".25", ".01", ".999999", ".0000001"] {
                assert_read_alike(&format!("{whole}{fraction}"));
                assert_read_alike(&format!("-{whole}{fraction}"));
            }
        }
    }

    /// The array of a request by the long way, if it is even.
    fn by_the_long_way(text: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        fn take(value: super::super::Value<'_>, values: &mut Vec<f32>) -> Option<Vec<usize>> {
            let Some(number) = value.double() else {
                let shapes: Option<Vec<_>> = value.elements().map(|element| take(element, values)).collect();
                let shapes = shapes?;
                let first = shapes.first()?;
                return shapes
                    .iter()
                    .all(|shape| shape == first)
                    .then(|| std::iter::once(shapes.len()).chain(first.iter().copied()).collect());
            };
            values.push(number as f32);
            Some(Vec::new())
        }
        let document = parse(text.as_bytes()).ok()?;
        let mut values = Vec::new();
        let shape = take(document.root().member("inputs")?, &mut values)?;
        Some((shape, values))
    }

    fn assert_array_read_alike(array: &str) {
        let text = format!("{{\"inputs\":{array}}}");
        let bits = |read: Option<(Vec<usize>, Vec<f32>)>| {
            read.map(|(shape, values)| (shape, values.into_iter().map(f32::to_bits).collect::<Vec<_>>()))
        };
        assert_eq!(bits(shape_and_values(&text)), bits(by_the_long_way(&text)), "{text}");
    }

    #[test]
    fn pictures_are_read_alike_however_they_are_spaced() {
        for array in [
            "[[1,2,3],[4,5,6],[7,8,9]]",
            "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]",
            "[[[1,2],[3,4]],[[5,6],[7,8]]]",
            "[[1],[2],[3],[4000000],[9999999],[99999999]]",
            "[[1,2],[3,4 ],[5, 6] ,[7,-8],[9.5,1e1],[0.0,0]]",
            "[[1,2],[3],[4,5]]",
            "[[1,2],[3,4,5]]",
            "[[1,2],[3,04]]",
            "[[1,2],[3,4],]",
            "[[1,2],[3,4.]]",
            "[[1,2],[3,4.00],[12345.0,123456.0],[1234567.0,0.0]]",
            "[[1,2],[[3,4]]]",
            "[[1,2],3]",
        ] {
            assert_array_read_alike(array);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_rows_are_read_alike(
            rows in proptest::collection::vec(
                proptest::collection::vec(("[0-9]{1,9}(\\.0|\\.[0-9]{1,3})?", "(,|, | ,|,  )"), 2..4), 1..6,
            ),
            between in proptest::collection::vec("(,|, | ,|, \n)", 6),
            nested: bool,
        ) {
            let row = |row: &Vec<(String, String)>| {
                let mut text = String::from("[");
                for (index, (number, separator)) in row.iter().enumerate() {
                    text.push_str(if index > 0 { separator } else { "" });
                    text.push_str(number);
                }
                text + "]"
            };
            let mut text = String::from("[");
            for (index, values) in rows.iter().enumerate() {
                text.push_str(if index > 0 { &between[index] } else { "" });
                text.push_str(&row(values));
            }
            text.push(']');
            assert_array_read_alike(&if nested { format!("[{text},{text}]") } else { text });
        }

        #[test]
        fn any_text_is_read_alike(number in "-?[0-9]{0,9}(\\.[0-9]{0,9})?(e-?[0-9]{1,2})?") {
            assert_read_alike(&number);
        }
    }
}
