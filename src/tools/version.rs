//! Versions in other programs' words.

use semver::Version;

/// The first `1.2.3` (with or without a `v`, a build or a pre-release behind it) in a text.
pub fn first_version(text: &str) -> Option<Version> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let starts =
            bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'v');
        let starts = starts && !(at > 0 && bytes[at - 1] == b'.');
        if !starts {
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let end =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !".-+".contains(letter)).unwrap_or(rest.len());
        let word = rest[..end].trim_end_matches(['.', '-', '+']);
        if let Ok(version) = Version::parse(word) {
            return Some(version);
        }
        at += end.max(1);
    }
    None
}

/// Major and minor of `v1.24.3`, `1.24+` or `1.24.3-gke.1`.
pub fn minor_of(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim().trim_start_matches('v').split('.');
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    Some((number(parts.next()?)?, number(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_words() {
        for (text, version) in [
            ("minikube version: v1.36.0\ncommit: f8f52f5de11fc6ad8244afac475e1d0f96841df1", "1.36.0"),
            ("1.12.7\n", "1.12.7"),
            ("client version: 1.12.7\ncontrol plane version: 1.12.7", "1.12.7"),
            ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24+dfsg1"),
            ("go1.19.8 built v1.26.1-beta.0", "1.26.1-beta.0"),
        ] {
            assert_eq!(first_version(text).map(|version| version.to_string()).as_deref(), Some(version), "{text}");
        }
        for text in ["", "no version", "1.2", "10.110.24.130"] {
            assert_eq!(first_version(text), None, "{text}");
        }
        assert_eq!(minor_of("v1.24.3"), Some((1, 24)));
        assert_eq!(minor_of("1.24+"), Some((1, 24)));
        assert_eq!(minor_of("1.27.4-gke.900"), Some((1, 27)));
        assert_eq!(minor_of("banana"), None);
    }
}
