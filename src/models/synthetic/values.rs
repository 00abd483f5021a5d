//! The values of every weight.

use super::calibration::{Calibration, CalibrationError, Scale};
use super::hash::{derive, four_triangular, hash};
use crate::models::network::{Architecture, Layer, LayerKind, Network, NormPlace, WeightRole, WeightSpec};

/// The variance of the difference of two triangular numbers (see [`four_triangular`]), rounded.
const DIFFERENCE_VARIANCE: u64 = 21_845;
/// The classifier's bias is an integer times this power of two.
const BIAS_EXPONENT: i32 = -9;
/// What one class in sixteen has more than the others, in the same unit: 4. So some sixty classes hold most of the
/// probability, and the first of them lie clearly apart.
const LIKELY: i64 = 2048;

/// Gives the values of a network's weights, in any order and from any thread.
#[derive(Debug)]
pub struct Synthesis<'a> {
    seed: u64,
    layers: &'a [Layer],
    calibration: &'a Calibration,
}

/// A matrix of hashed numbers with one row for each input of a filter and one column for each filter.
struct Rows {
    seed: u64,
    columns: usize,
}

impl Rows {
    fn fill(&self, row: usize, out: &mut [i16]) {
        let hashes = self.columns.div_ceil(4) as u64;
        for (i, four) in out.chunks_mut(4).enumerate() {
            let values = four_triangular(hash(self.seed, row as u64 * hashes + i as u64));
            four.copy_from_slice(&values[..four.len()]);
        }
    }
}

impl<'a> Synthesis<'a> {
    /// Fails when the calibration does not fit the architecture.
    pub fn new(
        network: Network,
        architecture: &'a Architecture,
        calibration: &'a Calibration,
    ) -> Result<Self, CalibrationError> {
        calibration.check(network, architecture)?;
        // The seed spells the network; any other would do as well.
        let seed = network.id().bytes().fold(0, |seed, byte| derive(seed, u64::from(byte)));
        Ok(Self { seed, layers: &architecture.layers, calibration })
    }

    /// The elements of the weight at `ordinal` of [`Architecture::weights`]: 32-bit floats, little-endian.
    pub fn bytes(&self, ordinal: usize, weight: &WeightSpec) -> Vec<u8> {
        let seed = derive(self.seed, ordinal as u64);
        let layer = &self.layers[weight.layer];
        match (layer.kind, weight.role) {
            (LayerKind::Conv { size, inputs, outputs, .. }, WeightRole::Kernel) => {
                let taps = size * size;
                let exponent = -he_exponent(taps * inputs);
                let rows = Rows { seed, columns: outputs };
                if inputs == 3 {
                    // A filter on colours sums to zero over its pixels: it sees edges, not brightness.
                    let groups = (0..inputs).map(|channel| (channel..taps * inputs).step_by(inputs));
                    return zero_sums(&rows, taps * inputs, groups, power(exponent));
                }
                // Any other sums to zero over the channels of each pixel: what all channels share drops out.
                let groups = (0..taps).map(|tap| tap * inputs..(tap + 1) * inputs);
                zero_sums(&rows, taps * inputs, groups, power(exponent))
            }
            (LayerKind::Classifier { inputs }, WeightRole::Kernel) => {
                let rows = Rows { seed, columns: weight.shape[1] };
                let Scale { mantissa, exponent } = self.calibration.classifier;
                zero_sums(&rows, inputs, std::iter::once(0..inputs), mantissa as f32 * power(exponent))
            }
            (LayerKind::Classifier { .. }, _) => collect(weight, |i| {
                let hash = hash(self.calibration.bias_seed, i as u64);
                let likely = if hash >> 60 == 0 { LIKELY } else { 0 };
                (i64::from(four_triangular(hash)[0]) + likely) as f32 * power(BIAS_EXPONENT)
            }),
            (LayerKind::Norm { place, .. }, role) => self.norm(seed, weight, &layer.name, place, role),
            // The bias of a convolution: its mean square is about a thousandth of what a batch normalisation divides by.
            _ => collect(weight, |i| small(seed, i) as f32 * power(-8)),
        }
    }

    /// The weights of a batch normalisation: near 1, 0, 0 and the calibrated variance, but different in each channel.
    fn norm(&self, seed: u64, weight: &WeightSpec, layer: &str, place: NormPlace, role: WeightRole) -> Vec<u8> {
        let Scale { mantissa, exponent } = self.calibration.variances[layer];
        // The power of two at or below the standard deviation.
        let deviation = (exponent + 7).div_euclid(2);
        let gain = match place {
            NormPlace::Trunk => 64,
            NormPlace::BranchEnd => self.calibration.branch_gain,
        };
        collect(weight, |i| {
            let small = small(seed, i);
            match role {
                WeightRole::Gamma => (gain * (64 + small)) as f32 * power(-12),
                WeightRole::Beta => (gain * small) as f32 * power(-12),
                WeightRole::MovingMean => small as f32 * power(deviation - 6),
                _ => (mantissa * (64 + small)) as f32 * power(exponent - 6),
            }
        })
    }
}

/// A number from -8 to 7.
fn small(seed: u64, i: usize) -> i32 {
    (hash(seed, i as u64) >> 60) as i32 - 8
}

/// Two to the power of `exponent`, built from its bits: exact, and the same everywhere.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent.clamp(-126, 127)) as u32) << 23)
}

/// The power of two that brings differences of triangular numbers near to He's standard deviation, sqrt(2 / inputs).
fn he_exponent(inputs: usize) -> i32 {
    let wanted = DIFFERENCE_VARIANCE * inputs as u64 / 2;
    (wanted.ilog2() as i32 + 1) / 2
}

fn collect(weight: &WeightSpec, value: impl Fn(usize) -> f32) -> Vec<u8> {
    (0..weight.elements()).flat_map(|i| value(i).to_le_bytes()).collect()
}

/// A matrix whose columns sum to zero over each group of rows: the difference of each row and the next, around a circle.
///
/// The numbers have at most 10 bits and `scale` at most 8, so each product is exact.
fn zero_sums<G: Iterator<Item = usize>>(
    rows: &Rows,
    count: usize,
    groups: impl Iterator<Item = G>,
    scale: f32,
) -> Vec<u8> {
    let width = rows.columns;
    let mut bytes = vec![0; count * width * 4];
    let mut first = vec![0i16; width];
    let mut current = vec![0i16; width];
    let mut next = vec![0i16; width];
    for group in groups {
        let mut group = group.peekable();
        let Some(&start) = group.peek() else { continue };
        rows.fill(start, &mut first);
        current.copy_from_slice(&first);
        while let Some(row) = group.next() {
            match group.peek() {
                Some(&following) => rows.fill(following, &mut next),
                None => next.copy_from_slice(&first),
            }
            let out = &mut bytes[row * width * 4..(row + 1) * width * 4];
            for ((four, &a), &b) in out.chunks_exact_mut(4).zip(&current).zip(&next) {
                four.copy_from_slice(&(f32::from(a - b) * scale).to_le_bytes());
            }
            std::mem::swap(&mut current, &mut next);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_exact() {
        assert_eq!((power(0), power(-9), power(7)), (1.0, 1.0 / 512.0, 128.0));
    }

    #[test]
    fn the_spread_of_filters_is_near_hes() {
        for inputs in [147, 64, 576, 4608, 2048] {
            let deviation = (DIFFERENCE_VARIANCE as f64).sqrt() * f64::from(power(-he_exponent(inputs)));
            let ratio = deviation / (2.0 / inputs as f64).sqrt();
            assert!((0.5..=1.5).contains(&ratio), "{inputs}: {ratio}");
        }
    }

    #[test]
    fn filters_sum_to_zero_over_each_group() {
        let rows = Rows { seed: 5, columns: 6 };
        let bytes = zero_sums(&rows, 8, [(0..8).step_by(2), (1..8).step_by(2)].into_iter(), power(-5));
        let value = |row: usize, column: usize| {
            let at = (row * 6 + column) * 4;
            f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
        };
        for column in 0..6 {
            for first in 0..2 {
                let sum: f32 = (first..8).step_by(2).map(|row| value(row, column)).sum();
                assert!(sum.abs() < f32::EPSILON);
            }
            assert!((0..8).any(|row| value(row, column) != 0.0));
        }
    }
}
