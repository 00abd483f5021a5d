//! Durations as Go's `time.ParseDuration` reads them, which is what Istio's decoder uses.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A signed duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoDuration {
    nanoseconds: i128,
}

impl GoDuration {
    /// Whole nanoseconds, negative for a negative duration.
    pub(crate) fn nanoseconds(self) -> i128 {
        self.nanoseconds
    }

    /// The duration as the standard library's type; a negative one is zero.
    pub(crate) fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds.max(0)).unwrap_or(u64::MAX))
    }

    /// Reads a Go duration such as `1.5h`, `300ms` or `-2s`.
    ///
    /// # Errors
    /// The text that Go's parser gives.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {text:?}");
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self { nanoseconds: 0 });
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut nanoseconds: i128 = 0;
        while !rest.is_empty() {
            let digits = leading(rest, |c| c.is_ascii_digit());
            let whole = &rest[..digits];
            rest = &rest[digits..];
            let mut fraction = "";
            if let Some(after) = rest.strip_prefix('.') {
                let digits = leading(after, |c| c.is_ascii_digit());
                fraction = &after[..digits];
                rest = &after[digits..];
            }
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let unit_length = leading(rest, |c| c != '.' && !c.is_ascii_digit());
            let unit = &rest[..unit_length];
            rest = &rest[unit_length..];
            if unit.is_empty() {
                return Err(format!("time: missing unit in duration {text:?}"));
            }
            let scale: i128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
            };
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            nanoseconds = nanoseconds.checked_add(whole.checked_mul(scale).ok_or_else(invalid)?).ok_or_else(invalid)?;
            // Digits past the nineteenth cannot change a nanosecond.
            let fraction = &fraction[..fraction.len().min(19)];
            if !fraction.is_empty() {
                let numerator: i128 = fraction.parse().map_err(|_| invalid())?;
                nanoseconds += numerator * scale / 10_i128.pow(fraction.len() as u32);
            }
        }
        if nanoseconds > i128::from(i64::MAX) {
            return Err(invalid());
        }
        Ok(Self { nanoseconds: if negative { -nanoseconds } else { nanoseconds } })
    }
}

fn leading(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accept(c)).unwrap_or(text.len())
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|reason| serde::de::Error::custom(format!("bad Duration: {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_like_go() {
        let cases: [(&str, Result<i128, &str>); 10] = [
            ("5s", Ok(5_000_000_000)),
            ("0.5s", Ok(500_000_000)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("1.5ms", Ok(1_500_000)),
            ("-2s", Ok(-2_000_000_000)),
            ("0", Ok(0)),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5 seconds", Err("time: unknown unit \" seconds\" in duration \"5 seconds\"")),
            ("", Err("time: invalid duration \"\"")),
            ("s", Err("time: invalid duration \"s\"")),
        ];
        for (text, expected) in cases {
            let parsed = GoDuration::parse(text).map(GoDuration::nanoseconds);
            assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
        }
    }
}
