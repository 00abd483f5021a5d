//! What Go's `regexp` says about a pattern that it does not take.
//!
//! The webhook compiles patterns with Go's library and passes its error on, so the texts belong to the wire. The scanner knows
//! the grammar's refusals, not its meaning; matching is done by the `regex` crate, whose syntax covers what Go accepts.

/// Checks a pattern by Go's grammar.
///
/// # Errors
/// Go's text, starting with `error parsing regexp: `.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    Scanner { text: pattern, at: 0, depth: 0 }
        .run()
        .map_err(|(reason, part)| format!("error parsing regexp: {reason}: `{part}`"))?;
    // What passes Go's grammar and still fails here is beyond what the data plane could match.
    regex::Regex::new(pattern)
        .map(|_| ())
        .map_err(|_| format!("error parsing regexp: invalid or unsupported Perl syntax: `{pattern}`"))
}

const MAX_REPEAT: u32 = 1000;

type Refusal = (&'static str, String);

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn run(mut self) -> Result<(), Refusal> {
        // Whether something stands before the cursor that a repetition could repeat, and where a repetition began.
        let mut repeatable = false;
        let mut last_repeat: Option<usize> = None;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            match c {
                '(' => {
                    self.group()?;
                    self.depth += 1;
                    repeatable = false;
                    last_repeat = None;
                }
                ')' => {
                    if self.depth == 0 {
                        return Err(("unexpected )", self.text.to_owned()));
                    }
                    self.depth -= 1;
                    self.at += 1;
                    repeatable = true;
                    last_repeat = None;
                }
                '|' => {
                    self.at += 1;
                    repeatable = false;
                    last_repeat = None;
                }
                '[' => {
                    self.class()?;
                    repeatable = true;
                    last_repeat = None;
                }
                '*' | '+' | '?' | '{' => {
                    let Some(length) = self.repetition()? else {
                        // A brace that is no repetition is an ordinary character.
                        self.at += 1;
                        repeatable = true;
                        last_repeat = None;
                        continue;
                    };
                    let operator = &self.text[start..start + length];
                    if let Some(before) = last_repeat {
                        return Err((
                            "invalid nested repetition operator",
                            self.text[before..start + length].to_owned(),
                        ));
                    }
                    if !repeatable {
                        return Err(("missing argument to repetition operator", operator.to_owned()));
                    }
                    self.at += length;
                    if self.rest().starts_with('?') {
                        self.at += 1;
                    }
                    last_repeat = Some(start);
                }
                '\\' => {
                    self.escape()?;
                    repeatable = true;
                    last_repeat = None;
                }
                _ => {
                    self.at += c.len_utf8();
                    repeatable = true;
                    last_repeat = None;
                }
            }
        }
        if self.depth > 0 { Err(("missing closing )", self.text.to_owned())) } else { Ok(()) }
    }

    /// Length of the repetition operator at the cursor, without a lazy `?`; `None` for a literal brace.
    fn repetition(&self) -> Result<Option<usize>, Refusal> {
        let rest = self.rest();
        if !rest.starts_with('{') {
            return Ok(Some(1));
        }
        let Some(end) = rest.find('}') else { return Ok(None) };
        let inside = &rest[1..end];
        let (low, high) = match inside.split_once(',') {
            None => (inside, None),
            Some((low, high)) => (low, Some(high)),
        };
        let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !numeric(low) || high.is_some_and(|high| !high.is_empty() && !numeric(high)) {
            return Ok(None);
        }
        let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let too_large = number(low) > MAX_REPEAT
            || high.is_some_and(|high| !high.is_empty() && (number(high) > MAX_REPEAT || number(high) < number(low)));
        if too_large {
            return Err(("invalid repeat count", rest[..=end].to_owned()));
        }
        Ok(Some(end + 1))
    }

    fn group(&mut self) -> Result<(), Refusal> {
        let rest = self.rest();
        let Some(after) = rest.strip_prefix("(?") else {
            self.at += 1;
            return Ok(());
        };
        if let Some(name) = after.strip_prefix("P<") {
            let Some(end) = name.find('>') else {
                return Err(("invalid named capture", rest.to_owned()));
            };
            let valid = !name[..end].is_empty() && name[..end].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !valid {
                return Err(("invalid named capture", rest[..=4 + end].to_owned()));
            }
            self.at += 4 + end + 1;
            return Ok(());
        }
        let flags = after.find(|c: char| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).unwrap_or(after.len());
        match after[flags..].chars().next() {
            Some(':') => {
                self.at += 2 + flags + 1;
                Ok(())
            }
            Some(')') if flags > 0 => {
                // `(?i)` opens nothing; the caller counts a group, so one is taken off.
                self.at += 2 + flags;
                Ok(())
            }
            Some(c) => Err(("invalid or unsupported Perl syntax", rest[..2 + flags + c.len_utf8()].to_owned())),
            None => Err(("missing argument to repetition operator", "?".to_owned())),
        }
    }

    fn class(&mut self) -> Result<(), Refusal> {
        let whole = self.rest().to_owned();
        let mut at = 1;
        if whole[at..].starts_with('^') {
            at += 1;
        }
        let mut first = true;
        loop {
            let Some(c) = whole[at..].chars().next() else {
                return Err(("missing closing ]", whole));
            };
            if c == ']' && !first {
                self.at += at + 1;
                return Ok(());
            }
            first = false;
            if whole[at..].starts_with("[:")
                && let Some(end) = whole[at + 2..].find(":]")
            {
                let name = &whole[at..at + 2 + end + 2];
                if !is_posix_class(&whole[at + 2..at + 2 + end]) {
                    return Err(("invalid character class range", name.to_owned()));
                }
                at += 2 + end + 2;
                continue;
            }
            let low_start = at;
            let (low, after) = class_character(&whole, at)?;
            at = after;
            if whole[at..].starts_with('-') && !whole[at..].starts_with("-]") && whole.len() > at + 1 {
                let (high, after) = class_character(&whole, at + 1)?;
                if let (Some(low), Some(high)) = (low, high)
                    && high < low
                {
                    return Err(("invalid character class range", whole[low_start..after].to_owned()));
                }
                at = after;
            }
        }
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        if self.rest().starts_with("\\Q") {
            self.at = self.rest().find("\\E").map_or(self.text.len(), |end| self.at + end + 2);
            return Ok(());
        }
        let (_, after) = escaped(self.text, self.at, "AbBzZCdDsSwWpPQE")?;
        self.at = after;
        Ok(())
    }
}

fn is_posix_class(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
    ];
    NAMES.contains(&name.strip_prefix('^').unwrap_or(name))
}

fn class_character(text: &str, at: usize) -> Result<(Option<char>, usize), Refusal> {
    match text[at..].chars().next() {
        None => Err(("missing closing ]", text.to_owned())),
        Some('\\') => escaped(text, at, "dDsSwWpP"),
        Some(c) => Ok((Some(c), at + c.len_utf8())),
    }
}

/// Reads the escape at `at`: the character it stands for, where it is one, and the place after it.
fn escaped(text: &str, at: usize, classes: &str) -> Result<(Option<char>, usize), Refusal> {
    let Some(c) = text[at + 1..].chars().next() else {
        return Err(("trailing backslash at end of expression", String::new()));
    };
    let after = at + 1 + c.len_utf8();
    if matches!(c, 'p' | 'P') && classes.contains(c) {
        let end = if text[after..].starts_with('{') {
            text[after..].find('}').map(|end| after + end + 1)
        } else {
            text[after..].chars().next().map(|c| after + c.len_utf8())
        };
        return match end {
            Some(end) if regex::Regex::new(&text[at..end]).is_ok() => Ok((None, end)),
            Some(end) => Err(("invalid character class range", text[at..end].to_owned())),
            None => Err(("invalid character class range", text[at..].to_owned())),
        };
    }
    if classes.contains(c) {
        return Ok((None, after));
    }
    match c {
        'x' => {
            let end = if text[after..].starts_with('{') {
                text[after..].find('}').map(|end| after + end + 1)
            } else {
                text.as_bytes()
                    .get(after..after + 2)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
                    .then_some(after + 2)
            };
            end.map(|end| (None, end)).ok_or_else(|| ("invalid escape sequence", text[at..after].to_owned()))
        }
        'a' | 'f' | 't' | 'n' | 'r' | 'v' | '0' => Ok((None, after)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok((Some(c), after)),
        _ => Err(("invalid escape sequence", text[at..after].to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_like_go() {
        let cases = [
            ("[", Some("missing closing ]: `[`")),
            ("*", Some("missing argument to repetition operator: `*`")),
            ("a**", Some("invalid nested repetition operator: `**`")),
            ("(a", Some("missing closing ): `(a`")),
            ("a)", Some("unexpected ): `a)`")),
            ("a\\", Some("trailing backslash at end of expression: ``")),
            ("(?=a)", Some("invalid or unsupported Perl syntax: `(?=`")),
            ("[b-a]", Some("invalid character class range: `b-a`")),
            ("\\y", Some("invalid escape sequence: `\\y`")),
            ("a{1001}", Some("invalid repeat count: `{1001}`")),
            ("^(.*?;)?(user=jason)(;.*)?$", None),
            ("/v1/.*", None),
            ("(?i)canary", None),
            ("a{2,3}", None),
        ];
        for (pattern, text) in cases {
            let expected = text.map_or(Ok(()), |text| Err(format!("error parsing regexp: {text}")));
            assert_eq!(check(pattern), expected, "{pattern}");
        }
    }
}
