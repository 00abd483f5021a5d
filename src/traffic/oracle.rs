//! Who answered: told from the prediction itself.

use serde::Deserialize;

/// The largest absolute difference of a probability between the served answer and the one computed in process,
/// in probability units. The two run the same graph, at most on different processors or, on a real cluster, with
/// TensorFlow's own kernels; the bound is the one that models are compared with TensorFlow by.
pub const TOLERANCE: f32 = 1e-5;

/// What one version must answer to the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The version's name: its subset, for example `resnet50`.
    pub version: String,
    /// Its class probabilities.
    pub probabilities: Vec<f32>,
}

/// The answers of all versions to one question.
#[derive(Debug, Clone)]
pub struct Oracle {
    expectations: Vec<Expectation>,
    tolerance: f32,
}

/// Why an oracle cannot tell versions apart.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum OracleError {
    /// Two versions give the same answer within twice the tolerance.
    #[error(
        "{first} and {second} answer this picture alike (largest difference {difference:e}): who answered cannot be told"
    )]
    Alike {
        /// One version.
        first: String,
        /// The other.
        second: String,
        /// The largest absolute difference of a probability.
        difference: f32,
    },
}

/// Who gave an answer.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Who {
    /// This version, with the largest absolute difference from what it should have said.
    Version {
        /// The version's name.
        name: String,
        /// Largest absolute difference of a probability.
        difference: f32,
    },
    /// No version that the oracle knows; the nearest one is named.
    Nobody {
        /// The version that came closest, if any has as many classes.
        closest: Option<String>,
        /// Its largest absolute difference; infinite when none has as many classes.
        difference: f32,
    },
}

impl Oracle {
    /// An oracle over the versions' answers; refused when two of them cannot be told apart.
    pub fn new(expectations: Vec<Expectation>) -> Result<Self, OracleError> {
        Self::with_tolerance(expectations, TOLERANCE)
    }

    /// Like [`Oracle::new`] with another tolerance, in probability units.
    pub fn with_tolerance(expectations: Vec<Expectation>, tolerance: f32) -> Result<Self, OracleError> {
        for (index, first) in expectations.iter().enumerate() {
            for second in &expectations[index + 1..] {
                let difference = largest_difference(&first.probabilities, &second.probabilities);
                if difference <= 2.0 * tolerance {
                    return Err(OracleError::Alike {
                        first: first.version.clone(),
                        second: second.version.clone(),
                        difference,
                    });
                }
            }
        }
        Ok(Self { expectations, tolerance })
    }

    /// The expectations, in the order given.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// Which version gave this answer.
    pub fn who(&self, probabilities: &[f32]) -> Who {
        let nearest = self
            .expectations
            .iter()
            .map(|expectation| (expectation, largest_difference(&expectation.probabilities, probabilities)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        match nearest {
            Some((expectation, difference)) if difference <= self.tolerance => {
                Who::Version { name: expectation.version.clone(), difference }
            }
            Some((expectation, difference)) => {
                Who::Nobody { closest: difference.is_finite().then(|| expectation.version.clone()), difference }
            }
            None => Who::Nobody { closest: None, difference: f32::INFINITY },
        }
    }
}

/// The largest absolute difference of two vectors; infinite when their lengths differ or a value is not a number.
fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter().zip(b).fold(0.0, |largest: f32, (x, y)| {
        let difference = (x - y).abs();
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    })
}

/// The classes with the largest probabilities, best first; equal ones by class number, as a stable sort gives them.
pub fn top_classes(probabilities: &[f32], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
    classes.truncate(count);
    classes
}

#[derive(Deserialize)]
struct Predictions {
    predictions: Vec<Vec<f32>>,
}

/// The first row of a predict response, `{"predictions": [[…]]}`.
pub fn parse_predictions(body: &[u8]) -> Result<Vec<f32>, String> {
    let parsed: Predictions =
        serde_json::from_slice(body).map_err(|error| format!("the answer is not a prediction: {error}"))?;
    parsed.predictions.into_iter().next().ok_or_else(|| "the answer holds no prediction".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle() -> Oracle {
        let of = |version: &str, probabilities: &[f32]| Expectation {
            version: version.into(),
            probabilities: probabilities.to_vec(),
        };
        Oracle::new(vec![of("resnet50", &[0.7, 0.2, 0.1]), of("resnet101", &[0.1, 0.2, 0.7])]).unwrap()
    }

    #[test]
    fn a_version_is_known_by_its_answer() {
        let known = oracle().who(&[0.700_001, 0.2, 0.1]);
        assert!(matches!(known, Who::Version { ref name, .. } if name == "resnet50"), "{known:?}");
        let stranger = oracle().who(&[0.69, 0.21, 0.1]);
        assert!(matches!(stranger, Who::Nobody { closest: Some(ref name), .. } if name == "resnet50"), "{stranger:?}");
        assert!(matches!(oracle().who(&[1.0]), Who::Nobody { closest: None, .. }));
        assert!(matches!(oracle().who(&[f32::NAN, 0.2, 0.1]), Who::Nobody { .. }));
    }

    #[test]
    fn versions_that_answer_alike_are_refused() {
        let twin = |name: &str| Expectation { version: name.into(), probabilities: vec![0.5, 0.5] };
        let error = Oracle::new(vec![twin("a"), twin("b")]).unwrap_err();
        assert!(matches!(error, OracleError::Alike { difference, .. } if difference == 0.0));
    }

    #[test]
    fn top_classes_are_sorted_and_stable() {
        assert_eq!(top_classes(&[0.1, 0.4, 0.4, 0.05], 3), vec![1, 2, 0]);
    }

    #[test]
    fn only_a_prediction_is_read_as_one() {
        assert_eq!(parse_predictions(b"{\n    \"predictions\": [[0.5, 5e-05]\n    ]\n}").unwrap(), vec![0.5, 5e-5]);
        for other in [&b"{\"error\": \"x\"}"[..], b"", b"{\"predictions\": []}", b"<html>"] {
            assert!(parse_predictions(other).is_err());
        }
    }
}
