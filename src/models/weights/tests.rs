//! What is asked for, what is there, and what is taken.

use std::path::{Path, PathBuf};

use super::*;
use crate::models::catalogue::{Catalogue, Entry};
use crate::models::network::Network;
use crate::models::synthetic;

fn entry(name: &str) -> Entry {
    Catalogue::embedded().unwrap().entry(name).unwrap().clone()
}

/// A weights file of the fixtures, unpacked.
fn weights(fixture: &str, to: PathBuf) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pretrained").join(format!("{fixture}.gz"));
    let mut file = std::fs::File::create(&to).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap()), &mut file).unwrap();
    to
}

async fn decided(entry: &Entry, choice: &WeightsChoice, store: &Store) -> Result<Decision, WeightsFailure> {
    decide("resnet50", entry, choice, None, store, &mut Reachability::default(), &mut |_| {}).await
}

/// An entry whose published weights nobody has.
fn unreachable() -> (Entry, tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens at port 9 of the loopback address, and the connection is refused at once.
    let store = Store::new(folder.path().join("store"), Some("http://127.0.0.1:9"));
    let mut entry = entry("resnet50");
    for source in &mut entry.sources {
        if let crate::models::catalogue::Source::Pretrained(remote) = source {
            remote.url = "http://127.0.0.1:9/weights.h5".to_owned();
        }
    }
    (entry, folder, store)
}

#[tokio::test]
async fn without_network_the_next_source_is_taken_and_the_reason_told() {
    let (entry, _folder, store) = unreachable();
    let decision = decided(&entry, &WeightsChoice::Auto, &store).await.unwrap();
    let Origin::Synthetic { because: Some(because) } = &decision.origin else { panic!("{decision:?}") };
    assert!(because.contains("could not be reached"), "{because}");
    assert_eq!(decision.path, None);
    let mut only_pretrained = entry.clone();
    only_pretrained.sources.truncate(1);
    let error = decided(&only_pretrained, &WeightsChoice::Auto, &store).await;
    assert!(matches!(error, Err(WeightsFailure::Download(_))));
    let decision = decided(&entry, &WeightsChoice::Synthetic, &store).await.unwrap();
    assert_eq!(decision.origin, Origin::Synthetic { because: None });
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_asked_once_a_run() {
    let (entry, _folder, store) = unreachable();
    let mut network = Reachability::default();
    let mut origins = Vec::new();
    for _ in 0..2 {
        let decision =
            decide("m", &entry, &WeightsChoice::Auto, None, &store, &mut network, &mut |_| {}).await.unwrap();
        origins.push(decision.origin);
        assert!(network.is_unreachable());
    }
    assert_eq!(origins[0], origins[1]);
}

#[test]
fn a_weights_file_is_for_the_models_that_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    let file = weights("weights-of-keras-2.h5", folder.path().join("x.h5"));
    let choice = WeightsChoice::File(file.clone());
    let Local::Decided(decision) = local("resnet50", &entry("tiny-a"), &choice, None).unwrap() else { panic!() };
    assert!(matches!(&decision.origin, Origin::File { path, md5 } if *path == file && md5.len() == 32));
    assert_eq!(local("resnet101", &entry("tiny-b"), &choice, None).unwrap(), Local::Any);
    require_fit(&file, &[Network::TinyB, Network::TinyA]).unwrap();
    let error = require_fit(&file, &[Network::ResNet50]).unwrap_err().to_string();
    assert!(error.contains("fits none") && error.contains("conv1_conv/kernel [7,7,3,64]"), "{error}");
}

#[test]
fn the_published_file_is_recognised_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let file = weights("weights-of-keras-2.h5", folder.path().join("x.h5"));
    let mut entry = entry("tiny-a");
    let md5 = crate::download::Checksum::Md5([0; 16]).of_file(&file).unwrap().hex();
    let remote = crate::models::catalogue::Remote { url: "http://host/y.h5".to_owned(), bytes: 1, md5 };
    entry.sources.insert(0, crate::models::catalogue::Source::Pretrained(remote));
    let Local::Decided(decision) = local("m", &entry, &WeightsChoice::File(file), None).unwrap() else { panic!() };
    assert!(decision.origin.is_pretrained());
}

#[test]
fn a_folder_is_searched_by_name_then_by_shape() {
    let folder = tempfile::tempdir().unwrap();
    let choice = WeightsChoice::Directory(folder.path().to_path_buf());
    let look = || local("resnet50", &entry("tiny-a"), &choice, None);
    let error = look().unwrap_err().to_string();
    assert!(error.contains("resnet50.h5") && error.contains("resnet50/1/saved_model.pb"), "{error}");
    let path_of = |found: Local| match found {
        Local::Decided(decision) => decision.path.unwrap(),
        other => panic!("{other:?}"),
    };
    weights("whole-of-keras-3.h5", folder.path().join("a.h5"));
    let any = weights("weights-of-keras-2.h5", folder.path().join("z.h5"));
    assert_eq!(path_of(look().unwrap()), any, "a.h5 is another network's");
    synthetic::build(Network::TinyA, &folder.path().join("resnet50"), &[], &mut |_| {}).unwrap();
    assert_eq!(path_of(look().unwrap()), folder.path().join("resnet50/1"));
    let named = weights("weights-of-keras-2.h5", folder.path().join("resnet50.h5"));
    assert_eq!(path_of(look().unwrap()), named);
}

#[test]
fn a_model_of_ones_own_comes_first_and_is_copied_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine");
    let built = synthetic::build(Network::TinyB, &mine, &[], &mut |_| {}).unwrap();
    let found = local("resnet50", &entry("tiny-a"), &WeightsChoice::Synthetic, Some(&mine)).unwrap();
    let Local::Decided(decision) = found else { panic!("{found:?}") };
    assert!(matches!(&decision.origin, Origin::SavedModel { path, .. } if *path == mine.join("1")));
    let made = make(&entry("tiny-a"), &decision, &folder.path().join("models"), &mut |_| {}).unwrap();
    assert_eq!((made.files, made.parameters), (built.files, built.parameters));
}
