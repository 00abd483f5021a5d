//! Files that Keras saved, in every layout, become models that answer as Keras does; what does not fit is named.

use std::io::Read as _;
use std::path::PathBuf;

use super::*;
use crate::models::built::VERSION;
use crate::models::hdf5::Hdf5Error;
use crate::models::inspection::inspect;
use crate::models::picture;
use crate::models::prediction::Classifier;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pretrained")
}

/// Unpacks a fixture into a folder.
fn unpacked(name: &str, to: &Path) -> PathBuf {
    let packed = std::fs::File::open(folder().join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let path = to.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn golden() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

#[test]
fn every_layout_of_keras_becomes_a_model_that_answers_as_keras_does() {
    let golden = golden();
    let files = golden["files"].as_object().unwrap();
    assert_eq!(files.len(), 4);
    for (file, network) in files {
        let home = tempfile::tempdir().unwrap();
        let network = Network::ALL.into_iter().find(|known| known.id() == network.as_str().unwrap()).unwrap();
        let weights = unpacked(file, home.path());
        assert_eq!(fitting(&weights, &Network::ALL).unwrap(), [network], "{file}");
        let mut last = Progress { written: 0, total: 1 };
        let built = build(network, &weights, home.path(), &mut |progress| last = progress).unwrap();
        assert_eq!(last.written, last.total);
        assert_eq!(built.parameters, Architecture::of(network).parameters() as u64);
        let directory = home.path().join(VERSION);
        assert_eq!(inspect(&directory).unwrap().obstacles_for_2_5, []);
        let scores = Classifier::load(&directory).unwrap().answer(&picture::small()).unwrap();
        for (keras, expected) in golden["answers"][network.id()].as_object().unwrap() {
            let expected = expected.as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
            let off = scores.iter().zip(expected).map(|(score, wanted)| (f64::from(*score) - wanted).abs());
            let off = off.fold(0.0, f64::max);
            assert!(off <= 1e-5, "{file} against {keras}: {off:e}");
        }
    }
}

/// The fixture of Keras 2 with some bytes replaced.
fn changed(from: &[f32], to: &[f32], home: &Path) -> PathBuf {
    let path = unpacked("weights-of-keras-2.h5", home);
    let mut bytes = std::fs::read(&path).unwrap();
    let pattern: Vec<u8> = from.iter().flat_map(|value| value.to_le_bytes()).collect();
    let at = bytes.windows(pattern.len()).position(|window| window == pattern).expect("the values are in the file");
    for (index, value) in to.iter().enumerate() {
        bytes[at + 4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The first values of a weight of the fixture.
fn values(weight: &str, home: &Path) -> Vec<f32> {
    read_layers(&unpacked("weights-of-keras-2.h5", home), |saved| {
        let weights = saved.layers.iter().flat_map(|layer| &layer.weights);
        let found = weights.into_iter().find(|found| found.name == weight).unwrap();
        found.data.values()[..16].to_vec()
    })
    .unwrap()
}

#[test]
fn another_architecture_is_told_with_the_layer_that_differs() {
    let home = tempfile::tempdir().unwrap();
    let small = unpacked("weights-of-keras-2.h5", home.path());
    let refuse = |network: Network, weights: &Path| {
        let error = build(network, weights, &home.path().join("out"), &mut |_| {}).unwrap_err();
        assert!(!home.path().join("out/1").exists());
        error.to_string()
    };
    let error = refuse(Network::ResNet50, &small);
    assert!(
        error.ends_with(
            "other weights than resnet50's: layer 1 of 107 with weights is conv1_conv/kernel [7,7,3,64], but the file's \
             conv1_conv/kernel:0 is [7,7,3,16]"
        ),
        "{error}"
    );
    let error = refuse(Network::TinyB, &small);
    assert!(error.contains("layer 27 of 33 with weights is conv4_block2_1_conv/kernel [1,1,96,24]"), "{error}");
    let deeper = unpacked("counted-of-keras-3.weights.h5", home.path());
    let error = refuse(Network::TinyB, &deeper);
    assert!(error.contains("conv4_block2_1_conv has none"), "{error}");
    let larger = unpacked("whole-of-keras-3.h5", home.path());
    let error = refuse(Network::TinyA, &larger);
    assert!(error.contains("tiny_a's: layer 27 of 27 with weights is predictions/kernel"), "{error}");
}

#[test]
fn values_that_are_no_numbers_are_told_with_weight_and_element() {
    let home = tempfile::tempdir().unwrap();
    let gamma = values("conv1_bn/gamma:0", home.path());
    let path = changed(&gamma, &[gamma[0], f32::NAN], home.path());
    let error = build(Network::TinyA, &path, home.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("conv1_bn/gamma:0 has NaN at element 1"), "{error}");
    let variance = values("conv1_bn/moving_variance:0", home.path());
    let path = changed(&variance, &[-1.0], home.path());
    let error = build(Network::TinyA, &path, home.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("a variance cannot be negative"), "{error}");
    // Shapes alone do not tell.
    assert_eq!(fitting(&path, &Network::ALL).unwrap(), [Network::TinyA]);
}

#[test]
fn what_is_no_weights_file_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let path = unpacked("whole-of-keras-2.h5", home.path());
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match build(Network::TinyB, &path, home.path(), &mut |_| {}).unwrap_err() {
            BuildError::Weights(WeightsError::Format { source, .. }) => source,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(b"<!doctype html>"), Hdf5Error::NotHdf5);
    assert_eq!(refused(b""), Hdf5Error::NotHdf5);
    for end in [9, 100, whole.len() / 2, whole.len() * 9 / 10] {
        let error = refused(&whole[..end]);
        assert!(matches!(error, Hdf5Error::Truncated { .. }), "cut at {end}: {error}");
    }
}
