//! Short decimal digits of a double as RapidJSON 1.1.0 finds them: Loitsch's Grisu2.
//!
//! Grisu2 works with 64 bits where exact arithmetic would need a thousand, so about one double in a thousand gets a
//! digit more than necessary, or another last digit than the shortest text has: `1e23` becomes `9.999999999999999e22`.
//! All texts read back to the same double. Error messages of TensorFlow Serving quote numbers this way.

use std::sync::LazyLock;

/// `significand × 2^exponent`
#[derive(Clone, Copy)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

/// The decimal exponents of the powers in the table: from here on, in steps of [`STEP`].
const LEAST_POWER: i32 = -348;
const STEP: i32 = 8;
const POWERS: i32 = 87;

const FRACTION_BITS: u32 = 52;
const HIDDEN_BIT: u64 = 1 << FRACTION_BITS;
const EXPONENT_BIAS: i32 = 1023 + 52;

impl Scaled {
    fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let fraction = bits & (HIDDEN_BIT - 1);
        match (bits >> FRACTION_BITS & 0x7FF) as i32 {
            0 => Self { significand: fraction, exponent: 1 - EXPONENT_BIAS },
            biased => Self { significand: fraction | HIDDEN_BIT, exponent: biased - EXPONENT_BIAS },
        }
    }

    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product's upper 64 bits, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand);
        let (high, low) = ((product >> 64) as u64, product as u64);
        Self { significand: high + (low >> 63), exponent: self.exponent + other.exponent + 64 }
    }

    /// The middle to the next smaller and to the next larger double, both with the exponent of the latter.
    fn boundaries(self) -> (Self, Self) {
        let above = Self { significand: (self.significand << 1) + 1, exponent: self.exponent - 1 }.normalized();
        let below = if self.significand == HIDDEN_BIT {
            Self { significand: (self.significand << 2) - 1, exponent: self.exponent - 2 }
        } else {
            Self { significand: (self.significand << 1) - 1, exponent: self.exponent - 1 }
        };
        let significand = below.significand << (below.exponent - above.exponent);
        (Self { significand, exponent: above.exponent }, above)
    }
}

/// Digits of a positive finite double into `digits`; gives their number and the power of ten that the last one counts.
pub(super) fn shortest_digits(value: f64, digits: &mut [u8; 24]) -> (usize, i32) {
    let exact = Scaled::of(value);
    let (below, above) = exact.boundaries();
    let (power, decimal) = power_for(above.exponent);
    let middle = exact.normalized().times(power);
    let mut upper = above.times(power);
    let mut lower = below.times(power);
    lower.significand += 1;
    upper.significand -= 1;
    generate(middle, upper, upper.significand - lower.significand, decimal, digits)
}

/// The power of ten that brings a significand with this binary exponent into reach, and its decimal exponent negated.
fn power_for(exponent: i32) -> (Scaled, i32) {
    let estimate = f64::from(-61 - exponent) * 0.301_029_995_663_981_14 + 347.0;
    let index = ((estimate.ceil() as i32) >> 3) + 1;
    (TABLE[index as usize], -(LEAST_POWER + index * STEP))
}

fn generate(middle: Scaled, upper: Scaled, mut delta: u64, mut decimal: i32, digits: &mut [u8; 24]) -> (usize, i32) {
    let shift = -upper.exponent as u32;
    let one = 1_u64 << shift;
    let distance = upper.significand - middle.significand;
    let mut whole = (upper.significand >> shift) as u32;
    let mut fraction = upper.significand & (one - 1);
    let mut length = 0;
    let mut push = |digit: u8, digits: &mut [u8; 24]| {
        if digit > 0 || length > 0 {
            digits[length] = b'0' + digit;
            length += 1;
        }
        length
    };
    let mut left = whole.checked_ilog10().map_or(1, |log| log + 1).min(9);
    while left > 0 {
        left -= 1;
        let weight = 10_u32.pow(left);
        let length = push((whole / weight) as u8, digits);
        whole %= weight;
        let rest = (u64::from(whole) << shift) + fraction;
        if rest <= delta {
            round(&mut digits[..length], delta, rest, u64::from(weight) << shift, distance);
            return (length, decimal + left as i32);
        }
    }
    let mut behind = 0_u32;
    loop {
        fraction = fraction.wrapping_mul(10);
        delta = delta.wrapping_mul(10);
        let length = push((fraction >> shift) as u8, digits);
        fraction &= one - 1;
        behind += 1;
        if fraction < delta {
            decimal -= behind as i32;
            // RapidJSON's table of powers ends here; further ones count as nothing.
            let weight = if behind < 9 { 10_u64.pow(behind) } else { 0 };
            round(&mut digits[..length], delta, fraction, one, distance.wrapping_mul(weight));
            return (length, decimal);
        }
    }
}

/// Moves the last digit towards the exact value.
fn round(digits: &mut [u8], delta: u64, mut rest: u64, weight: u64, distance: u64) {
    let Some(last) = digits.last_mut() else { return };
    while rest < distance
        && delta - rest >= weight
        && (rest + weight < distance || distance - rest > rest + weight - distance)
    {
        *last -= 1;
        rest += weight;
    }
}

/// The powers of ten, each with the nearest significand of 64 bits.
static TABLE: LazyLock<Vec<Scaled>> =
    LazyLock::new(|| (0..POWERS).map(|index| power_of_ten(LEAST_POWER + index * STEP)).collect());

/// Exactly, then cut: a product of tens, or a large power of two divided by ten as often as needed.
fn power_of_ten(power: i32) -> Scaled {
    /// Leaves more than 64 bits of the smallest power.
    const LARGE: i32 = 41 * 32;
    let mut limbs = vec![1_u32];
    if power < 0 {
        limbs = vec![0; 41];
        limbs.push(1);
    }
    for _ in 0..power {
        let mut carry = 0_u64;
        for limb in &mut limbs {
            let product = u64::from(*limb) * 10 + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    for _ in power..0 {
        let mut remainder = 0_u64;
        for limb in limbs.iter_mut().rev() {
            let dividend = remainder << 32 | u64::from(*limb);
            *limb = (dividend / 10) as u32;
            remainder = dividend % 10;
        }
    }
    let bit = |at: i32| at >= 0 && limbs.get(at as usize / 32).is_some_and(|limb| limb >> (at % 32) & 1 == 1);
    let top = (0..limbs.len() as i32 * 32).rev().find(|at| bit(*at)).unwrap_or(0);
    let significand = (0..64).fold(0_u64, |significand, step| significand << 1 | u64::from(bit(top - step)));
    // None of the powers rounds up to the next power of two.
    let significand = significand + u64::from(bit(top - 64));
    Scaled { significand, exponent: top - 63 - if power < 0 { LARGE } else { 0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(value: f64) -> String {
        let mut digits = [0; 24];
        let (length, exponent) = shortest_digits(value, &mut digits);
        format!("{}e{exponent}", std::str::from_utf8(&digits[..length]).unwrap())
    }

    #[test]
    fn digits_are_those_of_rapidjson() {
        let cases = [
            (0.1, "1e-1"),
            (1e23, "9999999999999999e7"),
            (18_446_744_073_709_551_616.0, "18446744073709553e3"),
            (5e-324, "5e-324"),
            (f64::MAX, "17976931348623157e292"),
            (f64::MIN_POSITIVE, "22250738585072014e-324"),
            (123_456.5, "1234565e-1"),
            (1.0, "1e0"),
        ];
        for (value, expected) in cases {
            assert_eq!(digits(value), expected);
        }
    }

    #[test]
    fn digits_read_back() {
        let mut bits = 1_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits).abs();
            if value.is_finite() && value > 0.0 {
                assert_eq!(digits(value).parse(), Ok(value));
            }
        }
    }

    #[test]
    fn powers_are_the_nearest() {
        let one = power_of_ten(-348 + 8 * 44);
        assert_eq!((one.significand, one.exponent), (0x9C40_0000_0000_0000, -50));
        let least = power_of_ten(-348);
        assert_eq!((least.significand, least.exponent), (0xFA8F_D5A0_081C_0288, -1220));
    }
}
