//! Generated texts against the model server's JSON reader: it never panics, accepts what `serde_json` accepts but for
//! the differences that RapidJSON makes, and reads the same values.
//!
//! `CANARY_LAB_JSON_INPUTS=10000000 cargo test --test serving_json` looks at that many texts; `CANARY_LAB_JSON_SEED`
//! chooses others. A failure prints the text and the seed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on shall fail")]
#![allow(clippy::float_cmp, reason = "numbers shall read back as they were")]

use canary_lab::serving::json::{
    Kind, ParseError, ParseErrorKind, Value, parse, parse_numbers_request, pretty, write_double, write_float,
};

/// Texts in an ordinary run.
const FEW: u64 = 30_000;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// xorshift64*: small, seeded, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// One of `common`, and one time in `bound` of `all`.
    fn mostly<'a>(&mut self, common: &[&'a [u8]], all: &[&'a [u8]], bound: usize) -> &'a [u8] {
        if self.one_in(bound) { self.pick(all) } else { self.pick(common) }
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"-0",
    b"1",
    b"-1",
    b"255",
    b"00",
    b"01",
    b"-01",
    b"1.",
    b".5",
    b"-",
    b"+1",
    b"1e5",
    b"1E+5",
    b"1e-5",
    b"1e",
    b"1e+",
    b"0.1",
    b"-0.0",
    b"1.5e300",
    b"1e308",
    b"1e309",
    b"0e999",
    b"1e-400",
    b"0.0001e311",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"123456789012345678901234567890",
    b"0.30000000000000004",
    b"1.7976931348623157e308",
    b"1.7976931348623159e308",
    b"2.2250738585072011e-308",
    b"5e-324",
    b"0x10",
    b"1_0",
];
const WORDS: &[&[u8]] = &[
    b"true",
    b"false",
    b"null",
    b"NaN",
    b"Infinity",
    b"Inf",
    b"-Inf",
    b"-Infinity",
    b"-NaN",
    b"tru",
    b"nulll",
    b"nan",
    b"Infinit",
    b"None",
    b"undefined",
    b"TRUE",
];
const STRINGS: &[&[u8]] = &[
    b"\"\"",
    b"\"a\"",
    b"\"b64\"",
    b"\"instances\"",
    b"\"\\u00e9\\n\\/\"",
    b"\"\xC3\xA9\xF0\x9F\x98\x80\"",
    b"\"\\ud83d\\ude00\"",
    b"\"\\ud83d\"",
    b"\"\\ude00\"",
    b"\"\\ud83d\\u0041\"",
    b"\"\\u12\"",
    b"\"\\x\"",
    b"\"a\nb\"",
    b"\"\x7F\"",
    b"\"\xFF\"",
    b"\"\xED\xA0\x80\"",
    b"\"\xC3\"",
    b"\"\\u0000\"",
    b"\"open",
    b"'a'",
];
const BLANKS: &[&[u8]] = &[b"", b"", b"", b"", b"", b"", b" ", b"\n", b"\t", b"\r\n ", b"\x0B", b"\xC2\xA0"];
const KEYS: &[&[u8]] = &[b"\"instances\"", b"\"inputs\"", b"\"signature_name\"", b"\"a\"", b"\"\"", b"a"];

fn value(chance: &mut Chance, depth: usize, text: &mut Vec<u8>) {
    text.extend_from_slice(chance.mostly(&BLANKS[..9], BLANKS, 40));
    match chance.below(if depth == 0 { 5 } else { 9 }) {
        0 => text.extend_from_slice(chance.pick(NUMBERS)),
        1 => text.extend_from_slice(chance.mostly(&WORDS[..3], WORDS, 3)),
        2 => text.extend_from_slice(chance.mostly(&STRINGS[..7], STRINGS, 4)),
        3 => text.extend_from_slice((chance.next() as i32 % 1000).to_string().as_bytes()),
        4 => text.extend_from_slice(format!("{:e}", f64::from_bits(chance.next())).as_bytes()),
        5 | 6 => {
            text.push(b'[');
            for at in 0..chance.below(4) {
                if at > 0 {
                    text.push(b',');
                }
                value(chance, depth - 1, text);
            }
            text.push(b']');
        }
        7 => numbers(chance, depth.min(3), text),
        _ => {
            text.push(b'{');
            for at in 0..chance.below(4) {
                if at > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(chance.mostly(&KEYS[..5], KEYS, 20));
                text.push(b':');
                value(chance, depth - 1, text);
            }
            text.push(b'}');
        }
    }
    text.extend_from_slice(chance.pick(&BLANKS[..9]));
}

/// An array of numbers, mostly even: what the short way reads.
fn numbers(chance: &mut Chance, depth: usize, text: &mut Vec<u8>) {
    if depth == 0 {
        let token = chance.mostly(&NUMBERS[..5], NUMBERS, 8);
        return text.extend_from_slice(token);
    }
    text.push(b'[');
    let length = if chance.one_in(20) { chance.below(4) } else { 2 };
    for at in 0..length {
        if at > 0 {
            text.extend_from_slice(if chance.one_in(5) { b", " } else { b"," });
        }
        numbers(chance, depth - 1, text);
    }
    text.push(b']');
}

fn text(chance: &mut Chance) -> Vec<u8> {
    let mut text = Vec::new();
    if chance.one_in(3) {
        text.extend_from_slice(if chance.one_in(2) { b"{\"instances\":" } else { b"{\"inputs\": " });
        let depth = chance.below(5);
        numbers(chance, depth, &mut text);
        text.extend_from_slice(if chance.one_in(4) { b",\"signature_name\":\"\"}" } else { b"}" });
    } else {
        let depth = chance.below(5);
        value(chance, depth, &mut text);
    }
    if chance.one_in(50) {
        text.splice(..0, *b"\xEF\xBB\xBF");
    }
    for _ in 0..if chance.one_in(3) { chance.below(3) } else { 0 } {
        let at = chance.below(text.len() + 1);
        match chance.below(4) {
            0 => text.truncate(at),
            1 if at < text.len() => drop(text.remove(at)),
            2 if at < text.len() => text[at] = chance.next() as u8,
            _ => text.insert(at, b"[]{}:,\"\\0e.-\0 NtuIf\xEF"[chance.below(19)]),
        }
    }
    text
}

/// Whether RapidJSON may accept a text that `serde_json` refuses: what it takes beyond the standard.
fn goes_beyond_the_standard(text: &[u8]) -> bool {
    let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    // Bytes of a byte order mark are taken one by one.
    let mark = matches!(text.first(), Some(0xEF | 0xBB | 0xBF));
    // A low surrogate alone is encoded as it stands; strings need not be UTF-8; a NUL ends the text.
    let lone = text
        .windows(4)
        .any(|window| window[..2] == *b"\\u" && matches!(&window[2..], [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F']));
    has(b"NaN") || has(b"Inf") || mark || lone || text.contains(&0) || std::str::from_utf8(text).is_err()
}

/// Whether RapidJSON may refuse a text that `serde_json` accepts: it looks at the exponent, not at the value.
fn refuses_more_than_the_standard(error: ParseError) -> bool {
    error.kind == ParseErrorKind::NumberTooBig
}

fn same(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Theirs;
    match (ours.kind(), theirs) {
        (Kind::Null, Theirs::Null) => true,
        (Kind::True | Kind::False, Theirs::Bool(flag)) => ours.boolean() == Some(*flag),
        (Kind::String, Theirs::String(text)) => ours.bytes() == Some(text.as_bytes()),
        (Kind::Number, Theirs::Number(number)) => same_number(ours, number),
        (Kind::Array, Theirs::Array(elements)) => {
            ours.array_length() == Some(elements.len())
                && ours.elements().zip(elements).all(|(ours, theirs)| same(ours, theirs))
        }
        (Kind::Object, Theirs::Object(members)) => {
            // Of equal keys the first counts here, the last there: such objects are not compared.
            ours.member_count() != Some(members.len())
                || members.iter().all(|(key, theirs)| ours.member(key).is_some_and(|ours| same(ours, theirs)))
        }
        _ => false,
    }
}

fn same_number(ours: Value<'_>, theirs: &serde_json::Number) -> bool {
    if let Some(number) = theirs.as_u64() {
        return ours.uint64() == Some(number);
    }
    if let Some(number) = theirs.as_i64() {
        return ours.int64() == Some(number);
    }
    let (Some(ours), Some(theirs)) = (ours.double(), theirs.as_f64()) else { return false };
    close(ours, theirs)
}

/// RapidJSON's default precision may be off by some units in the last place, and by that beyond the largest double.
fn close(one: f64, other: f64) -> bool {
    one == other
        || (one - other).abs() <= other.abs() * 4e-15
        || other.abs() < 1e-300
        || (one.is_infinite() && other.abs() > 1.797_693e308)
        || (other.is_infinite() && one.abs() > 1.797_693e308)
}

/// Whether two documents are the same; `NaN` is like itself.
fn equal(one: Value<'_>, other: Value<'_>) -> bool {
    one.kind() == other.kind()
        && match one.kind() {
            Kind::Number => {
                let (one, other) = (one.double().unwrap(), other.double().unwrap());
                close(one, other)
            }
            Kind::String => one.bytes() == other.bytes(),
            Kind::Array => one.elements().zip(other.elements()).all(|(one, other)| equal(one, other)),
            Kind::Object => {
                one.members().zip(other.members()).all(|((a, one), (b, other))| a == b && equal(one, other))
            }
            _ => true,
        }
}

fn has_not_finite(value: Value<'_>) -> bool {
    value.double().is_some_and(|number| !number.is_finite())
        || value.elements().any(has_not_finite)
        || (value.is_object() && value.members().any(|(_, value)| has_not_finite(value)))
}

fn check(text: &[u8]) -> Result<bool, String> {
    let ours = parse(text);
    let theirs = serde_json::from_slice::<serde_json::Value>(text);
    let short = parse_numbers_request(text);
    match (&ours, &theirs) {
        (Ok(document), Ok(value)) if !goes_beyond_the_standard(text) && !same(document.root(), value) => {
            return Err("the values differ".into());
        }
        (Ok(document), Err(error)) if !goes_beyond_the_standard(text) => {
            // RapidJSON looks at the exponent alone, and what is too large all the same becomes infinite.
            let infinite = error.to_string().contains("number out of range") && has_not_finite(document.root());
            if !infinite && !error.to_string().contains("recursion limit") {
                return Err(format!("only serde_json refuses it: {error}"));
            }
        }
        (Err(error), Ok(_)) if !refuses_more_than_the_standard(*error) => {
            return Err(format!("serde_json accepts it: {error}"));
        }
        _ => {}
    }
    match &ours {
        Err(error) if error.offset > text.len() => return Err(format!("an offset beyond the end: {error}")),
        Err(_) if short.is_some() => return Err("the short way reads what the long way refuses".into()),
        Err(_) => {}
        Ok(document) => {
            let root = document.root();
            let printed = pretty(root);
            if !has_not_finite(root) {
                let again = parse(&printed).map_err(|error| format!("what is printed cannot be read: {error}"))?;
                if root.kind() != Kind::Number && !equal(root, again.root()) {
                    return Err("what is printed reads differently".into());
                }
            }
            if let Some(short) = short {
                let name = if short.row_format { "instances" } else { "inputs" };
                let array = root.member(name).ok_or("the short way found another member")?;
                let mut flat = Vec::new();
                flatten(array, &mut flat);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                if bits(&flat) != bits(&short.array.values) || short.array.shape.iter().product::<usize>() != flat.len()
                {
                    return Err("the short way reads other numbers".into());
                }
            }
        }
    }
    Ok(ours.is_ok())
}

fn flatten(value: Value<'_>, target: &mut Vec<f32>) {
    match value.double() {
        Some(number) => target.push(number as f32),
        None => value.elements().for_each(|value| flatten(value, target)),
    }
}

#[test]
fn generated_texts_are_read_like_serde_json_reads_them() {
    let count = from_environment("CANARY_LAB_JSON_INPUTS", FEW);
    let seed = from_environment("CANARY_LAB_JSON_SEED", 1);
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut accepted = 0_u64;
    let mut wrong = Vec::new();
    for number in 0..count {
        let text = text(&mut chance);
        match check(&text) {
            Ok(read) => accepted += u64::from(read),
            Err(reason) => wrong.push(format!("text {number} of seed {seed}: {reason}\n{}", text.escape_ascii())),
        }
        let bits = chance.next();
        for value in [f64::from_bits(bits), f64::from(f32::from_bits(bits as u32))] {
            let mut printed = Vec::new();
            write_double(value, &mut printed);
            let again: f64 = std::str::from_utf8(&printed).unwrap().parse().unwrap();
            assert!(again == value || value.is_nan(), "{value:e} is printed as {}", printed.escape_ascii());
            printed.clear();
            write_float(value as f32, &mut printed);
            let again: f32 = std::str::from_utf8(&printed).unwrap().parse().unwrap();
            assert!(again == value as f32 || value.is_nan(), "{value:e} is printed as {}", printed.escape_ascii());
        }
    }
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{count} texts, {accepted} of them accepted");
    assert!(accepted * 5 > count && accepted * 20 < count * 19, "both kinds were looked at: {accepted} of {count}");
}
