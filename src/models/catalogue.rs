//! The catalogue: which models the lab knows, where their weights come from, and what they must answer.
//!
//! One file an entry in `models/`, and one a picture in `models/pictures/`, embedded in the program and read strictly. A
//! lab may bring a folder of its own ([`Catalogue::load`]); an entry's name is that of its file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::labels::Labels;
use super::network::{Architecture, Network};
use crate::download::Checksum;
use crate::yaml::{self, YamlError};

/// The version of the schema that this program reads.
const SCHEMA: u32 = 1;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../models/", $path)))),*]
    };
}

/// The files of the catalogue by their path in `models/`; `export` writes them.
pub const FILES: &[(&str, &str)] =
    embedded!["resnet50.yaml", "resnet101.yaml", "tiny-a.yaml", "tiny-b.yaml", "pictures/tutorial.yaml"];

/// A file: the name to show in errors, and its text.
pub type NamedText = (String, String);

/// All entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The models, in the order of the files.
    pub entries: Vec<Entry>,
    /// The pictures that published answers are about, by name.
    pub pictures: BTreeMap<String, PictureEntry>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of the schema: 1.
    version: u32,
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// Its layers.
    #[serde(rename = "architecture")]
    pub network: Network,
    /// What it is, for a person.
    pub title: String,
    /// The number of parameters, stored statistics included.
    pub parameters: usize,
    /// The names of its classes.
    #[serde(default)]
    pub labels: Option<Labels>,
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
    Pretrained(Remote),
    /// Made by the lab.
    Synthetic(Synthetic),
}

/// A weights file to download.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
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
    /// The name of the picture that it is about.
    pub picture: String,
    /// The ten most likely classes for that picture, the first one first.
    pub top_10: [usize; 10],
    /// How many of them the answer for the portrait that the program carries has among its ten, at least.
    pub in_common: usize,
}

/// A picture to download.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureEntry {
    /// The version of the schema: 1.
    version: u32,
    /// What it is, for a person.
    pub title: String,
    /// Where it is, at a fixed revision.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceInFile {
    Pretrained(Remote),
    Synthetic(Synthetic),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_yaml::with::singleton_map::deserialize(deserializer)? {
            SourceInFile::Pretrained(remote) => Self::Pretrained(remote),
            SourceInFile::Synthetic(synthetic) => Self::Synthetic(synthetic),
        })
    }
}

impl Catalogue {
    /// The catalogue that the program carries.
    pub fn embedded() -> Result<Self, YamlError> {
        let models = FILES.iter().filter_map(|(path, _)| path.strip_suffix(".yaml")).filter(|path| !path.contains('/'));
        Self::load(models, &mut |path| {
            let found = FILES.iter().find(|(name, _)| *name == path);
            found.map(|(name, text)| (format!("models/{name}"), (*text).to_owned())).ok_or_else(|| YamlError::Invalid {
                file: format!("models/{path}"),
                line: 1,
                message: "not among the embedded files".to_owned(),
            })
        })
    }

    /// The entries of these names and the pictures that they refer to. `read` gives a file of the catalogue's folder by
    /// its path in it.
    pub fn load<'a, E: From<YamlError>>(
        names: impl IntoIterator<Item = &'a str>,
        read: &mut dyn FnMut(&str) -> Result<NamedText, E>,
    ) -> Result<Self, E> {
        let (mut entries, mut pictures) = (Vec::<Entry>::new(), BTreeMap::new());
        for name in names {
            if entries.iter().any(|entry| entry.name == name) {
                continue;
            }
            let (file, text) = read(&format!("{name}.yaml"))?;
            let entry = Entry { name: name.to_owned(), ..entry(&file, &text)? };
            if let Some(published) = &entry.published
                && !pictures.contains_key(&published.picture)
            {
                let (file, text) = read(&format!("pictures/{}.yaml", published.picture))?;
                pictures.insert(published.picture.clone(), picture(&file, &text)?);
            }
            entries.push(entry);
        }
        Ok(Self { entries, pictures })
    }

    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Whether a version directory holds synthetic weights of an entry. The index is compared, which has a checksum of
    /// every variable.
    pub fn is_synthetic(&self, directory: &Path) -> bool {
        const INDEX: &str = "variables/variables.index";
        let Ok(found) = Checksum::Sha256([0; 32]).of_file(&directory.join(INDEX)) else { return false };
        let files = self.entries.iter().flat_map(Entry::synthetic_files);
        files.into_iter().any(|(file, digest)| file == INDEX && digest == found.hex())
    }

    /// The picture that an entry's published answers are about.
    pub fn picture_of(&self, entry: &Entry) -> Option<&PictureEntry> {
        self.pictures.get(&entry.published.as_ref()?.picture)
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
    pub fn pretrained(&self) -> Option<&Remote> {
        self.sources.iter().find_map(|source| match source {
            Source::Pretrained(remote) => Some(remote),
            Source::Synthetic(_) => None,
        })
    }
}

/// Collects what is wrong with a file of the catalogue.
struct Wrong<'a> {
    file: &'a str,
    text: &'a str,
}

impl Wrong<'_> {
    fn about<T>(&self, key: &str, message: String) -> Result<T, YamlError> {
        let line = yaml::line_of_key(self.text, key, 1).unwrap_or(1);
        Err(YamlError::Invalid { file: self.file.to_owned(), line, message })
    }

    fn check_version(&self, version: u32) -> Result<(), YamlError> {
        if version == SCHEMA {
            return Ok(());
        }
        self.about("version", format!("version {version} of the schema is not known; {SCHEMA} is"))
    }

    fn check_url(&self, url: &str) -> Result<(), YamlError> {
        match reqwest::Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && file_name(url).is_some() => Ok(()),
            _ => self.about("url", format!("`{url}` is not the http or https address of a file")),
        }
    }

    fn check_digest(&self, key: &str, digest: &str, digits: usize) -> Result<(), YamlError> {
        match digest.parse::<Checksum>() {
            Ok(_) if digest.len() == digits => Ok(()),
            _ => self.about(key, format!("`{digest}` has not {digits} hexadecimal digits")),
        }
    }
}

/// The last part of a URL's path: what the file is called in a cache and on a mirror.
pub fn file_name(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?.split_once("://")?.1.split_once('/')?.1;
    path.rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..")
}

fn entry(file: &str, text: &str) -> Result<Entry, YamlError> {
    let entry: Entry = yaml::parse(file, text)?;
    let wrong = Wrong { file, text };
    wrong.check_version(entry.version)?;
    let parameters = Architecture::of(entry.network).parameters();
    if entry.parameters != parameters {
        return wrong.about("parameters", format!("{} has {parameters} parameters", entry.network.id()));
    }
    if entry.sources.is_empty() {
        return wrong.about("sources", "a model needs at least one source".to_owned());
    }
    for source in &entry.sources {
        match source {
            Source::Pretrained(remote) => {
                wrong.check_url(&remote.url)?;
                wrong.check_digest("md5", &remote.md5, 32)?;
            }
            Source::Synthetic(synthetic) => {
                synthetic.sha256.values().try_for_each(|digest| wrong.check_digest("sha256", digest, 64))?;
            }
        }
    }
    if let Some(published) = &entry.published {
        let mut classes = published.top_10.to_vec();
        classes.sort_unstable();
        classes.dedup();
        let named = published.picture.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
        if classes.len() < published.top_10.len() {
            return wrong.about("top_10", "a class stands in the list twice".to_owned());
        }
        if published.in_common > published.top_10.len() {
            return wrong.about("in_common", format!("{} of 10 cannot be", published.in_common));
        }
        if !named || published.picture.is_empty() {
            return wrong.about("picture", format!("`{}` is no name of a picture", published.picture));
        }
    }
    Ok(entry)
}

fn picture(file: &str, text: &str) -> Result<PictureEntry, YamlError> {
    let entry: PictureEntry = yaml::parse(file, text)?;
    let wrong = Wrong { file, text };
    wrong.check_version(entry.version)?;
    wrong.check_url(&entry.url)?;
    wrong.check_digest("sha256", &entry.sha256, 64)?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of an embedded file with one replacement.
    fn changed(path: &str, from: &str, to: &str) -> String {
        let read = &mut |wanted: &str| {
            let (name, text) = FILES.iter().find(|(name, _)| *name == wanted).unwrap();
            let text = if wanted == path {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            } else {
                (*text).to_owned()
            };
            Ok::<_, YamlError>((format!("models/{name}"), text))
        };
        Catalogue::load(["resnet50"], read).unwrap_err().to_string()
    }

    #[test]
    fn every_network_has_one_entry_with_digests_of_all_files() {
        let catalogue = Catalogue::embedded().unwrap();
        assert_eq!(catalogue.entries.len(), Network::ALL.len());
        for network in Network::ALL {
            let entry = catalogue.entry(network.id()).unwrap();
            assert_eq!(entry.network, network);
            let files = entry.synthetic_files();
            let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
            assert_eq!(
                names,
                ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
            );
        }
        let resnet50 = catalogue.entry("resnet50").unwrap();
        assert_eq!(resnet50.pretrained().unwrap().bytes, 102_967_424);
        assert_eq!(resnet50.published.as_ref().unwrap().top_10[0], 667);
        assert_eq!(resnet50.labels, Some(Labels::Imagenet));
        assert_eq!(file_name(&catalogue.picture_of(resnet50).unwrap().url), Some("test.jpeg"));
    }

    #[test]
    fn mistakes_are_told_with_file_line_and_the_nearest_key() {
        let file = "resnet50.yaml";
        for (from, to, words) in [
            (
                "parameters: 2",
                "paramters: 2",
                "models/resnet50.yaml:4: unknown key `paramters`; did you mean `parameters`?",
            ),
            ("- pretrained:", "- pretraned:", "unknown key `pretraned`; did you mean `pretrained`?"),
            (
                "parameters: 25636712",
                "parameters: 25636713",
                "models/resnet50.yaml:4: resnet50 has 25636712 parameters",
            ),
            ("version: 1", "version: 2", "version 2 of the schema is not known"),
            ("architecture: resnet50", "architecture: resnet5", "resnet50"),
            ("labels: imagenet", "labels: imagnet", "imagenet"),
            ("md5: 2c", "md5: 2", "has not 32 hexadecimal digits"),
            ("url: https:", "url: ftp:", "is not the http or https address of a file"),
            ("[667, 457", "[457, 457", "stands in the list twice"),
            ("in_common: 8", "in_common: 11", "11 of 10 cannot be"),
            ("picture: tutorial", "picture: ../x", "is no name of a picture"),
        ] {
            let error = changed(file, from, to);
            assert!(error.starts_with("models/resnet50.yaml:") && error.contains(words), "{error}");
        }
        let error = changed("pictures/tutorial.yaml", "sha256: 4f", "sha256: 4g");
        assert!(error.starts_with("models/pictures/tutorial.yaml:5: "), "{error}");
    }

    #[test]
    fn a_file_is_called_by_the_end_of_its_url() {
        for (url, name) in [
            ("https://host/a/b.h5", Some("b.h5")),
            ("https://host/a/b.h5?x=/y", Some("b.h5")),
            ("https://host/", None),
            ("https://host", None),
            ("https://host/a/..", None),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
