//! Downloaded files: where they are kept, and where they are fetched from.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::WeightsFailure;
use crate::download::{Download, Downloader, Fetched, Patience, Progress};
use crate::models::catalogue::{Catalogue, PictureEntry, Remote, file_name};

/// A file that the lab can use and does not carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artefact {
    /// What it is called in the store and on a mirror.
    pub file: String,
    /// What it is for.
    pub purpose: String,
    /// Where it was published.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// Its MD5 or SHA-256, in hexadecimal.
    pub checksum: String,
}

/// A folder of downloaded files, which several homes may share.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    mirror: Option<String>,
}

impl Artefact {
    /// The weights of a model.
    pub fn weights(model: &str, remote: &Remote) -> Self {
        Self {
            file: file_name(&remote.url).unwrap_or(model).to_owned(),
            purpose: format!("pretrained weights of {model}"),
            url: remote.url.clone(),
            bytes: remote.bytes,
            checksum: remote.md5.clone(),
        }
    }

    /// A picture.
    pub fn picture(picture: &PictureEntry) -> Self {
        Self {
            file: file_name(&picture.url).unwrap_or("picture").to_owned(),
            purpose: picture.title.clone(),
            url: picture.url.clone(),
            bytes: picture.bytes,
            checksum: picture.sha256.clone(),
        }
    }

    /// Everything that the models of a catalogue can use, each file once.
    pub fn of_catalogue(catalogue: &Catalogue) -> Vec<Self> {
        let weights =
            catalogue.entries.iter().filter_map(|entry| Some(Self::weights(&entry.name, entry.pretrained()?)));
        let pictures = catalogue.pictures.values().map(Self::picture);
        let mut all: Vec<Self> = Vec::new();
        for artefact in weights.chain(pictures) {
            if !all.iter().any(|known| known.file == artefact.file && known.checksum == artefact.checksum) {
                all.push(artefact);
            }
        }
        all
    }
}

impl Store {
    /// The store in a folder. With a mirror, a file is looked for at `MIRROR/FILE` before its own address.
    pub fn new(folder: PathBuf, mirror: Option<&str>) -> Self {
        Self { folder, mirror: mirror.map(|url| url.trim_end_matches('/').to_owned()) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file is kept.
    pub fn path(&self, artefact: &Artefact) -> PathBuf {
        self.folder.join(&artefact.file)
    }

    /// The addresses of a file, the best first.
    pub fn urls(&self, artefact: &Artefact) -> Vec<String> {
        let mirrored = self.mirror.iter().map(|mirror| format!("{mirror}/{}", artefact.file));
        mirrored.chain([artefact.url.clone()]).collect()
    }

    /// Whether the file is there, whole.
    pub fn has(&self, artefact: &Artefact) -> bool {
        let path = self.path(artefact);
        let right_size = path.metadata().is_ok_and(|metadata| metadata.len() == artefact.bytes);
        let expected: Option<crate::download::Checksum> = artefact.checksum.parse().ok();
        right_size && expected.is_some_and(|expected| expected.of_file(&path).is_ok_and(|found| found == expected))
    }

    /// Brings the file into the store, unless it is there.
    pub async fn obtain(
        &self,
        artefact: &Artefact,
        patience: Patience,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(PathBuf, Fetched), WeightsFailure> {
        let path = self.path(artefact);
        let checksum = artefact
            .checksum
            .parse()
            .map_err(|_| WeightsFailure::NoSource { model: artefact.file.clone(), wanted: "verifiable" })?;
        let download = Download {
            name: artefact.purpose.clone(),
            urls: self.urls(artefact),
            size: Some(artefact.bytes),
            checksum,
        };
        let fetched = Downloader::new(patience)?.fetch(&download, &path, progress).await?;
        Ok((path, fetched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_comes_before_the_publisher() {
        let catalogue = Catalogue::embedded().unwrap();
        let all = Artefact::of_catalogue(&catalogue);
        assert_eq!(all.len(), 3, "two networks and one picture: {all:?}");
        let store = Store::new("/cache".into(), Some("http://mirror/files/"));
        assert_eq!(store.urls(&all[0])[0], "http://mirror/files/resnet50_weights_tf_dim_ordering_tf_kernels.h5");
        assert_eq!(store.urls(&all[0])[1], all[0].url);
        assert_eq!(store.path(&all[2]), Path::new("/cache/test.jpeg"));
        assert!(!store.has(&all[0]));
    }
}
