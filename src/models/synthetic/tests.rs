//! Synthetic models are what the catalogue says, to the byte.

use super::*;
use crate::models::built::VERSION;
use crate::models::catalogue::Catalogue;
use crate::savedmodel::LoadedSavedModel;

fn build_into(network: Network, dir: &Path) -> BuiltModel {
    let expected = Catalogue::embedded().unwrap().entry(network.id()).unwrap().synthetic_files();
    let mut last = Progress { written: 0, total: 1 };
    let built = build(network, dir, &expected, &mut |progress| last = progress).unwrap();
    assert_eq!(last.written, last.total);
    built
}

#[test]
fn tiny_models_have_their_digests_and_read_back_whole() {
    for network in [Network::TinyA, Network::TinyB] {
        let home = tempfile::tempdir().unwrap();
        let built = build_into(network, home.path());
        assert!(built.bytes < 1_000_000, "{network:?}: {}", built.bytes);
        let loaded = LoadedSavedModel::read(&home.path().join(VERSION)).unwrap();
        let variables = loaded.variables.as_ref().unwrap();
        let elements: usize = variables.iter().map(|(_, info)| info.elements()).sum();
        assert_eq!(elements as u64, built.parameters);
        for (key, _) in variables.iter() {
            variables.verify(key).unwrap();
            assert_eq!(loaded.variable_of(key), Some(key));
        }
    }
}

#[test]
fn the_large_models_have_their_digests() {
    for (network, parameters) in [(Network::ResNet50, 25_636_712), (Network::ResNet101, 44_707_176)] {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(build_into(network, home.path()).parameters, parameters);
    }
}

#[test]
fn a_model_that_comes_out_otherwise_is_not_put_in_place() {
    let home = tempfile::tempdir().unwrap();
    let expected = [("saved_model.pb".to_owned(), "0".repeat(64))];
    let error = build(Network::TinyA, home.path(), &expected, &mut |_| {}).unwrap_err();
    assert!(matches!(error, BuildError::Digest { network: Network::TinyA, .. }), "{error}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
