//! Asking a SavedModel about a picture, in process.

use std::path::Path;

use super::picture::Picture;
use crate::inference::{LoadError, RunError, Session, SessionOptions, Tensor, TensorData};
use crate::savedmodel::proto::DataType;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictionError {
    /// The model does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is not a model that takes one picture and gives one list of scores.
    #[error("the model is no image classifier: {0}")]
    NoClassifier(String),
    /// It failed on the picture.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A score is not a number: the weights are damaged, or come from a training that diverged.
    #[error("its score of class {class} is {score}")]
    NotANumber {
        /// The class.
        class: usize,
        /// Its score.
        score: f32,
    },
}

/// A loaded image classifier.
pub struct Classifier {
    session: Session,
    input: String,
    output: String,
}

impl Classifier {
    /// Loads a version directory; its signature `serving_default` must have one input and one output, both floats.
    pub fn load(dir: &Path) -> Result<Self, PredictionError> {
        let session = Session::load(dir, &SessionOptions::default())?;
        let signature = session
            .signatures()
            .get("serving_default")
            .ok_or_else(|| PredictionError::NoClassifier("it has no signature serving_default".to_owned()))?;
        let sole = |tensors: &std::collections::BTreeMap<String, crate::savedmodel::proto::TensorInfo>, what: &str| {
            let mut names = tensors.values().filter(|info| info.dtype == DataType::DtFloat as i32);
            match (names.next().and_then(|info| info.tensor_name()), tensors.len()) {
                (Some(name), 1) => Ok(name.to_owned()),
                _ => Err(PredictionError::NoClassifier(format!("serving_default has not one {what} of type float"))),
            }
        };
        let (input, output) = (sole(&signature.inputs, "input")?, sole(&signature.outputs, "output")?);
        Ok(Self { session, input, output })
    }

    /// The score of each class for the raw samples of the picture, neither resized nor scaled.
    pub fn answer(&self, picture: &Picture) -> Result<Vec<f32>, PredictionError> {
        let samples = picture.rgb.iter().map(|&sample| f32::from(sample)).collect();
        let tensor = Tensor { shape: vec![1, picture.height, picture.width, 3], data: TensorData::Float(samples) };
        let outputs = self.session.run(&[(self.input.as_str(), tensor)], &[self.output.as_str()])?;
        match outputs.into_iter().next() {
            Some(Tensor { data: TensorData::Float(scores), shape }) if shape.first() == Some(&1) => {
                match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
                    Some((class, &score)) => Err(PredictionError::NotANumber { class, score }),
                    None => Ok(scores),
                }
            }
            _ => Err(PredictionError::NoClassifier("its output is not a batch of floats".to_owned())),
        }
    }
}

/// The classes with the highest scores, the highest first; equal scores keep the order of the classes.
pub fn top(scores: &[f32], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    classes.truncate(count);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::built::VERSION;
    use crate::models::network::Network;
    use crate::models::{picture, synthetic};

    /// What TensorFlow answers (`tests/reference/models.sh`).
    fn golden() -> serde_json::Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/golden.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The middle of the portrait, 224x224.
    fn middle() -> Picture {
        let portrait = picture::portrait();
        let row =
            |y: usize| portrait.rgb[(y * portrait.width + 144) * 3..(y * portrait.width + 368) * 3].iter().copied();
        Picture { width: 224, height: 224, rgb: (188..412).flat_map(row).collect() }
    }

    /// Asserts that the network answers like TensorFlow; returns its ten most likely classes for each picture.
    fn assert_like_tensorflow(network: Network, pictures: &[(&str, Picture)]) -> Vec<Vec<usize>> {
        let home = tempfile::tempdir().unwrap();
        synthetic::build(network, home.path(), &[], &mut |_| {}).unwrap();
        let classifier = Classifier::load(&home.path().join(VERSION)).unwrap();
        let golden = golden();
        let mut lists = Vec::new();
        for (name, picture) in pictures {
            let expected = &golden["answers"][network.id()][name];
            let tolerance = expected["tolerance"].as_f64().unwrap();
            let scores = classifier.answer(picture).unwrap();
            assert_eq!(serde_json::json!(top(&scores, 10)), expected["top_10"], "{network:?} {name}");
            for (class, (score, expected)) in
                scores.iter().zip(expected["probabilities"].as_array().unwrap()).enumerate()
            {
                let off = (f64::from(*score) - expected.as_f64().unwrap()).abs();
                assert!(off <= tolerance, "{network:?} {name} class {class}: off by {off:e}, allowed {tolerance:e}");
            }
            let best: Vec<f32> = top(&scores, 11).into_iter().map(|class| scores[class]).collect();
            let apart = best.windows(2).map(|pair| pair[0] - pair[1]).fold(f32::INFINITY, f32::min);
            assert!(*name == "middle" || apart >= 1e-3, "{network:?} {name}: neighbours only {apart} apart");
            lists.push(top(&scores, 10));
        }
        lists
    }

    #[test]
    fn tiny_networks_answer_like_tensorflow() {
        let pictures = [("portrait", picture::portrait()), ("small", picture::small()), ("middle", middle())];
        for network in [Network::TinyA, Network::TinyB] {
            assert_like_tensorflow(network, &pictures);
        }
    }

    #[test]
    fn large_networks_answer_like_tensorflow_and_unlike_each_other() {
        let mut pictures = vec![("portrait", picture::portrait()), ("small", picture::small()), ("middle", middle())];
        if let Some(path) = crate::testing::shared("data/test.jpeg") {
            pictures.push(("tutorial", picture::decode(&std::fs::read(path).unwrap()).unwrap()));
        }
        let [fifty, hundred] =
            [Network::ResNet50, Network::ResNet101].map(|network| assert_like_tensorflow(network, &pictures));
        for (one, other) in fifty.iter().zip(&hundred) {
            assert!(one.iter().filter(|class| other.contains(class)).count() <= 5, "{one:?} {other:?}");
        }
    }

    #[test]
    fn equal_scores_keep_the_order_of_classes() {
        assert_eq!(top(&[0.1, 0.4, 0.4, 0.1], 3), [1, 2, 0]);
    }
}
