//! A bundle written and read back, and one damaged in every way a disk or a person might.

use super::*;
use crate::savedmodel::contained::ModelDir;
use crate::savedmodel::damage::{Damage, SavedModelError};
use crate::savedmodel::proto::DataType;

fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::create(dir.path(), "variables").unwrap();
    let floats: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    writer.add("b/kernel", DataType::DtFloat, &[2, 3], &floats).unwrap();
    writer.add("a/step", DataType::DtInt64, &[], &7i64.to_le_bytes()).unwrap();
    writer.finish().unwrap();
    dir
}

fn open(dir: &tempfile::TempDir) -> Result<Option<Variables>, SavedModelError> {
    Variables::open(&ModelDir::open(dir.path()).unwrap(), "variables")
}

#[test]
fn tensors_come_back_with_type_shape_and_checksum() {
    let dir = written();
    let variables = open(&dir).unwrap().unwrap();
    let keys: Vec<_> = variables.iter().map(|(key, info)| (key, info.shape.clone())).collect();
    assert_eq!(keys, [("a/step", vec![]), ("b/kernel", vec![2, 3])]);
    let kernel = variables.get("b/kernel").unwrap();
    assert_eq!(kernel.dtype, DataType::DtFloat);
    assert_eq!(kernel.bytes[20..24], 5f32.to_le_bytes());
    assert_eq!(variables.verify("a/step").unwrap(), 8);
    assert_eq!(variables.verify("b/kernel").unwrap(), 24);
    assert!(matches!(variables.get("c"), Err(SavedModelError::UnknownTensor { key, .. }) if key == "c"));
}

#[test]
fn no_index_is_no_bundle() {
    assert!(open(&tempfile::tempdir().unwrap()).unwrap().is_none());
}

#[test]
fn a_flipped_bit_is_found_and_names_the_tensor() {
    let dir = written();
    let path = dir.path().join("variables.data-00000-of-00001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let variables = open(&dir).unwrap().unwrap();
    assert!(variables.get("b/kernel").is_err() && variables.get("a/step").is_ok());
    let error = variables.verify("b/kernel").unwrap_err();
    assert!(error.to_string().contains("variables.data-00000-of-00001"), "{error}");
    let SavedModelError::Damaged { damage: Damage::Checksum { what, .. }, .. } = error else { panic!("{error}") };
    assert_eq!(what, "the tensor \"b/kernel\"");
}

#[test]
fn a_short_data_file_is_refused_at_once_and_a_missing_one_is_named() {
    let dir = written();
    let path = dir.path().join("variables.data-00000-of-00001");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(31).unwrap();
    let error = open(&dir).unwrap_err();
    let SavedModelError::Damaged { damage, .. } = &error else { panic!("{error}") };
    assert_eq!(*damage, Damage::Truncated { needed: 32, actual: 31 });
    std::fs::remove_file(&path).unwrap();
    assert!(
        matches!(open(&dir), Err(SavedModelError::Io { path: named, .. }) if named.ends_with(path.file_name().unwrap()))
    );
}

#[test]
fn a_file_cut_after_opening_is_an_error_of_the_read() {
    let dir = written();
    let variables = open(&dir).unwrap().unwrap();
    let path = dir.path().join("variables.data-00000-of-00001");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    let error = variables.get("b/kernel").unwrap_err();
    let SavedModelError::Damaged { damage, .. } = &error else { panic!("{error}") };
    assert_eq!(*damage, Damage::Truncated { needed: 24, actual: 10 });
}

#[test]
fn the_writer_refuses_what_a_reader_would() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::create(dir.path(), "variables").unwrap();
    assert!(writer.add("x", DataType::DtFloat, &[2], &[0; 4]).is_err());
    assert!(writer.add("x", DataType::DtFloat, &[usize::MAX, 2], &[0; 4]).is_err());
    assert!(writer.add("x", DataType::DtString, &[], &[]).is_err());
    writer.add("x", DataType::DtFloat, &[1], &[0; 4]).unwrap();
    assert!(writer.add("x", DataType::DtFloat, &[1], &[0; 4]).is_err());
}

#[test]
fn entries_that_lie_about_their_tensor_are_refused() {
    use crate::savedmodel::proto::{BundleEntryProto, BundleHeaderProto, TensorShapeProto};
    use prost::Message as _;
    let good = BundleEntryProto {
        dtype: DataType::DtFloat as i32,
        shape: Some(TensorShapeProto::of(&[1])),
        size: 4,
        ..BundleEntryProto::default()
    };
    let bad = [
        BundleEntryProto { shape: Some(TensorShapeProto::of(&[1_000_000_000_000])), ..good.clone() },
        BundleEntryProto { shape: Some(TensorShapeProto::of(&[i64::MAX, i64::MAX])), ..good.clone() },
        BundleEntryProto { shape: Some(TensorShapeProto::of(&[-1])), ..good.clone() },
        BundleEntryProto { size: -4, ..good.clone() },
        BundleEntryProto { offset: i64::MAX, ..good.clone() },
        BundleEntryProto { shard_id: 1, ..good.clone() },
        BundleEntryProto { dtype: 99, ..good.clone() },
    ];
    for entry in std::iter::once(&good).chain(&bad) {
        let dir = tempfile::tempdir().unwrap();
        let mut table = crate::savedmodel::table::TableWriter::default();
        table.add(b"", &BundleHeaderProto { num_shards: 1, ..BundleHeaderProto::default() }.encode_to_vec());
        table.add(b"x", &entry.encode_to_vec());
        std::fs::write(dir.path().join("variables.index"), table.finish()).unwrap();
        std::fs::write(dir.path().join("variables.data-00000-of-00001"), [0; 4]).unwrap();
        assert_eq!(open(&dir).is_ok(), entry == &good, "{entry:?}");
    }
}
