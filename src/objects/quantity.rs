//! Amounts of resources: `100m`, `1Gi`, `2e3`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An amount, exact to 10⁻⁹, with the family of suffixes that it was written in. The canonical text is that of
/// `resource.Quantity`: no fraction, no exponent that can be avoided, the largest suffix that keeps the amount whole.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    BinarySuffix,
    DecimalSuffix,
    DecimalExponent,
}

/// Why a text is no quantity; the texts are apimachinery's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with an optional suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is none of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The amount is too large to be kept.
    #[error("unable to parse numeric part of quantity")]
    Range,
}

const NANO: i128 = 1_000_000_000;
const BINARY: &[(&str, u32)] = &[("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
const DECIMAL: &[(&str, i32)] =
    &[("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("u", -6), ("n", -9)];

impl Quantity {
    /// A whole amount, written with decimal suffixes.
    pub fn whole(amount: i64) -> Self {
        Self { nano: i128::from(amount) * NANO, format: Format::DecimalSuffix }
    }

    /// The amount rounded up to whole units.
    pub fn value(&self) -> i64 {
        let whole = self.nano.div_euclid(NANO) + i128::from(self.nano.rem_euclid(NANO) != 0);
        i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
    }

    /// The amount rounded up to thousandths.
    pub fn milli_value(&self) -> i64 {
        let milli = self.nano.div_euclid(NANO / 1000) + i128::from(self.nano.rem_euclid(NANO / 1000) != 0);
        i64::try_from(milli).unwrap_or(if milli < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.nano < 0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits);
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (integer.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        let (multiplier_binary, exponent, format) = suffix_of(suffix)?;
        // mantissa × 10^(exponent − digits of the fraction) × 2^binary, in nano-units, rounded away from zero.
        let mut mantissa: i128 = 0;
        for digit in integer.bytes().chain(fraction.bytes()) {
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i128::from(digit - b'0')))
                .ok_or(QuantityError::Range)?;
        }
        mantissa = mantissa.checked_mul(1 << multiplier_binary).ok_or(QuantityError::Range)?;
        let power = exponent + 9 - i32::try_from(fraction.len()).map_err(|_| QuantityError::Range)?;
        let scale = 10_i128.checked_pow(power.unsigned_abs());
        let nano = match scale {
            Some(scale) if power >= 0 => mantissa.checked_mul(scale).ok_or(QuantityError::Range)?,
            Some(scale) => mantissa / scale + i128::from(mantissa % scale != 0),
            None if mantissa == 0 => 0,
            None if power < 0 => 1,
            None => return Err(QuantityError::Range),
        };
        Ok(Self { nano: if text.starts_with('-') { -nano } else { nano }, format })
    }
}

fn suffix_of(suffix: &str) -> Result<(u32, i32, Format), QuantityError> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((*power, 0, Format::BinarySuffix));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((0, *power, Format::DecimalSuffix));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
        return if exponent.abs() < 100 {
            Ok((0, exponent, Format::DecimalExponent))
        } else {
            Err(QuantityError::Range)
        };
    }
    let known = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
    Err(if suffix.chars().all(known) { QuantityError::Suffix } else { QuantityError::Format })
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return out.write_str("0");
        }
        // Amounts below 1024 or with a fraction cannot be said in binary suffixes.
        if self.format == Format::BinarySuffix && self.nano.abs() >= 1024 * NANO && self.nano % NANO == 0 {
            let whole = self.nano / NANO;
            for (suffix, power) in BINARY {
                if whole % (1 << power) == 0 {
                    return write!(out, "{}{suffix}", whole >> power);
                }
            }
            return write!(out, "{whole}");
        }
        for (suffix, power) in DECIMAL {
            let unit = 10_i128.pow((power + 9).unsigned_abs());
            if self.nano % unit == 0 {
                let amount = self.nano / unit;
                return match self.format {
                    Format::DecimalExponent if *power != 0 => write!(out, "{amount}e{power}"),
                    _ => write!(out, "{amount}{suffix}"),
                };
            }
        }
        write!(out, "{}n", self.nano)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().expect(text).to_string()
    }

    #[test]
    fn canonical_forms() {
        for (text, expected) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1000k", "1M"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("2e3", "2e3"),
            ("1500e3", "1500e3"),
            ("-100m", "-100m"),
            ("+1", "1"),
            (".5", "500m"),
            ("1.", "1"),
            ("0.0000000001", "1n"),
            ("100Mi", "100Mi"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn order_ignores_spelling() {
        let quantity = |text: &str| text.parse::<Quantity>().expect(text);
        assert_eq!(quantity("1Gi"), quantity("1024Mi"));
        assert!(quantity("1G") < quantity("1Gi"));
        assert_eq!(quantity("1500m").value(), 2);
        assert_eq!(quantity("100m").milli_value(), 100);
        assert!(quantity("-1").is_negative());
    }

    #[test]
    fn refusals() {
        for (text, expected) in [
            ("", QuantityError::Format),
            ("abc", QuantityError::Format),
            ("1.2.3", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            ("1Kii", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            ("999999999999999999999999999999999999999999", QuantityError::Range),
        ] {
            assert_eq!(text.parse::<Quantity>().expect_err(text), expected, "{text}");
        }
    }
}
