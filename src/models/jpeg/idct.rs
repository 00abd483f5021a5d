//! The accurate integer inverse DCT (Loeffler, Ligtenberg and Moschytz with 13-bit constants), as libjpeg's `islow`.

const CONST_BITS: u32 = 13;
/// Extra fraction bits that are kept between the two passes.
const PASS1_BITS: u32 = 2;

/// A real constant of the algorithm in 13-bit fixed point.
const fn fix(value: f64) -> i32 {
    (value * (1 << CONST_BITS) as f64 + 0.5) as i32
}

const F_0_298: i32 = fix(0.298_631_336);
const F_0_390: i32 = fix(0.390_180_644);
const F_0_541: i32 = fix(0.541_196_100);
const F_0_765: i32 = fix(0.765_366_865);
const F_0_899: i32 = fix(0.899_976_223);
const F_1_175: i32 = fix(1.175_875_602);
const F_1_501: i32 = fix(1.501_321_110);
const F_1_847: i32 = fix(1.847_759_065);
const F_1_961: i32 = fix(1.961_570_560);
const F_2_053: i32 = fix(2.053_119_869);
const F_2_562: i32 = fix(2.562_915_447);
const F_3_072: i32 = fix(3.072_711_026);

/// One eight-point inverse transform, scaled up by 2^13. Wrapping, because hostile coefficients may exceed 32 bits and
/// must not panic; valid ones never do.
fn transform(input: [i32; 8]) -> [i32; 8] {
    let mul = i32::wrapping_mul;
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;

    let z1 = mul(add(input[2], input[6]), F_0_541);
    let even2 = sub(z1, mul(input[6], F_1_847));
    let even3 = add(z1, mul(input[2], F_0_765));
    let even0 = mul(add(input[0], input[4]), 1 << CONST_BITS);
    let even1 = mul(sub(input[0], input[4]), 1 << CONST_BITS);
    let (t10, t13) = (add(even0, even3), sub(even0, even3));
    let (t11, t12) = (add(even1, even2), sub(even1, even2));

    let (o0, o1, o2, o3) = (input[7], input[5], input[3], input[1]);
    let z5 = mul(add(add(o0, o2), add(o1, o3)), F_1_175);
    let z1 = mul(add(o0, o3), F_0_899).wrapping_neg();
    let z2 = mul(add(o1, o2), F_2_562).wrapping_neg();
    let z3 = sub(z5, mul(add(o0, o2), F_1_961));
    let z4 = sub(z5, mul(add(o1, o3), F_0_390));
    let o0 = add(mul(o0, F_0_298), add(z1, z3));
    let o1 = add(mul(o1, F_2_053), add(z2, z4));
    let o2 = add(mul(o2, F_3_072), add(z2, z3));
    let o3 = add(mul(o3, F_1_501), add(z1, z4));

    [add(t10, o3), add(t11, o2), add(t12, o1), add(t13, o0), sub(t13, o0), sub(t12, o1), sub(t11, o2), sub(t10, o3)]
}

/// Divides by 2^bits, rounding half up.
fn descale(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

/// Turns 64 dequantised coefficients, in natural order, into 64 samples 0..=255.
pub(super) fn inverse(coefficients: &[i32; 64]) -> [u8; 64] {
    let mut work = [0_i32; 64];
    for column in 0..8 {
        let out = transform(std::array::from_fn(|row| coefficients[row * 8 + column]));
        for (row, value) in out.into_iter().enumerate() {
            work[row * 8 + column] = descale(value, CONST_BITS - PASS1_BITS);
        }
    }
    let mut samples = [0_u8; 64];
    for row in 0..8 {
        let out = transform(std::array::from_fn(|column| work[row * 8 + column]));
        for (column, value) in out.into_iter().enumerate() {
            let level = descale(value, CONST_BITS + PASS1_BITS + 3).wrapping_add(128);
            samples[row * 8 + column] = level.clamp(0, 255) as u8;
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_published_ones() {
        assert_eq!(
            [
                F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053, F_2_562,
                F_3_072
            ],
            [2446, 3196, 4433, 6270, 7373, 9633, 12299, 15137, 16069, 16819, 20995, 25172]
        );
    }

    #[test]
    fn it_is_the_real_transform_within_one_level() {
        // The definition, in floating point, on coefficients from a small deterministic generator.
        let mut state = 12345_u32;
        for _ in 0..200 {
            let mut coefficients = [0_i32; 64];
            for value in &mut coefficients {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = ((state >> 16) as i32 % 61) - 30;
            }
            let fast = inverse(&coefficients);
            for y in 0..8 {
                for x in 0..8 {
                    let mut sum = 0.0;
                    for v in 0..8 {
                        for u in 0..8 {
                            let scale = |k: usize| if k == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
                            let angle = |p: usize, k: usize| ((2 * p + 1) * k) as f64 * std::f64::consts::PI / 16.0;
                            sum += scale(u)
                                * scale(v)
                                * f64::from(coefficients[v * 8 + u])
                                * angle(x, u).cos()
                                * angle(y, v).cos();
                        }
                    }
                    let exact = (sum / 4.0 + 128.0).clamp(0.0, 255.0);
                    assert!((exact - f64::from(fast[y * 8 + x])).abs() <= 1.0, "{exact} {}", fast[y * 8 + x]);
                }
            }
        }
    }

    #[test]
    fn extreme_coefficients_do_not_panic() {
        let _ = inverse(&[i32::MAX; 64]);
        let _ = inverse(&[i32::MIN; 64]);
    }
}
