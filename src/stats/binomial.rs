//! The binomial distribution: tests, intervals and the power of a sample.

use std::ops::RangeInclusive;

use statrs::distribution::{Beta, Binomial, ContinuousCDF, Discrete, DiscreteCDF};

/// Outcomes whose probability exceeds the observed one's by less than this factor count as equally likely, as in
/// R's `binom.test` and scipy's `binomtest`: symmetric outcomes must not be told apart by rounding.
const TIE: f64 = 1.0 + 1e-7;

/// `hits` successes among `size` independent trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How many trials went the way that is counted.
    pub hits: u64,
    /// How many trials there were.
    pub size: u64,
}

impl Sample {
    /// The observed share in 0..=1; 0 for an empty sample.
    pub fn share(self) -> f64 {
        if self.size == 0 { 0.0 } else { self.hits as f64 / self.size as f64 }
    }
}

/// The distribution of hits for a true share, which is clamped to 0..=1 first.
fn distribution(share: f64, size: u64) -> Option<Binomial> {
    Binomial::new(share.clamp(0.0, 1.0), size).ok()
}

/// The exact two-sided p-value of a sample if the true share were `wanted` (0..=1): the summed probability of all
/// outcomes that are at most as likely as the observed one. An empty sample gives 1.
pub fn two_sided_p(sample: Sample, wanted: f64) -> f64 {
    let Some(binomial) = distribution(wanted, sample.size) else { return 1.0 };
    let threshold = binomial.pmf(sample.hits) * TIE;
    let total: f64 = (0..=sample.size).map(|hits| binomial.pmf(hits)).filter(|p| *p <= threshold).sum();
    total.min(1.0)
}

/// The Clopper-Pearson interval of the true share at `confidence` (for example 0.95), both ends in 0..=1.
pub fn clopper_pearson(sample: Sample, confidence: f64) -> (f64, f64) {
    let (hits, size) = (sample.hits as f64, sample.size as f64);
    if sample.size == 0 {
        return (0.0, 1.0);
    }
    let tail = (1.0 - confidence) / 2.0;
    let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(p)).ok();
    let low = if sample.hits == 0 { Some(0.0) } else { quantile(hits, size - hits + 1.0, tail) };
    let high = if sample.hits >= sample.size { Some(1.0) } else { quantile(hits + 1.0, size - hits, 1.0 - tail) };
    (low.unwrap_or(0.0), high.unwrap_or(1.0))
}

/// The numbers of hits that [`two_sided_p`] accepts at level `alpha`; `None` when it accepts none.
///
/// The accepted set of the exact test is an interval because the probability falls off on both sides of the mode.
pub fn acceptance(size: u64, wanted: f64, alpha: f64) -> Option<RangeInclusive<u64>> {
    let accepted = |hits: &u64| two_sided_p(Sample { hits: *hits, size }, wanted) >= alpha;
    let first = (0..=size).find(accepted)?;
    let last = (0..=size).rev().find(accepted)?;
    Some(first..=last)
}

/// The smallest deviation of the true share from `wanted`, to either side as far as 0 and 1 allow, that is caught
/// with probability `power` when a verdict fails only after two independent samples of `size` were both refused at
/// level `alpha`. In shares (0.1 is ten percentage points); 1 when even the largest deviation is not caught so surely.
pub fn detectable_deviation(size: u64, wanted: f64, alpha: f64, power: f64) -> f64 {
    let Some(accepted) = acceptance(size, wanted, alpha) else { return 0.0 };
    let caught = |share: f64| {
        let Some(binomial) = distribution(share, size) else { return false };
        let below = accepted.start().checked_sub(1).map_or(0.0, |hits| binomial.cdf(hits));
        let missed = binomial.cdf(*accepted.end()) - below;
        (1.0 - missed).powi(2) >= power
    };
    let caught_both_ways = |deviation: f64| {
        let (lower, upper) = (wanted - deviation, wanted + deviation);
        (lower < 0.0 || caught(lower)) && (upper > 1.0 || caught(upper)) && (lower >= 0.0 || upper <= 1.0)
    };
    // A tenth of a percentage point is finer than any sample that the lab takes can tell.
    let (mut low, mut high) = (0, 1000);
    if !caught_both_ways(wanted.max(1.0 - wanted)) {
        return 1.0;
    }
    while high - low > 1 {
        let middle = i32::midpoint(low, high);
        let deviation = f64::from(middle) / 1000.0;
        if deviation > wanted.max(1.0 - wanted) || caught_both_ways(deviation) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::from(high) / 1000.0
}

/// The largest share of stray answers that `size` answers without a single stray leave possible at `confidence`:
/// the one-sided exact bound, about 3/n at 95 %.
pub fn stray_bound(size: u64, confidence: f64) -> f64 {
    if size == 0 { 1.0 } else { 1.0 - (1.0 - confidence).powf(1.0 / size as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-6_f64.max(expected.abs() * 1e-5), "{actual} is not {expected}");
    }

    #[test]
    fn p_values_agree_with_scipy() {
        // scipy.stats.binomtest(k, n, p).pvalue
        for (hits, size, wanted, p) in [
            (209, 300, 0.7, 0.899_819),
            (7, 20, 0.3, 0.629_498),
            (0, 10, 0.5, 0.001_953_125),
            (5, 10, 0.5, 1.0),
            (100, 100, 1.0, 1.0),
            (99, 100, 1.0, 0.0),
            (0, 0, 0.7, 1.0),
        ] {
            close_enough(two_sided_p(Sample { hits, size }, wanted), p);
        }
    }

    fn close_enough(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 5e-6, "{actual} is not {expected}");
    }

    #[test]
    fn intervals_agree_with_scipy() {
        // binomtest(k, n).proportion_ci(0.95, method="exact")
        for (hits, size, low, high) in
            [(0, 10, 0.0, 0.308_497_1), (10, 10, 0.691_502_9, 1.0), (7, 20, 0.153_909_2, 0.592_188_5)]
        {
            let (l, h) = clopper_pearson(Sample { hits, size }, 0.95);
            close(l, low);
            close(h, high);
        }
        assert_eq!(clopper_pearson(Sample { hits: 0, size: 0 }, 0.95), (0.0, 1.0));
    }

    #[test]
    fn the_published_acceptance_ranges_hold() {
        assert_eq!(acceptance(300, 0.7, 0.001), Some(183..=235));
        assert_eq!(acceptance(500, 0.7, 0.001), Some(316..=383));
        assert_eq!(acceptance(100, 1.0, 0.001), Some(100..=100));
        assert_eq!(acceptance(100, 0.0, 0.001), Some(0..=0));
    }

    #[test]
    fn a_larger_sample_catches_a_smaller_deviation() {
        let coarse = detectable_deviation(300, 0.7, 0.001, 0.99);
        let fine = detectable_deviation(3000, 0.7, 0.001, 0.99);
        assert!((0.14..0.18).contains(&coarse), "{coarse}");
        assert!(fine < coarse / 2.5, "{fine} {coarse}");
        assert!((detectable_deviation(3, 0.5, 0.001, 0.99) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn no_stray_in_n_bounds_the_share_by_about_three_over_n() {
        close(stray_bound(100, 0.95), 0.029_513_1);
        close(stray_bound(0, 0.95), 1.0);
    }
}
