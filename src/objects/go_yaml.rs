//! YAML as the API server writes it: sorted keys, lists at the indentation of their key, and texts in quotes wherever
//! YAML 1.1 would read something else (a time, `yes`, a number).

use serde_json::Value;

/// The YAML document of a value, newline included.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(value, 0, &mut out),
        Value::Array(list) if !list.is_empty() => sequence(value, 0, &mut out),
        other => {
            out.push_str(&scalar(other, 0));
            out.push('\n');
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn mapping(value: &Value, depth: usize, out: &mut String) {
    let mut fields: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(key, _)| *key);
    for (index, (key, value)) in fields.into_iter().enumerate() {
        // The first key stands where the caller has written, be it a dash.
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            indent(depth, out);
        }
        out.push_str(&scalar(&Value::from(key.as_str()), depth));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(value, depth + 1, out);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                sequence(value, depth, out);
            }
            other => {
                out.push(' ');
                out.push_str(&scalar(other, depth + 1));
                out.push('\n');
            }
        }
    }
}

fn sequence(value: &Value, depth: usize, out: &mut String) {
    for item in value.as_array().into_iter().flatten() {
        if out.is_empty() || out.ends_with('\n') {
            indent(depth, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(item, depth + 1, out),
            Value::Array(list) if !list.is_empty() => sequence(item, depth + 1, out),
            other => {
                out.push_str(&scalar(other, depth + 1));
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => string(text, depth),
    }
}

fn string(text: &str, depth: usize) -> String {
    let printable = text.chars().all(|letter| letter == '\n' || letter == '\t' || !letter.is_control());
    if text.contains('\n')
        && printable
        && !text.starts_with([' ', '\n', '\t'])
        && text.lines().all(|line| !line.ends_with(' '))
    {
        return literal(text, depth);
    }
    if reads_otherwise(text) || !printable || text.contains('\n') {
        // JSON's texts are YAML's double-quoted ones.
        return Value::from(text).to_string();
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// A text of several lines, as it is; the sign says what becomes of the last line's end.
fn literal(text: &str, depth: usize) -> String {
    let kept = match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (false, _) => "|-",
        (true, false) => "|",
        (true, true) => "|+",
    };
    let mut out = kept.to_owned();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(depth.max(1), &mut out);
            out.push_str(line);
        }
    }
    out
}

/// Whether the bare text would be read as something that is no text.
fn reads_otherwise(text: &str) -> bool {
    const WORDS: [&str; 13] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"];
    let lower = text.to_lowercase();
    let signed = lower.trim_start_matches(['+', '-']);
    WORDS.contains(&lower.as_str())
        || signed == ".inf"
        || is_number(signed)
        || is_time(text)
        || text == "<<"
        || text == "="
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str, base: u32| {
        !text.is_empty() && text.chars().all(|letter| letter == '_' || letter.is_digit(base)) && text != "_"
    };
    if let Some((prefix, rest)) = text.split_at_checked(2)
        && match prefix {
            "0x" => digits(rest, 16),
            "0o" => digits(rest, 8),
            "0b" => digits(rest, 2),
            _ => false,
        }
    {
        return true;
    }
    // Sexagesimal numbers such as 1:30 are of YAML 1.1.
    let sexagesimal = text.contains(':') && text.split(':').all(|part| digits(part.trim_end_matches('.'), 10));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent = exponent.trim_start_matches(['+', '-']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let starts = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let either = !whole.is_empty() || !fraction.is_empty();
    let part = |text: &str| text.is_empty() || digits(text, 10);
    sexagesimal || starts && either && part(whole) && part(fraction) && digits(exponent, 10)
}

/// Dates, and times that begin with one.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    date && (text.parse::<jiff::civil::Date>().is_ok() || text.parse::<jiff::Timestamp>().is_ok())
}

/// Whether the text can stand without quotes.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let starts_well = match first {
        '-' | '?' | ':' => !text[1..].starts_with(' ') && text.len() > 1,
        _ => !"#,[]{}&*!|>'\"%@`= \t".contains(first),
    };
    starts_well
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([' ', '\t', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains('\t')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_look_like_the_servers() {
        let value = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "a", "creationTimestamp": "2026-11-23T08:48:40Z", "labels": {}, "list": [{"b": 1, "a": [1, []]}, "x"]},
            "data": {"text": "one\ntwo\n", "yes": "on", "n": "1.5", "colon": "a: b", "quote": "it's", "dash": "- x", "empty": "", "tab": "a\u{1}"},
        });
        let expected = "apiVersion: v1\ndata:\n  colon: 'a: b'\n  dash: '- x'\n  empty: \"\"\n  \"n\": \"1.5\"\n  quote: it's\n  tab: \"a\\u0001\"\n  text: |\n    one\n    two\n  \"yes\": \"on\"\nkind: ConfigMap\nmetadata:\n  creationTimestamp: \"2026-11-23T08:48:40Z\"\n  labels: {}\n  list:\n  - a:\n    - 1\n    - []\n    b: 1\n  - x\n  name: a\n";
        assert_eq!(to_string(&value), expected);
        assert_eq!(serde_yaml::from_str::<Value>(expected).ok(), Some(value));
    }

    #[test]
    fn whatever_is_written_is_read_as_it_was() {
        for text in [
            "a",
            " a",
            "a ",
            "#a",
            "a #b",
            "0x1f",
            "1:30",
            "1e3",
            "12.",
            "-1",
            "+1",
            "null",
            "~",
            "2026-01-01",
            "%a",
            "@b",
            "a\nb",
            "a\n\nb\n\n",
            "\n",
            " \n",
            "a\tb",
            "'",
            "\"",
            "---",
            ":",
            "-",
            "ü",
            "{",
            "a:",
        ] {
            let written = to_string(&json!({"k": text, "l": [text]}));
            assert_eq!(
                serde_yaml::from_str::<Value>(&written).ok(),
                Some(json!({"k": text, "l": [text]})),
                "{written}"
            );
        }
    }
}
