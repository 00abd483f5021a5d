//! The names of classes.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::network::CLASSES;

/// One class a line, in the order of the outputs: its WordNet synset and its names. Made by
/// `tests/reference/imagenet_labels.py`.
const IMAGENET: &str = include_str!("../../models/imagenet-labels.txt");

/// What is said beside labels of a model that was never trained.
pub const MEAN_NOTHING: &str = "synthetic weights: names mean nothing";

/// Which classes a model tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The 1000 classes of the ImageNet challenge.
    Imagenet,
}

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Its WordNet synset, such as `n03787032`.
    pub synset: &'static str,
    /// Its names, such as `bow tie, bow-tie, bowtie`.
    pub names: &'static str,
}

impl Labels {
    /// The classes in the order of the outputs.
    pub fn all(self) -> &'static [Label] {
        static PARSED: OnceLock<Vec<Label>> = OnceLock::new();
        let Self::Imagenet = self;
        PARSED.get_or_init(|| {
            let lines = IMAGENET.lines().filter_map(|line| line.split_once(' '));
            lines.map(|(synset, names)| Label { synset, names }).collect()
        })
    }

    /// The label of a class.
    pub fn of(self, class: usize) -> Option<Label> {
        self.all().get(class).copied()
    }

    /// The labels that fit an output of so many classes, when it is not known what the model was trained on.
    pub fn for_outputs(count: usize) -> Option<Self> {
        (count == CLASSES).then_some(Self::Imagenet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_of_the_tutorials_list_have_the_tutorials_labels() {
        assert_eq!(Labels::Imagenet.all().len(), 1000);
        for (class, names) in [
            (667, "mortarboard"),
            (457, "bow tie, bow-tie, bowtie"),
            (906, "Windsor tie"),
            (610, "jersey, T-shirt, tee shirt"),
            (834, "suit, suit of clothes"),
            (796, "ski mask"),
            (841, "sweatshirt"),
            (652, "military uniform"),
            (620, "laptop, laptop computer"),
            (465, "bulletproof vest"),
        ] {
            assert_eq!(Labels::Imagenet.of(class).unwrap().names, names);
        }
        assert_eq!(Labels::Imagenet.of(0).unwrap().synset, "n01440764");
        assert_eq!(Labels::Imagenet.of(1000), None);
        assert_eq!(Labels::for_outputs(1001), None);
    }
}
