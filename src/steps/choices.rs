//! What a person asked for on the command line about models and pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::models::weights::{Store, WeightsChoice};
use crate::state::Home;

/// What a person asked for; by default nothing: what stands stays.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Where weights come from.
    pub weights: WeightsChoice,
    /// SavedModels of the user's own, by the name of the lab's model that they stand in for.
    pub model_directories: BTreeMap<String, PathBuf>,
    /// The folder of downloaded files, when it is not the home's.
    pub cache: Option<PathBuf>,
    /// Where files are looked for before their own address.
    pub mirror: Option<String>,
}

/// The picture of predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PictureChoice {
    /// The portrait that the program carries.
    Portrait,
    /// The one that the tutorial's published answers are about.
    Tutorial,
    /// Any JPEG or PNG.
    File(PathBuf),
}

impl Choices {
    /// The downloaded files.
    pub fn store(&self, home: &Home) -> Store {
        Store::new(self.cache.clone().unwrap_or_else(|| home.downloads()), self.mirror.as_deref())
    }

    /// The user's own SavedModel for a model of the lab.
    pub fn own(&self, model: &str) -> Option<&Path> {
        self.model_directories.get(model).map(PathBuf::as_path)
    }
}

impl FromStr for PictureChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "portrait" => Ok(Self::Portrait),
            "tutorial" => Ok(Self::Tutorial),
            "" => Err("expected `portrait`, `tutorial` or a JPEG or PNG".to_owned()),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}
