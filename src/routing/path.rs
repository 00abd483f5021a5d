//! Request paths, normalised as Istio's default mode (BASE) has Envoy do it before any match.

use std::borrow::Cow;

/// Normalises the path of a request target and keeps its query: backslashes become slashes, `.` and `..` are resolved, escapes
/// of unreserved characters are decoded. Doubled slashes and `%2F` stay.
pub fn normalise(target: &str) -> Cow<'_, str> {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    if !needs_work(path) {
        return Cow::Borrowed(target);
    }
    let decoded = decode_unreserved(path);
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = decoded.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." => {
                if last {
                    segments.push("");
                }
            }
            ".." => {
                segments.pop();
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    Cow::Owned(format!("/{}{query}", segments.join("/")))
}

fn needs_work(path: &str) -> bool {
    path.contains("/.") || path.bytes().any(|b| matches!(b, b'%' | b'\\'))
}

fn decode_unreserved(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut clean = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten().and_then(|hex| {
            let text = std::str::from_utf8(hex).ok()?;
            u8::from_str_radix(text, 16).ok()
        });
        match (bytes[at], decoded) {
            (_, Some(byte)) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                clean.push(byte);
                at += 3;
            }
            (b'\\', _) => {
                clean.push(b'/');
                at += 1;
            }
            (byte, _) => {
                clean.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(clean).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_recorded() {
        let cases = [
            ("/v1/models/a", "/v1/models/a"),
            ("/v1//models/a", "/v1//models/a"),
            ("/v1/./models/a", "/v1/models/a"),
            ("/v1/x/../models/a", "/v1/models/a"),
            ("/v1/models%2Fa", "/v1/models%2Fa"),
            ("/v1/models/%61", "/v1/models/a"),
            ("/v1\\models\\a", "/v1/models/a"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/a/.", "/a/"),
            ("/%2e%2e/a?x=/../b", "/a?x=/../b"),
            ("/v1/models/resnet50:predict", "/v1/models/resnet50:predict"),
        ];
        for (target, clean) in cases {
            assert_eq!(normalise(target), clean, "{target}");
        }
    }
}
