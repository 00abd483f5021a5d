//! What the command line says about weights.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What `--weights` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WeightsChoice {
    /// What is built stays; else the catalogue's sources in their order, whichever can be had first.
    #[default]
    Auto,
    /// The published weights and nothing else.
    Pretrained,
    /// The lab's own.
    Synthetic,
    /// A Keras weights file, for the models that it fits; the others as with [`Self::Auto`].
    File(PathBuf),
    /// A folder with weights files or SavedModels, one for each model.
    Directory(PathBuf),
}

impl FromStr for WeightsChoice {
    type Err = String;

    /// What is no word and no folder is taken for a file; whether it is there is found out with its use.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "pretrained" => Self::Pretrained,
            "synthetic" => Self::Synthetic,
            path if Path::new(path).is_dir() => Self::Directory(absolute(path)?),
            path => Self::File(absolute(path)?),
        })
    }
}

/// `NAME=DIR`: a SavedModel of the user's own for a model of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDirectory {
    /// The model's name in the lab.
    pub name: String,
    /// The version directory, or the one that holds version directories.
    pub directory: PathBuf,
}

impl FromStr for ModelDirectory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, directory) = text.split_once('=').ok_or("expected NAME=DIR, such as resnet50=./my-model")?;
        if name.is_empty() || directory.is_empty() {
            return Err("expected NAME=DIR, such as resnet50=./my-model".to_owned());
        }
        Ok(Self { name: name.to_owned(), directory: absolute(directory)? })
    }
}

/// The record of a choice must mean the same when the next command runs elsewhere.
fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_files_and_folders_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.h5");
        std::fs::write(&file, "").unwrap();
        let parse = |text: &str| text.parse::<WeightsChoice>();
        assert_eq!(parse("auto"), Ok(WeightsChoice::Auto));
        assert_eq!(parse("pretrained"), Ok(WeightsChoice::Pretrained));
        assert_eq!(parse("synthetic"), Ok(WeightsChoice::Synthetic));
        assert_eq!(parse(file.to_str().unwrap()), Ok(WeightsChoice::File(file)));
        let directory = folder.path().to_path_buf();
        assert_eq!(parse(directory.to_str().unwrap()), Ok(WeightsChoice::Directory(directory)));
        assert!(matches!(parse("pretraind"), Ok(WeightsChoice::File(path)) if path.ends_with("pretraind")));
    }

    #[test]
    fn a_model_directory_has_a_name() {
        let parsed: ModelDirectory = "resnet50=/a/b=c".parse().unwrap();
        assert_eq!((parsed.name.as_str(), parsed.directory.as_path()), ("resnet50", Path::new("/a/b=c")));
        assert!("resnet50".parse::<ModelDirectory>().is_err());
        assert!("=/a".parse::<ModelDirectory>().is_err());
    }
}
