//! Decimal texts of floating-point numbers.
//!
//! TensorFlow Serving prints a number with `%.6g`; if that does not read back to the same number, with nine significant
//! digits (seventeen for doubles); and it adds `.0` where the text would look like an integer.

use std::io::Write as _;

use super::shortest::shortest_digits;

/// Digits, and the exponent of ten of the first one: `d.ddd × 10^exponent`.
struct Digits {
    decimal: [u8; 24],
    length: usize,
    exponent: i32,
    negative: bool,
}

/// Takes Rust's `{:e}` form apart.
fn take_apart(text: &[u8]) -> Digits {
    let mut taken = Digits { decimal: [0; 24], length: 0, exponent: 0, negative: false };
    let mut rest = text;
    if let [b'-', tail @ ..] = rest {
        taken.negative = true;
        rest = tail;
    }
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'0'..=b'9' if taken.length < taken.decimal.len() => {
                taken.decimal[taken.length] = *byte;
                taken.length += 1;
            }
            b'e' => {
                taken.exponent = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                break;
            }
            _ => {}
        }
    }
    while taken.length > 1 && taken.decimal[taken.length - 1] == b'0' {
        taken.length -= 1;
    }
    taken
}

/// A text buffer on the stack: long enough for any `{:e}` of a double.
#[derive(Default)]
struct Scratch {
    bytes: [u8; 32],
    length: usize,
}

impl std::io::Write for Scratch {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let taken = data.len().min(self.bytes.len() - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&data[..taken]);
        self.length += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn scientific(arguments: std::fmt::Arguments<'_>) -> Digits {
    let mut scratch = Scratch::default();
    // Writing into the scratch buffer cannot fail, and nothing formatted here is longer than it.
    let _ = scratch.write_fmt(arguments);
    take_apart(&scratch.bytes[..scratch.length])
}

/// Writes the digits as C's `%.Ng` does, trailing zeros dropped, and `.0` behind a whole number in plain notation.
fn write_general(number: &Digits, precision: i32, target: &mut Vec<u8>) {
    let digits = &number.decimal[..number.length];
    if number.negative {
        target.push(b'-');
    }
    if number.exponent < -4 || number.exponent >= precision {
        target.push(digits[0]);
        if digits.len() > 1 {
            target.push(b'.');
            target.extend_from_slice(&digits[1..]);
        }
        let sign = if number.exponent < 0 { '-' } else { '+' };
        let _ = write!(target, "e{sign}{:02}", number.exponent.abs());
    } else if number.exponent < 0 {
        target.extend_from_slice(b"0.");
        target.resize(target.len() + (-1 - number.exponent) as usize, b'0');
        target.extend_from_slice(digits);
    } else {
        let whole = number.exponent as usize + 1;
        if digits.len() > whole {
            target.extend_from_slice(&digits[..whole]);
            target.push(b'.');
            target.extend_from_slice(&digits[whole..]);
        } else {
            target.extend_from_slice(digits);
            target.resize(target.len() + whole - digits.len(), b'0');
            target.extend_from_slice(b".0");
        }
    }
}

fn write_not_finite(nan: bool, negative: bool, target: &mut Vec<u8>) {
    target.extend_from_slice(match (nan, negative) {
        (true, _) => b"NaN",
        (false, true) => b"-Infinity",
        (false, false) => b"Infinity",
    });
}

/// Appends a 32-bit float: `%.6g` where that reads back to the same float, else `%.9g`.
pub fn write_float(value: f32, target: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_not_finite(value.is_nan(), value < 0.0, target);
    }
    // A normal float that six digits tell apart has those six digits as its shortest text; only subnormal floats, whose
    // shortest text may have fewer digits than `%.6g` prints, need the check by reading back.
    let shortest = scientific(format_args!("{value:e}"));
    if shortest.length <= 6 && (value.is_normal() || value == 0.0) {
        return write_general(&shortest, 6, target);
    }
    if value.is_subnormal() {
        let text = format!("{value:.5e}");
        if text.parse() == Ok(value) {
            return write_general(&take_apart(text.as_bytes()), 6, target);
        }
    }
    write_general(&scientific(format_args!("{value:.8e}")), 9, target);
}

/// Appends a double: `%.6g` where that reads back to the same double, else `%.17g`.
pub fn write_double(value: f64, target: &mut Vec<u8>) {
    if !value.is_finite() {
        return write_not_finite(value.is_nan(), value < 0.0, target);
    }
    let shortest = scientific(format_args!("{value:e}"));
    if shortest.length <= 6 && (value.is_normal() || value == 0.0) {
        return write_general(&shortest, 6, target);
    }
    if value.is_subnormal() {
        let text = format!("{value:.5e}");
        if text.parse() == Ok(value) {
            return write_general(&take_apart(text.as_bytes()), 6, target);
        }
    }
    write_general(&scientific(format_args!("{value:.16e}")), 17, target);
}

/// A finite double as C's `%g` prints it: six digits, no `.0`.
pub fn six_digits(value: f64) -> String {
    let mut text = Vec::new();
    write_general(&scientific(format_args!("{value:.5e}")), 6, &mut text);
    let text = String::from_utf8(text).unwrap_or_default();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Appends a finite double as RapidJSON's own writer does: `1.0`, `1e30`, `1.5e-7`.
pub(super) fn write_shortest(value: f64, target: &mut Vec<u8>) {
    if value.is_sign_negative() {
        target.push(b'-');
    }
    if value == 0.0 {
        return target.extend_from_slice(b"0.0");
    }
    let mut buffer = [0; 24];
    let (length, power) = shortest_digits(value.abs(), &mut buffer);
    let digits = &buffer[..length];
    let whole = length as i32 + power;
    if power >= 0 && whole <= 21 {
        target.extend_from_slice(digits);
        target.resize(target.len() + power as usize, b'0');
        target.extend_from_slice(b".0");
    } else if whole > 0 && whole <= 21 {
        target.extend_from_slice(&digits[..whole as usize]);
        target.push(b'.');
        target.extend_from_slice(&digits[whole as usize..]);
    } else if whole > -6 && whole <= 0 {
        target.extend_from_slice(b"0.");
        target.resize(target.len() + (-whole) as usize, b'0');
        target.extend_from_slice(digits);
    } else {
        target.push(digits[0]);
        if length > 1 {
            target.push(b'.');
            target.extend_from_slice(&digits[1..]);
        }
        let _ = write!(target, "e{}", whole - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f32) -> String {
        let mut text = Vec::new();
        write_float(value, &mut text);
        String::from_utf8(text).unwrap()
    }

    fn double(value: f64) -> String {
        let mut text = Vec::new();
        write_double(value, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn floats_print_as_tensorflow_serving_prints_them() {
        let cases: [(f32, &str); 22] = [
            (0.1, "0.1"),
            (0.713_144_66, "0.71314466"),
            (1e-7, "1e-07"),
            (f32::MIN_POSITIVE, "1.17549435e-38"),
            (1e-45, "1.4013e-45"),
            (f32::MAX, "3.40282347e+38"),
            (16_777_216.0, "16777216.0"),
            (123_456_792.0, "123456792.0"),
            (0.000_987_654_3, "0.000987654319"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (999_999.0, "999999.0"),
            (1e10, "1e+10"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (std::f32::consts::PI, "3.14159274"),
            (0.000_03, "3e-05"),
            (555_557.5, "555557.5"),
            (1_435_774_380.0, "1.43577434e+09"),
            (2.5, "2.5"),
            (f32::NEG_INFINITY, "-Infinity"),
            (f32::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn doubles_print_as_tensorflow_serving_prints_them() {
        let cases = [
            (0.1, "0.1"),
            (0.300_000_000_000_000_04, "0.30000000000000004"),
            (std::f64::consts::PI, "3.1415926535897931"),
            (5e-324, "4.94066e-324"),
            (123_456_789.0, "123456789.0"),
            (1e6, "1e+06"),
            (1e22, "1e+22"),
        ];
        for (value, expected) in cases {
            assert_eq!(double(value), expected);
        }
    }

    #[test]
    fn every_float_reads_back_and_agrees_with_the_plain_rule() {
        // The plain rule: six digits, read back, else nine. Steps through all exponents with a stride prime to 2^32.
        for step in 0..40_000_u32 {
            let value = f32::from_bits(step.wrapping_mul(2_654_435_761));
            if !value.is_finite() {
                continue;
            }
            let printed = float(value);
            assert_eq!(printed.parse::<f32>().map(f32::to_bits), Ok(value.to_bits()), "{printed}");
            let six = format!("{value:.5e}");
            let (digits, precision) = if six.parse() == Ok(value) {
                (take_apart(six.as_bytes()), 6)
            } else {
                (take_apart(format!("{value:.8e}").as_bytes()), 9)
            };
            let mut plain = Vec::new();
            write_general(&digits, precision, &mut plain);
            assert_eq!(printed.as_bytes(), plain);
        }
    }
}
