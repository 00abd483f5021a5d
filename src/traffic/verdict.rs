//! From a tally to a verdict.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::rules;
use super::sampling::Tally;
use crate::stats::{Sample, acceptance, clopper_pearson, detectable_deviation, stray_bound, two_sided_p};

/// What a stage wants of its traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every answer from this version.
    Only(String),
    /// Shares in whole percent by version, which add up to 100.
    Split(BTreeMap<String, u32>),
}

/// What was measured for one version of a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The version.
    pub version: String,
    /// How many answers it gave.
    pub hits: u64,
    /// How many answers there were.
    pub size: u64,
    /// The wanted share, 0..=1.
    pub wanted: f64,
    /// The observed share, 0..=1.
    pub share: f64,
    /// The Clopper-Pearson interval of the share at [`rules::CONFIDENCE`].
    pub interval: (f64, f64),
    /// The exact two-sided p-value.
    pub p: f64,
    /// The numbers of hits that pass, both ends included.
    pub accepted: Option<(u64, u64)>,
    /// The deviation in shares that this size catches with [`rules::POWER`].
    pub detectable: f64,
    /// Where no stray answer came: the largest share of strays still possible at [`rules::CONFIDENCE`].
    pub stray_bound: Option<f64>,
}

/// Why a verdict is not a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Some questions got no answer of a known version: what was observed, and how often.
    Errors(BTreeMap<String, u64>),
    /// Time ran out.
    OutOfTime,
    /// Fewer answers than the rule asks for.
    TooFew {
        /// Answers there were.
        got: u64,
        /// Answers there should be.
        needed: u64,
    },
    /// Versions answered that should not have: how often each.
    Strays(BTreeMap<String, u64>),
    /// A version's share lies too far from the wanted one.
    Share,
}

/// The verdict on one sample, with the figures that it stands on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[must_use]
pub enum Verdict {
    /// As wanted.
    Pass {
        /// One entry a version.
        figures: Vec<Figures>,
    },
    /// Not as wanted.
    Fail {
        /// One entry a version.
        figures: Vec<Figures>,
        /// What is wrong.
        cause: Cause,
    },
    /// Nothing can be said.
    Inconclusive {
        /// One entry a version, as far as there were answers.
        figures: Vec<Figures>,
        /// What stands in the way.
        cause: Cause,
    },
}

impl Verdict {
    /// The figures of the sample.
    pub fn figures(&self) -> &[Figures] {
        match self {
            Self::Pass { figures } | Self::Fail { figures, .. } | Self::Inconclusive { figures, .. } => figures,
        }
    }
}

/// Judges one sample of `needed` answers. A [`Verdict::Fail`] of a split calls for one fresh sample before it is
/// believed ([`rules::table`]); a stray answer where none is allowed is final.
pub fn judge(wanted: &Wanted, tally: &Tally, needed: u64) -> Verdict {
    let shares: BTreeMap<String, u32> = match wanted {
        Wanted::Only(version) => BTreeMap::from([(version.clone(), 100)]),
        Wanted::Split(shares) => shares.clone(),
    };
    let size = tally.answered();
    let figures: Vec<Figures> =
        shares.iter().map(|(version, percent)| measure(version, *percent, tally.of(version), size)).collect();
    let strays: BTreeMap<String, u64> = tally
        .answers
        .iter()
        .filter(|(version, count)| **count > 0 && shares.get(*version).is_none_or(|percent| *percent == 0))
        .map(|(version, count)| (version.clone(), *count))
        .collect();
    if !strays.is_empty() {
        return Verdict::Fail { figures, cause: Cause::Strays(strays) };
    }
    if tally.failed() > 0 {
        return Verdict::Inconclusive { figures, cause: Cause::Errors(tally.errors.clone()) };
    }
    if tally.out_of_time {
        return Verdict::Inconclusive { figures, cause: Cause::OutOfTime };
    }
    if size < needed {
        return Verdict::Inconclusive { figures, cause: Cause::TooFew { got: size, needed } };
    }
    if figures.iter().any(|figure| figure.p < rules::ALPHA) {
        return Verdict::Fail { figures, cause: Cause::Share };
    }
    Verdict::Pass { figures }
}

fn measure(version: &str, percent: u32, hits: u64, size: u64) -> Figures {
    let wanted = f64::from(percent) / 100.0;
    let sample = Sample { hits, size };
    let certain = percent == 0 || percent == 100;
    Figures {
        version: version.to_owned(),
        hits,
        size,
        wanted,
        share: sample.share(),
        interval: clopper_pearson(sample, rules::CONFIDENCE),
        p: two_sided_p(sample, wanted),
        accepted: acceptance(size, wanted, rules::ALPHA).map(RangeInclusive::into_inner),
        detectable: detectable_deviation(size, wanted, rules::ALPHA, rules::POWER),
        stray_bound: certain.then(|| stray_bound(size, rules::CONFIDENCE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answers: &[(&str, u64)], errors: &[(&str, u64)]) -> Tally {
        let owned = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Tally { answers: owned(answers), errors: owned(errors), ..Tally::default() }
    }

    fn split() -> Wanted {
        Wanted::Split(BTreeMap::from([("resnet50".into(), 70), ("resnet101".into(), 30)]))
    }

    #[test]
    fn a_split_is_judged_by_its_p_value() {
        for (first, passes) in [(183, true), (182, false), (209, true), (235, true), (236, false)] {
            let verdict = judge(&split(), &tally(&[("resnet50", first), ("resnet101", 300 - first)], &[]), 300);
            assert_eq!(matches!(verdict, Verdict::Pass { .. }), passes, "{first}: {verdict:?}");
        }
    }

    #[test]
    fn a_stray_answer_fails_even_beside_errors() {
        let verdict = judge(
            &Wanted::Only("resnet50".into()),
            &tally(&[("resnet50", 118), ("resnet101", 1)], &[("503 with an empty body", 1)]),
            120,
        );
        assert!(matches!(verdict, Verdict::Fail { cause: Cause::Strays(_), .. }), "{verdict:?}");
        let zero = Wanted::Split(BTreeMap::from([("resnet50".into(), 100), ("resnet101".into(), 0)]));
        let verdict = judge(&zero, &tally(&[("resnet50", 119), ("resnet101", 1)], &[]), 120);
        assert!(matches!(verdict, Verdict::Fail { cause: Cause::Strays(_), .. }), "{verdict:?}");
    }

    #[test]
    fn errors_missing_answers_and_lost_time_are_inconclusive() {
        let only = Wanted::Only("resnet50".into());
        let with_errors = judge(&only, &tally(&[("resnet50", 119)], &[("503 with an empty body", 1)]), 120);
        assert!(matches!(with_errors, Verdict::Inconclusive { cause: Cause::Errors(_), .. }));
        let few = judge(&only, &tally(&[("resnet50", 119)], &[]), 120);
        assert!(matches!(few, Verdict::Inconclusive { cause: Cause::TooFew { got: 119, needed: 120 }, .. }));
        let late = Tally { out_of_time: true, ..tally(&[("resnet50", 119)], &[]) };
        assert!(matches!(judge(&only, &late, 120), Verdict::Inconclusive { cause: Cause::OutOfTime, .. }));
    }

    #[test]
    fn a_clean_sample_publishes_what_it_could_have_missed() {
        let verdict = judge(&Wanted::Only("resnet50".into()), &tally(&[("resnet50", 120)], &[]), 120);
        let bound = verdict.figures()[0].stray_bound.unwrap();
        assert!((0.024..0.025).contains(&bound), "{bound}");
        assert!(matches!(verdict, Verdict::Pass { .. }));
    }
}
