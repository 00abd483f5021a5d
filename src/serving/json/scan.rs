//! The lowest layer of reading: bytes, white space, numbers and strings, with RapidJSON's errors.

use super::document::Node;

/// What was wrong with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Nothing but white space.
    DocumentEmpty,
    /// Something follows the top-level value.
    DocumentRootNotSingular,
    /// No JSON value begins here, or one breaks off.
    ValueInvalid,
    /// An object's member does not begin with a string.
    ObjectMissName,
    /// No colon after a member's name.
    ObjectMissColon,
    /// Neither comma nor `}` after a member.
    ObjectMissCommaOrCurlyBracket,
    /// Neither comma nor `]` after an element.
    ArrayMissCommaOrSquareBracket,
    /// `\u` without four hexadecimal digits.
    StringUnicodeEscapeInvalidHex,
    /// Half a surrogate pair.
    StringUnicodeSurrogateInvalid,
    /// An unknown escape, or a control character.
    StringEscapeInvalid,
    /// The text ends inside a string.
    StringMissQuotationMark,
    /// A number beyond what a double holds.
    NumberTooBig,
    /// No digit after the decimal point.
    NumberMissFraction,
    /// No digit in the exponent.
    NumberMissExponent,
    /// Nested deeper than [`super::MAX_DEPTH`].
    Termination,
}

impl ParseErrorKind {
    /// RapidJSON's English text, which clients of TensorFlow Serving see.
    pub fn text(self) -> &'static str {
        match self {
            Self::DocumentEmpty => "The document is empty.",
            Self::DocumentRootNotSingular => "The document root must not be followed by other values.",
            Self::ValueInvalid => "Invalid value.",
            Self::ObjectMissName => "Missing a name for object member.",
            Self::ObjectMissColon => "Missing a colon after a name of object member.",
            Self::ObjectMissCommaOrCurlyBracket => "Missing a comma or '}' after an object member.",
            Self::ArrayMissCommaOrSquareBracket => "Missing a comma or ']' after an array element.",
            Self::StringUnicodeEscapeInvalidHex => "Incorrect hex digit after \\u escape in string.",
            Self::StringUnicodeSurrogateInvalid => "The surrogate pair in string is invalid.",
            Self::StringEscapeInvalid => "Invalid escape character in string.",
            Self::StringMissQuotationMark => "Missing a closing quotation mark in string.",
            Self::NumberTooBig => "Number too big to be stored in double.",
            Self::NumberMissFraction => "Miss fraction part in number.",
            Self::NumberMissExponent => "Miss exponent in number.",
            Self::Termination => "Terminate parsing due to Handler error.",
        }
    }
}

/// Why a text is not JSON, and where that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at offset: {offset}", kind.text())]
pub struct ParseError {
    /// What was wrong.
    pub kind: ParseErrorKind,
    /// The byte, counted from the start of the text, byte order mark included.
    pub offset: usize,
}

/// A reader over the bytes. Like RapidJSON's streams it answers NUL at the end, so a NUL byte in the text ends it.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a [u8],
    pub(super) position: usize,
}

/// 2^53 - 1: up to here a significand is collected as an integer.
const EXACT_SIGNIFICAND: u64 = 0x001F_FFFF_FFFF_FFFF;

impl<'a> Scanner<'a> {
    /// Starts reading after a byte order mark, of which RapidJSON takes each byte only if it is there.
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut scanner = Self { text, position: 0 };
        for byte in [0xEF, 0xBB, 0xBF] {
            scanner.consume(byte);
        }
        scanner
    }

    pub(super) fn peek(&self) -> u8 {
        self.text.get(self.position).copied().unwrap_or(0)
    }

    pub(super) fn consume(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.position) == Some(&byte);
        self.position += usize::from(found);
        found
    }

    fn take_digit(&mut self) -> Option<u8> {
        let digit = self.peek().wrapping_sub(b'0');
        (digit <= 9).then(|| {
            self.position += 1;
            digit
        })
    }

    pub(super) fn skip_whitespace(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.position += 1;
        }
    }

    pub(super) fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError { kind, offset: self.position }
    }

    /// `null`, `true`, `false`: an error stands at the first byte that differs.
    pub(super) fn literal(&mut self, word: &[u8], node: Node) -> Result<Node, ParseError> {
        for &byte in word {
            if !self.consume(byte) {
                return Err(self.error(ParseErrorKind::ValueInvalid));
            }
        }
        Ok(node)
    }

    /// Reads a number as RapidJSON's default (not its full) precision does: the digits are collected exactly up to
    /// 2^53, and the exponent is applied by one multiplication or division with a power of ten. The result can differ
    /// from the nearest double in its last bit, as it does there.
    pub(super) fn number(&mut self) -> Result<Node, ParseError> {
        let start = self.position;
        let minus = self.consume(b'-');
        let mut significand = 0_u64;
        let mut digits = 0_u32;
        let mut wide: Option<f64> = None;
        // What follows `NaN` or `Infinity` is read like what follows a zero, and then counts alone.
        let mut not_finite: Option<f64> = None;
        match self.peek() {
            b'0' => self.position += 1,
            b'1'..=b'9' => {
                let limit = if minus { 1_u64 << 63 } else { u64::MAX };
                digits = u32::MAX; // The first digit is not counted.
                while let byte @ b'0'..=b'9' = self.peek() {
                    let digit = u64::from(byte - b'0');
                    match significand.checked_mul(10).and_then(|value| value.checked_add(digit)) {
                        Some(value) if value <= limit => significand = value,
                        _ => break,
                    }
                    digits = digits.wrapping_add(1);
                    self.position += 1;
                }
                if self.peek().is_ascii_digit() {
                    let mut value = significand as f64;
                    while let Some(digit) = self.take_digit() {
                        if value >= 1.797_693_134_862_315_7e307 {
                            return Err(ParseError { kind: ParseErrorKind::NumberTooBig, offset: start });
                        }
                        value = value * 10.0 + f64::from(digit);
                    }
                    wide = Some(value);
                }
            }
            b'I' | b'N' => not_finite = Some(self.not_finite(minus)?),
            _ => return Err(self.error(ParseErrorKind::ValueInvalid)),
        }

        let mut fraction_exponent = 0_i32;
        if self.consume(b'.') {
            if !self.peek().is_ascii_digit() {
                return Err(self.error(ParseErrorKind::NumberMissFraction));
            }
            let mut value = if let Some(value) = wide {
                value
            } else {
                while self.peek().is_ascii_digit() && significand <= EXACT_SIGNIFICAND {
                    significand = significand * 10 + u64::from(self.peek() - b'0');
                    self.position += 1;
                    fraction_exponent -= 1;
                    if significand != 0 {
                        digits = digits.wrapping_add(1);
                    }
                }
                significand as f64
            };
            while let Some(digit) = self.take_digit() {
                if digits < 17 {
                    value = value * 10.0 + f64::from(digit);
                    fraction_exponent -= 1;
                    if value > 0.0 {
                        digits += 1;
                    }
                }
            }
            wide = Some(value);
        }

        let mut exponent = 0_i32;
        if self.consume(b'e') || self.consume(b'E') {
            wide.get_or_insert(significand as f64);
            let negative = !self.consume(b'+') && self.consume(b'-');
            let Some(first) = self.take_digit() else {
                return Err(self.error(ParseErrorKind::NumberMissExponent));
            };
            exponent = i32::from(first);
            while let Some(digit) = self.take_digit() {
                exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit));
                if negative {
                    if exponent >= 214_748_364 {
                        while self.take_digit().is_some() {}
                    }
                } else if exponent > 308_i32.saturating_sub(fraction_exponent) {
                    return Err(ParseError { kind: ParseErrorKind::NumberTooBig, offset: start });
                }
            }
            if negative {
                exponent = -exponent;
            }
        }

        Ok(match (wide, not_finite) {
            (Some(value), _) => {
                let value = scale(value, exponent.saturating_add(fraction_exponent));
                Node::Double(if minus { -value } else { value })
            }
            (None, Some(value)) => Node::Double(value),
            (None, None) if minus => Node::Negative((significand as i64).wrapping_neg()),
            (None, None) => Node::Unsigned(significand),
        })
    }

    fn not_finite(&mut self, minus: bool) -> Result<f64, ParseError> {
        if self.consume(b'N') {
            if self.consume(b'a') && self.consume(b'N') {
                return Ok(f64::NAN);
            }
            return Err(self.error(ParseErrorKind::ValueInvalid));
        }
        for byte in *b"Inf" {
            if !self.consume(byte) {
                return Err(self.error(ParseErrorKind::ValueInvalid));
            }
        }
        if self.peek() == b'i' {
            for byte in *b"inity" {
                if !self.consume(byte) {
                    return Err(self.error(ParseErrorKind::ValueInvalid));
                }
            }
        }
        Ok(if minus { f64::NEG_INFINITY } else { f64::INFINITY })
    }

    /// Reads a string, whose opening quotation mark has not been taken, onto the end of `target`.
    pub(super) fn string(&mut self, target: &mut Vec<u8>) -> Result<(), ParseError> {
        self.position += 1;
        loop {
            let rest = &self.text[self.position.min(self.text.len())..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len());
            target.extend_from_slice(&rest[..plain]);
            self.position += plain;
            match self.peek() {
                b'"' => {
                    self.position += 1;
                    return Ok(());
                }
                b'\\' => self.escape(target)?,
                0 => return Err(self.error(ParseErrorKind::StringMissQuotationMark)),
                _ => return Err(self.error(ParseErrorKind::StringEscapeInvalid)),
            }
        }
    }

    fn escape(&mut self, target: &mut Vec<u8>) -> Result<(), ParseError> {
        let offset = self.position;
        let surrogate = ParseError { kind: ParseErrorKind::StringUnicodeSurrogateInvalid, offset };
        self.position += 1;
        let simple = match self.peek() {
            b'"' => b'"',
            b'/' => b'/',
            b'\\' => b'\\',
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.position += 1;
                let mut code = self.four_hex(offset)?;
                if (0xD800..=0xDBFF).contains(&code) {
                    if !self.consume(b'\\') || !self.consume(b'u') {
                        return Err(surrogate);
                    }
                    let low = self.four_hex(offset)?;
                    if !(0xDC00..=0xDFFF).contains(&low) {
                        return Err(surrogate);
                    }
                    code = (((code - 0xD800) << 10) | (low - 0xDC00)) + 0x10000;
                }
                push_code_point(code, target);
                return Ok(());
            }
            _ => return Err(ParseError { kind: ParseErrorKind::StringEscapeInvalid, offset }),
        };
        self.position += 1;
        target.push(simple);
        Ok(())
    }

    fn four_hex(&mut self, offset: usize) -> Result<u32, ParseError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek())
                .to_digit(16)
                .ok_or(ParseError { kind: ParseErrorKind::StringUnicodeEscapeInvalidHex, offset })?;
            code = code << 4 | digit;
            self.position += 1;
        }
        Ok(code)
    }
}

/// Encodes a code point; a low surrogate alone is encoded as it stands, which is not UTF-8 but what RapidJSON writes.
fn push_code_point(code: u32, target: &mut Vec<u8>) {
    if let Some(character) = char::from_u32(code) {
        let mut buffer = [0; 4];
        target.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    } else {
        target.extend_from_slice(&[
            0xE0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3F) as u8,
            0x80 | (code & 0x3F) as u8,
        ]);
    }
}

/// Multiplies by a power of ten in the steps that RapidJSON takes.
pub(super) fn scale(value: f64, exponent: i32) -> f64 {
    if exponent < -308 { step(step(value, -308), exponent + 308) } else { step(value, exponent) }
}

fn step(value: f64, exponent: i32) -> f64 {
    if exponent < -308 {
        0.0
    } else if exponent >= 0 {
        value * POWERS_OF_TEN.get(exponent as usize).copied().unwrap_or(f64::INFINITY)
    } else {
        value / POWERS_OF_TEN[-exponent as usize]
    }
}

/// 10^0 to 10^308, each the nearest double.
static POWERS_OF_TEN: std::sync::LazyLock<Vec<f64>> = std::sync::LazyLock::new(|| {
    (0..=308).map(|exponent| format!("1e{exponent}").parse().unwrap_or(f64::NAN)).collect()
});
