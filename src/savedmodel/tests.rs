//! A SavedModel written and read back, and directories that are not one.

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;

use super::proto::{
    AttrValue, DataType, GraphDef, MetaGraphDef, NodeDef, SavedModel, SaverDef, SignatureDef, TensorProto, attr_value,
    meta_graph_def,
};
use super::{Damage, LoadedSavedModel, SavedModelError, SavedModelWriter};

fn node(name: &str, op: &str, inputs: &[&str], attrs: Vec<(&str, attr_value::Value)>) -> NodeDef {
    NodeDef {
        name: name.to_owned(),
        op: op.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        attr: attrs.into_iter().map(|(key, value)| (key.to_owned(), AttrValue::from(value))).collect(),
        ..NodeDef::default()
    }
}

/// Two variables whose names say nothing of their keys: only the restore op tells.
fn model(tag: &str) -> SavedModel {
    let names = TensorProto {
        dtype: DataType::DtString as i32,
        string_val: vec![Bytes::from_static(b"key/one"), Bytes::from_static(b"key/two")],
        ..TensorProto::default()
    };
    let graph = GraphDef {
        node: vec![
            node("first", "VarHandleOp", &[], vec![]),
            node("second", "VarHandleOp", &[], vec![("shared_name", attr_value::Value::S("key/three".into()))]),
            node("third", "VarHandleOp", &[], vec![("shared_name", attr_value::Value::S("key/three".into()))]),
            node("names", "Const", &[], vec![("value", attr_value::Value::Tensor(Box::new(names)))]),
            node("restore", "RestoreV2", &["prefix", "names", "slices"], vec![]),
            node("copy", "Identity", &["restore"], vec![]),
            node("assign_1", "AssignVariableOp", &["second", "copy"], vec![]),
            node("assign_2", "AssignVariableOp", &["first", "restore:1"], vec![]),
            node("all", "NoOp", &["^assign_1", "^assign_2"], vec![]),
        ],
        ..GraphDef::default()
    };
    let meta_graph = MetaGraphDef {
        meta_info_def: Some(meta_graph_def::MetaInfoDef { tags: vec![tag.to_owned()], ..Default::default() }),
        graph_def: Some(graph),
        saver_def: Some(SaverDef { restore_op_name: "all".to_owned(), ..SaverDef::default() }),
        signature_def: [("serving_default".to_owned(), SignatureDef::default())].into(),
        ..MetaGraphDef::default()
    };
    SavedModel { saved_model_schema_version: 1, meta_graphs: vec![meta_graph] }
}

fn write(dir: &Path, tag: &str, first: f32) {
    let mut writer = SavedModelWriter::create(dir).unwrap();
    for (key, value) in [("key/one", first), ("key/two", 2.0), ("key/three", 3.0)] {
        writer.add_variable(key, DataType::DtFloat, &[1], &value.to_le_bytes()).unwrap();
    }
    let files = writer.finish(&model(tag)).unwrap().publish().unwrap();
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]);
}

#[test]
fn variables_are_found_by_the_restore_op_then_by_shared_name() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("resnet/1");
    write(&dir, "serve", 1.0);
    let loaded = LoadedSavedModel::read(&dir).unwrap();
    assert!(loaded.signatures.contains_key("serving_default"));
    for (handle, key, value) in [("first", "key/two", 2f32), ("second", "key/one", 1.0), ("third", "key/three", 3.0)] {
        assert_eq!(loaded.variable_of(handle), Some(key));
        assert_eq!(loaded.variable(handle).unwrap().bytes[..], value.to_le_bytes());
    }
    assert!(matches!(loaded.variable("fourth"), Err(SavedModelError::UnknownTensor { .. })));
}

#[test]
fn a_second_write_replaces_the_first_and_leaves_nothing_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("1");
    write(&dir, "serve", 1.0);
    write(&dir, "serve", 9.0);
    assert_eq!(LoadedSavedModel::read(&dir).unwrap().variable("second").unwrap().bytes[..], 9f32.to_le_bytes());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    // Dropped unfinished, a writer leaves what was there.
    drop(SavedModelWriter::create(&dir).unwrap());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn other_directories_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let read = |name: &str| LoadedSavedModel::read(&home.path().join(name)).unwrap_err();
    assert!(matches!(read("absent"), SavedModelError::Missing { .. }));
    std::fs::create_dir(home.path().join("empty")).unwrap();
    assert!(matches!(read("empty"), SavedModelError::Missing { .. }));
    std::fs::create_dir(home.path().join("text")).unwrap();
    std::fs::write(home.path().join("text/saved_model.pbtxt"), "meta_graphs {").unwrap();
    assert!(matches!(read("text"), SavedModelError::Damaged { .. }));
    write(&home.path().join("training"), "train", 1.0);
    let error = read("training");
    assert!(error.to_string().ends_with(r#"has no meta graph with the tag "serve"; it has ["train"]"#), "{error}");
    std::fs::create_dir(home.path().join("zeros")).unwrap();
    std::fs::write(home.path().join("zeros/saved_model.pb"), [0xff; 100]).unwrap();
    assert!(matches!(read("zeros"), SavedModelError::Damaged { damage: Damage::Malformed { .. }, .. }));
}

#[test]
fn a_meta_graph_is_chosen_by_the_set_of_its_tags() {
    let home = tempfile::tempdir().unwrap();
    let mut several = model("serve");
    let mut tuned = several.meta_graphs[0].clone();
    tuned.meta_info_def.as_mut().unwrap().tags = vec!["serve".to_owned(), "tuned".to_owned()];
    tuned.signature_def.clear();
    several.meta_graphs.push(tuned);
    std::fs::write(home.path().join("saved_model.pb"), several.encode_to_vec()).unwrap();
    let read = |tags: &[&str]| LoadedSavedModel::read_tagged(home.path(), tags);
    assert!(!read(&["serve"]).unwrap().signatures.is_empty());
    assert!(read(&["tuned", "serve"]).unwrap().signatures.is_empty());
    let error = read(&["tuned"]).unwrap_err().to_string();
    assert!(
        error.ends_with(r#"has no meta graph with the tag "tuned"; it has ["serve"], ["serve", "tuned"]"#),
        "{error}"
    );
}

#[test]
fn no_cut_of_a_model_file_panics() {
    let bytes = model("serve").encode_to_vec();
    let dir = tempfile::tempdir().unwrap();
    for length in 0..bytes.len() {
        std::fs::write(dir.path().join("saved_model.pb"), &bytes[..length]).unwrap();
        // A cut between two fields may still decode; then variables are missing, which is an error of its own.
        if let Ok(loaded) = LoadedSavedModel::read(dir.path()) {
            assert!(matches!(loaded.variable("first"), Err(SavedModelError::NoVariables { .. })));
        }
    }
}
