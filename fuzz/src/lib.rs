//! The readers under test, taken in as source files, and a directory to hand files to them in.

#![allow(dead_code, unused_imports, reason = "the rooms are taken in whole, and a target uses only a part")]

#[path = "../../src/savedmodel/mod.rs"]
pub mod savedmodel;

/// The rooms of `src/models` that read files; its own path makes theirs begin at this file.
#[path = "."]
pub mod models {
    #[path = "../../src/models/hdf5/mod.rs"]
    pub mod hdf5;
    #[path = "../../src/models/jpeg/mod.rs"]
    pub mod jpeg;
}

use std::path::{Path, PathBuf};

/// A directory in memory for one fuzzing process; the process's end leaves it to the script, which removes its parent.
pub fn directory() -> PathBuf {
    let parent = std::env::var_os("FUZZ_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("fuzz-").tempdir_in(parent).expect("a directory").keep()
}

/// Reads a SavedModel as the product does, and every variable of it.
pub fn read_model(directory: &Path) {
    let Ok(model) = savedmodel::LoadedSavedModel::read(directory) else { return };
    for node in &model.graph.node {
        let _ = model.variable_of(&node.name);
    }
    if let Some(variables) = &model.variables {
        for (key, info) in variables.iter() {
            let _ = (info.elements(), variables.get(key), variables.verify(key));
        }
    }
}
