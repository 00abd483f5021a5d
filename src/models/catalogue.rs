//! The catalogue: which models the lab knows, where their weights come from, and what they must answer.
//!
//! One file an entry in `models/`, embedded in the program and read strictly.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::network::{Architecture, Network};
use crate::yaml::{self, YamlError};

/// The version of the schema that this program reads.
const SCHEMA: u32 = 1;

/// The files of the catalogue by name.
const FILES: [(&str, &str); 4] = [
    ("models/resnet50.yaml", include_str!("../../models/resnet50.yaml")),
    ("models/resnet101.yaml", include_str!("../../models/resnet101.yaml")),
    ("models/tiny-a.yaml", include_str!("../../models/tiny-a.yaml")),
    ("models/tiny-b.yaml", include_str!("../../models/tiny-b.yaml")),
];

/// All entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The entries, in the order of the files.
    pub entries: Vec<Entry>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of the schema: 1.
    pub version: u32,
    /// The network.
    pub network: Network,
    /// What it is, for a person.
    pub title: String,
    /// The number of parameters, stored statistics included.
    pub parameters: usize,
    /// Where weights come from, in the order of preference.
    pub sources: Vec<Source>,
    /// What is published about its answers.
    #[serde(default)]
    pub published: Option<Published>,
}

/// Where weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A weights file of Keras.
    Pretrained(Download),
    /// Made by the lab.
    Synthetic(Synthetic),
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Where it is.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// Its MD5, the digest that Keras publishes.
    pub md5: String,
}

/// Synthetic weights.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// The SHA-256 of every file of the version directory.
    pub sha256: BTreeMap<String, String>,
}

/// What is published about a model's answers with pretrained weights.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The ten most likely classes for the tutorial's own picture, the first one first.
    pub top_10: [usize; 10],
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceInFile {
    Pretrained(Download),
    Synthetic(Synthetic),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_yaml::with::singleton_map::deserialize(deserializer)? {
            SourceInFile::Pretrained(download) => Self::Pretrained(download),
            SourceInFile::Synthetic(synthetic) => Self::Synthetic(synthetic),
        })
    }
}

impl Catalogue {
    /// The catalogue that the program carries.
    pub fn embedded() -> Result<Self, YamlError> {
        Self::of(&FILES)
    }

    fn of(files: &[(&str, &str)]) -> Result<Self, YamlError> {
        let entries = files.iter().map(|(file, text)| entry(file, text)).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// The entry of a network; each has one.
    pub fn entry(&self, network: Network) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.network == network)
    }
}

impl Entry {
    /// The SHA-256 that each file of the synthetic model must have, by its name in the version directory.
    pub fn synthetic_files(&self) -> Vec<(String, String)> {
        let synthetic = self.sources.iter().find_map(|source| match source {
            Source::Synthetic(synthetic) => Some(&synthetic.sha256),
            Source::Pretrained(_) => None,
        });
        let files = synthetic.into_iter().flatten();
        files.map(|(file, digest)| (file.clone(), digest.clone())).collect()
    }

    /// The weights file of Keras, if there is one.
    pub fn pretrained(&self) -> Option<&Download> {
        self.sources.iter().find_map(|source| match source {
            Source::Pretrained(download) => Some(download),
            Source::Synthetic(_) => None,
        })
    }
}

fn entry(file: &str, text: &str) -> Result<Entry, YamlError> {
    let entry: Entry = yaml::parse(file, text)?;
    let wrong = |key: &str, message: String| {
        let line = yaml::line_of_key(text, key, 1).unwrap_or(1);
        Err(YamlError::Invalid { file: file.to_owned(), line, message })
    };
    if entry.version != SCHEMA {
        return wrong("version", format!("version {} of the schema is not known; {SCHEMA} is", entry.version));
    }
    let parameters = Architecture::of(entry.network).parameters();
    if entry.parameters != parameters {
        return wrong("parameters", format!("{} has {parameters} parameters", entry.network.id()));
    }
    if entry.sources.is_empty() {
        return wrong("sources", "a model needs at least one source".to_owned());
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(from: &str, to: &str) -> YamlError {
        let (file, text) = FILES[0];
        assert!(text.contains(from), "{from}");
        Catalogue::of(&[(file, &text.replacen(from, to, 1))]).unwrap_err()
    }

    #[test]
    fn every_network_has_one_entry_with_digests_of_all_files() {
        let catalogue = Catalogue::embedded().unwrap();
        assert_eq!(catalogue.entries.len(), Network::ALL.len());
        for network in Network::ALL {
            let entry = catalogue.entry(network).unwrap();
            let files = entry.synthetic_files();
            let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
            assert_eq!(
                names,
                ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
            );
            assert!(files.iter().all(|(_, digest)| digest.len() == 64));
        }
        let resnet50 = catalogue.entry(Network::ResNet50).unwrap();
        assert_eq!(resnet50.pretrained().unwrap().bytes, 102_967_424);
        assert_eq!(resnet50.published.as_ref().unwrap().top_10[0], 667);
    }

    #[test]
    fn mistakes_are_told_with_file_line_and_the_nearest_key() {
        let error = changed("parameters: 2", "paramters: 2").to_string();
        assert!(
            error.starts_with("models/resnet50.yaml:4: unknown key `paramters`; did you mean `parameters`?"),
            "{error}"
        );
        let error = changed("- pretrained:", "- pretraned:").to_string();
        assert!(error.contains("unknown key `pretraned`; did you mean `pretrained`?"), "{error}");
        let error = changed("parameters: 25636712", "parameters: 25636713").to_string();
        assert_eq!(error, "models/resnet50.yaml:4: resnet50 has 25636712 parameters");
        let error = changed("version: 1", "version: 2").to_string();
        assert!(error.contains("version 2 of the schema is not known"), "{error}");
    }
}
