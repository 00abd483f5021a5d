//! A counter-based hash: the same number for the same seed and counter, in any order, on any machine.

/// The odd number nearest to 2^64 divided by the golden ratio: counters spread over all bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a number so that every bit of the input changes about half of the output (the finaliser of SplitMix64, by
/// Steele, Lea and Flood, 2014, with Stafford's constants).
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of a counter in the stream of a seed.
pub(super) fn hash(seed: u64, counter: u64) -> u64 {
    mix(seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(STEP)))
}

/// The seed of a part of a stream.
pub(super) fn derive(seed: u64, part: u64) -> u64 {
    hash(seed ^ STEP, part)
}

/// Four numbers between -255 and 255 out of one hash, each the sum of two bytes less their mean: near zero more often.
pub(super) fn four_triangular(hash: u64) -> [i16; 4] {
    let bytes = hash.to_le_bytes();
    std::array::from_fn(|i| i16::from(bytes[2 * i]) + i16::from(bytes[2 * i + 1]) - 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_splitmix64() {
        // The first outputs of the published generator for the seed 1234567.
        let outputs: Vec<u64> = (0..3).map(|counter| hash(1_234_567, counter)).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn triangular_numbers_are_centred() {
        let numbers: Vec<i64> = (0..10_000).flat_map(|i| four_triangular(hash(7, i))).map(i64::from).collect();
        let mean = numbers.iter().sum::<i64>() as f64 / numbers.len() as f64;
        let variance = numbers.iter().map(|n| n * n).sum::<i64>() as f64 / numbers.len() as f64;
        assert!(mean.abs() < 2.0 && (variance - 10922.5).abs() < 300.0, "{mean} {variance}");
    }
}
