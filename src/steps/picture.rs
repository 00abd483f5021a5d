//! The picture of predictions and of the work folder's request body.
//!
//! Until one is chosen it is the portrait that the program carries. A chosen one is kept in the home, so that every
//! command asks with the same picture. The lab itself chooses the tutorial's own as soon as pretrained weights are
//! there, because the published answers are about it.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::asking::hex;
use super::choices::{Choices, PictureChoice};
use super::work_folder;
use crate::doctor::{Failure, Reason};
use crate::download::{Patience, Progress};
use crate::lab::{Lab, Picture};
use crate::models::catalogue::{Catalogue, Entry, PictureEntry};
use crate::models::picture::{self, Picture as Pixels};
use crate::models::published::About;
use crate::models::weights::{Artefact, WeightsFailure};
use crate::state::{Home, HomeError, write_atomically};

/// The pixels of a picture that the lab names: the small one, or the one of predictions.
pub(super) fn pixels(picture: Picture, home: &Home) -> Result<Pixels, Failure> {
    match picture {
        Picture::Small => Ok(picture::small()),
        Picture::Portrait => chosen(home)?.map_or_else(|| Ok(picture::portrait()), |bytes| decoded(&bytes, home)),
    }
}

/// Whether published answers are about the picture of predictions.
pub(super) fn about(home: &Home, catalogue: &Catalogue, entry: &Entry) -> Result<About, Failure> {
    let Some(bytes) = chosen(home)? else { return Ok(About::Shipped) };
    let digest = hex(&Sha256::digest(&bytes));
    Ok(match catalogue.picture_of(entry) {
        Some(published) if published.sha256 == digest => About::Published,
        _ if bytes == picture::portrait_file() => About::Shipped,
        _ => About::Another,
    })
}

/// The picture that predictions of this home ask about, for looking at it: one that cannot be read any more is shown as
/// the portrait.
pub fn of(lab: &Lab, home: &Home) -> Pixels {
    pixels(lab.spec.request.picture, home).unwrap_or_else(|_| picture::portrait())
}

/// The file of that picture: a JPEG or PNG.
pub fn file_of(home: &Home) -> Vec<u8> {
    chosen(home).ok().flatten().unwrap_or_else(|| picture::portrait_file().to_vec())
}

fn chosen(home: &Home) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(home.picture()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(home, error.to_string())),
    }
}

fn decoded(bytes: &[u8], home: &Home) -> Result<Pixels, Failure> {
    picture::decode(bytes).map_err(|error| unreadable(home, error.to_string()))
}

fn unreadable(home: &Home, error: String) -> Failure {
    Failure::new(Reason::PictureUnreadable, format!("{} cannot be used", home.picture().display()))
        .observed(error)
        .then("canary-lab up --picture portrait", "goes back to the lab's own picture")
}

/// Does what `--picture` asks for. The home must be locked.
pub async fn choose(lab: &Lab, home: &Home, choices: &Choices, choice: &PictureChoice) -> Result<(), Failure> {
    let bytes = match choice {
        PictureChoice::Portrait => picture::portrait_file().to_vec(),
        PictureChoice::File(path) => std::fs::read(path).map_err(|error| named(path.clone(), error.to_string()))?,
        PictureChoice::Tutorial => {
            let Some(published) = lab.catalogue.pictures.values().next() else {
                return Err(Failure::new(Reason::Usage, "nothing is published about the models of this lab")
                    .then("canary-lab up --picture FILE", "takes any JPEG or PNG"));
            };
            fetch(published, home, choices, Patience::ASKED_FOR).await?
        }
    };
    if let (PictureChoice::File(path), Err(error)) = (choice, picture::decode(&bytes)) {
        return Err(named(path.clone(), error.to_string()));
    }
    take(lab, home, &bytes)
}

fn named(path: PathBuf, error: String) -> Failure {
    Failure::new(Reason::PictureUnreadable, format!("{} is no picture", path.display())).observed(error)
}

/// Takes the picture that published answers are about, unless one was chosen before; tells why it could not be had.
pub(super) async fn take_published(
    lab: &Lab,
    home: &Home,
    choices: &Choices,
    entry: &Entry,
) -> Result<Option<Failure>, Failure> {
    let Some(published) = lab.catalogue.picture_of(entry).filter(|_| !home.picture().exists()) else {
        return Ok(None);
    };
    match fetch(published, home, choices, Patience::WELCOME).await {
        Ok(bytes) => take(lab, home, &bytes).map(|()| None),
        Err(failure) => Ok(Some(failure)),
    }
}

async fn fetch(
    published: &PictureEntry,
    home: &Home,
    choices: &Choices,
    patience: Patience,
) -> Result<Vec<u8>, Failure> {
    let artefact = Artefact::picture(published);
    let (path, _) = choices.store(home).obtain(&artefact, patience, &mut |_: Progress| {}).await?;
    std::fs::read(&path).map_err(|source| WeightsFailure::Io { path, source }.into())
}

/// Keeps a picture in the home. A request body in the work folder that was made from the earlier picture is made anew;
/// one that somebody has changed is left to the work folder's own step.
fn take(lab: &Lab, home: &Home, bytes: &[u8]) -> Result<(), Failure> {
    if chosen(home)?.is_some_and(|known| known == bytes) {
        return Ok(());
    }
    let before = work_folder::request_body(lab, home).ok();
    let file = home.picture();
    write_atomically(&file, bytes).map_err(|source| Failure::from(HomeError::NotWritable { path: file, source }))?;
    match before {
        Some(before) => work_folder::renew_request_body(lab, home, &before),
        None => Ok(()),
    }
}
